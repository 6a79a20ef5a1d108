//! Shoppers and shops that do not give up: a click, then its sale, sent until somebody takes it.

use super::history::History;
use crate::failover::Tenant;
use crate::harness::try_click;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tributary::http_client::HttpClient;

/// While the edge is away.
const PAUSE: Duration = Duration::from_millis(20);
/// Of a shopper between two clicks: all of them come from one address, which may not ask as often as it likes.
const THINKS: Duration = Duration::from_millis(100);

/// One after the other, until told to stop.
pub async fn shopper(number: usize, edge_url: String, tenant: Tenant, stop: Arc<AtomicBool>) -> History {
    let client = HttpClient::default();
    let mut history = History::default();
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(THINKS).await;
        history.sent += 1;
        let Some(click) = try_click(&client, &edge_url, &tenant.link).await else {
            history.unanswered += 1;
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        assert_eq!(click.reply.status, 302, "redirects never stop");
        match click.reply.header("x-tributary-reason") {
            None => history.clicks.push(click.id().to_owned()),
            Some("spool_unavailable") => {
                history.unspooled += 1;
                continue;
            }
            Some(other) => panic!("{other}"),
        }
        let order = format!("o-{number}-{}", history.clicks.len());
        history.orders_sent += 1;
        history.repeated += sell(&client, &edge_url, &tenant, &order, click.id()).await;
        history.orders.insert(order);
    }
    history
}

/// Until it is answered; how often it was sent in vain.
pub async fn sell(client: &HttpClient, edge_url: &str, tenant: &Tenant, order: &str, click: &str) -> usize {
    let Tenant { advertiser, token, .. } = tenant;
    let url = format!(
        "{edge_url}/postback/{advertiser}?order_id={order}&click_id={click}&amount=9.00&currency=USD&token={token}"
    );
    let mut in_vain = 0;
    loop {
        match client.get(&url, None).await.map(|reply| reply.status.as_u16()) {
            Ok(202 | 409) => return in_vain,
            // Told to come back later; all shops together must not come too often either.
            Ok(503) => tokio::time::sleep(THINKS).await,
            Err(_) => tokio::time::sleep(PAUSE).await,
            Ok(other) => panic!("{order}: {other}"),
        }
        in_vain += 1;
    }
}

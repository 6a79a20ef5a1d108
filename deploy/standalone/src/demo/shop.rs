//! The demo's HTTP server and its two calls outward: the postback and the delivery.

use super::orders::{Order, Orders, Products};
use super::pages::{self, Words};
use crate::error::{BoxError, Failure};
use crate::http_client::HttpClient;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What the shop must know of the tracking system: what any advertiser is given.
#[derive(Clone)]
pub struct DemoSettings {
    pub api_url: String,
    pub edge_url: String,
    pub api_key: String,
    pub advertiser: String,
    pub link: String,
    pub postback_token: String,
}

pub struct Demo {
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

struct Shop {
    settings: DemoSettings,
    orders: Orders,
    client: HttpClient,
}

impl Demo {
    pub async fn bind(address: SocketAddr) -> Result<TcpListener, BoxError> {
        let message = || format!("the demo shop cannot listen on {address} (choose --listen or --no-demo)");
        TcpListener::bind(address).await.map_err(|error| Failure::because(message(), error).into())
    }

    /// Serves on `listener` until [`Demo::shutdown`].
    pub fn start(listener: TcpListener, settings: DemoSettings) -> Self {
        let shop = Arc::new(Shop { settings, orders: Orders::default(), client: HttpClient::default() });
        let router = Router::new()
            .route("/", get(|| async { Redirect::to("/publisher") }))
            .route("/publisher", get(publisher))
            .route("/shop", get(front))
            .route("/shop/buy", post(buy))
            .route("/shop/orders/{id}", get(thank_you))
            .route("/shop/orders/{id}/deliver", post(deliver))
            .with_state(shop);
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = axum::serve(listener, router).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        Self { stop, task: tokio::spawn(async move { serve.await }) }
    }

    pub async fn shutdown(self) {
        let _ = self.stop.send(());
        // An idle keep-alive connection must not hold up the stop.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.task).await;
    }
}

#[derive(Deserialize)]
struct LanguageQuery {
    lang: Option<String>,
}

async fn publisher(
    State(shop): State<Arc<Shop>>,
    Query(query): Query<LanguageQuery>,
    headers: HeaderMap,
) -> Response {
    let link = format!("{}/c/{}?sub_id1=review", shop.settings.edge_url, shop.settings.link);
    let words = words(query.lang.as_deref(), &headers);
    page(words, pages::publisher(words, link))
}

#[derive(Deserialize)]
struct FrontQuery {
    lang: Option<String>,
    click_id: Option<String>,
}

async fn front(
    State(shop): State<Arc<Shop>>,
    Query(query): Query<FrontQuery>,
    headers: HeaderMap,
) -> Response {
    let words = words(query.lang.as_deref(), &headers);
    let script = format!("{}/t.js", shop.settings.edge_url);
    let mut response = page(words, pages::shop(words, script, &shop.settings.advertiser));
    let cookie = query.click_id.filter(|id| is_click_id(id)).and_then(|id| {
        HeaderValue::from_str(&format!(
            "shop_click_id={id}; Path=/shop; HttpOnly; SameSite=Lax; Max-Age=2592000"
        ))
        .ok()
    });
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn is_click_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 80
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn cookie<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

fn click_id_cookie(headers: &HeaderMap) -> Option<String> {
    cookie(headers, "shop_click_id").map(str::to_owned).filter(|id| is_click_id(id))
}

/// What was asked for on this page or an earlier one, else what the browser prefers.
fn words(asked: Option<&str>, headers: &HeaderMap) -> Words {
    Words::choose(asked.or_else(|| cookie(headers, "lang")), headers)
}

#[derive(Deserialize)]
struct BuyForm {
    sku: String,
}

async fn buy(State(shop): State<Arc<Shop>>, headers: HeaderMap, Form(form): Form<BuyForm>) -> Response {
    let Some(product) = Products::find(&form.sku) else {
        return (StatusCode::NOT_FOUND, "no such product").into_response();
    };
    let suffix = u32::from_be_bytes(proto_wire::keys::random::<4>());
    let id = format!("demo-{suffix:08x}");
    let order = Order {
        id: id.clone(),
        product,
        click_id: click_id_cookie(&headers),
        postback: None,
        delivered: false,
    };
    shop.orders.insert(order.clone());
    tokio::spawn(confirm(shop, order));
    Redirect::to(&format!("/shop/orders/{id}")).into_response()
}

fn conversion_query(order: &Order, token: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("order_id", &order.id);
    query.append_pair("amount", order.product.price);
    query.append_pair("currency", Products::CURRENCY);
    query.append_pair("goal", "sale");
    if let Some(click_id) = &order.click_id {
        query.append_pair("click_id", click_id);
    }
    if let Some(token) = token {
        query.append_pair("token", token);
    }
    query.finish()
}

/// The postback, retried with backoff until the edge has answered: it repeats harmlessly.
async fn confirm(shop: Arc<Shop>, order: Order) {
    let settings = &shop.settings;
    let query = conversion_query(&order, Some(&settings.postback_token));
    let url = format!("{}/postback/{}?{query}", settings.edge_url, settings.advertiser);
    let mut wait = Duration::from_millis(200);
    for _ in 0..8 {
        match shop.client.get(&url, None).await {
            Ok(reply) if !reply.status.is_server_error() => {
                let answer = format!(
                    "{} {}",
                    reply.status.as_u16(),
                    reply.header("x-tributary-reason").unwrap_or("accepted")
                );
                shop.orders.update(&order.id, |order| order.postback = Some(answer));
                return;
            }
            Ok(_) | Err(_) => tokio::time::sleep(wait).await,
        }
        wait *= 2;
    }
    shop.orders.update(&order.id, |order| order.postback = Some("no answer from the edge".to_owned()));
}

async fn thank_you(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<String>,
    Query(query): Query<LanguageQuery>,
    headers: HeaderMap,
) -> Response {
    let Some(order) = shop.orders.get(&id) else {
        return (StatusCode::NOT_FOUND, "no such order").into_response();
    };
    let settings = &shop.settings;
    let pixel =
        format!("{}/p/{}.gif?{}", settings.edge_url, settings.advertiser, conversion_query(&order, None));
    let live = format!("{}/", settings.api_url);
    let words = words(query.lang.as_deref(), &headers);
    page(words, pages::thank_you(words, &order, pixel, live))
}

async fn deliver(State(shop): State<Arc<Shop>>, Path(id): Path<String>) -> Response {
    if shop.orders.get(&id).is_none() {
        return (StatusCode::NOT_FOUND, "no such order").into_response();
    }
    match report_delivery(&shop, &id).await {
        Ok(()) => {
            shop.orders.update(&id, |order| order.delivered = true);
            Redirect::to(&format!("/shop/orders/{id}")).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, crate::error::chain(error.as_ref())).into_response(),
    }
}

async fn report_delivery(shop: &Shop, order_id: &str) -> Result<(), BoxError> {
    let settings = &shop.settings;
    let event = serde_json::json!({
        "advertiser_id": settings.advertiser,
        "order_id": order_id,
        "event_id": format!("{order_id}-delivered"),
        "kind": "delivered",
    });
    let url = format!("{}/v1/order-events", settings.api_url);
    let reply = shop.client.post_json(&url, Some(&settings.api_key), &event).await?;
    if reply.status.is_success() {
        return Ok(());
    }
    Err(Failure::new(format!("the control plane answered {}: {}", reply.status, reply.text())).into())
}

/// The choice of language goes along to the next page.
fn page(words: Words, rendered: Result<String, askama::Error>) -> Response {
    let language = format!("lang={}; Path=/; SameSite=Lax", words.code());
    match rendered {
        Ok(html) => ([(header::SET_COOKIE, language)], Html(html)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

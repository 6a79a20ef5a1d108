//! A node whose hits would never arrive says so, and lets shoppers through.

use super::{Node, Response, Setup};
use crate::decide::testing::*;
use crate::spool::Shut;
use proto_model::Lane;
use serde_json::json;

fn click(node: &Node) -> Response {
    node.get(&format!("/c/{}", link(LINK)))
}

fn impression(node: &Node) -> Response {
    node.get(&format!("/i/{}.gif", link(LINK)))
}

fn postback(node: &Node) -> Response {
    node.get(&format!("/postback/{}?order_id=A&token={TOKEN}", advertiser(1)))
}

fn pixel(node: &Node) -> Response {
    node.get(&format!("/p/{}.gif?order_id=B", advertiser(1)))
}

fn beacon(node: &Node) -> Response {
    let advertiser = advertiser(1).to_string();
    let message =
        json!({"type": "conversion", "advertiser": advertiser, "order_id": "C", "consent": "granted"});
    node.send("POST", "/e", "content-type: text/plain\r\n", &message.to_string())
}

type Ask = fn(&Node) -> Response;

#[test]
fn a_lane_that_is_shut_takes_nothing_and_says_why() {
    let asked: [(&str, Lane, Ask, u16, u16); 5] = [
        ("click", Lane::Traffic, click, 302, 302),
        ("impression", Lane::Traffic, impression, 200, 200),
        ("postback", Lane::Money, postback, 202, 503),
        ("pixel", Lane::Money, pixel, 200, 200),
        ("beacon", Lane::Money, beacon, 202, 503),
    ];
    for shut in Lane::ALL.iter().copied() {
        let node = Setup::default().start();
        let spool = node.server.shared().parts.spool.clone();
        spool.shut(shut, Shut::Behind);
        for (what, lane, ask, open_status, shut_status) in asked {
            let reply = ask(&node);
            let expected = match lane == shut {
                true => (shut_status, Some("spool_unavailable")),
                false => (open_status, None),
            };
            assert_eq!((reply.status(), reply.reason()), expected, "{what}");
            if what == "click" {
                let facts = keys(1).open(reply.click_id().unwrap()).unwrap();
                assert_eq!(facts.flags.unspooled(), shut == Lane::Traffic);
            }
        }
        assert!(node.on_disk(shut).is_empty());
        let ready = node.get("/readyz");
        let why = format!("the lane {} takes no hits: the control plane is further", shut.as_str());
        assert!(ready.status() == 503 && ready.body().contains(&why), "{}", ready.body());
        let line = format!("tributary_edge_lane_shut{{lane=\"{}\",reason=\"behind\"}} 1", shut.as_str());
        assert!(node.metrics().contains(&line));

        spool.take_again(shut);
        // What came to an open lane is known there.
        let again = if shut == Lane::Money { 202 } else { 409 };
        assert_eq!((node.get("/readyz").status(), postback(&node).status()), (200, again));
        assert!(!node.metrics().contains("lane_shut{"));
    }
}

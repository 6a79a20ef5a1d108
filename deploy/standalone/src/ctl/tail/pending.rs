//! Conversions that were shown before the books had decided.

use serde_json::{Value, json};
use std::collections::VecDeque;

/// More than anybody watches; the oldest is given up first.
const WATCHED: usize = 50;
/// The books decide within a second or two; whatever is not decided then is not watched for.
const LOOKS: u32 = 30;

struct Open {
    id: String,
    hit: Value,
    looks: u32,
}

#[derive(Default)]
pub struct Pending(VecDeque<Open>);

impl Pending {
    pub fn note(&mut self, hit: Value) {
        let id = hit["conversion"]["id"].as_str().filter(|_| hit["status"] == "undecided");
        let Some(id) = id.map(str::to_owned) else { return };
        if self.0.len() >= WATCHED {
            self.0.pop_front();
        }
        self.0.push_back(Open { id, hit, looks: 0 });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn ids(&self) -> Vec<String> {
        self.0.iter().map(|open| open.id.clone()).collect()
    }

    pub fn still_open(&mut self, id: &str) {
        for open in self.0.iter_mut().filter(|open| open.id == id) {
            open.looks += 1;
        }
        self.0.retain(|open| open.looks < LOOKS);
    }

    /// The hit once more, as an outcome.
    pub fn decided(&mut self, id: &str, conversion: &Value) -> Option<Value> {
        let at = self.0.iter().position(|open| open.id == id)?;
        let mut hit = self.0.remove(at)?.hit;
        hit["kind"] = json!("outcome");
        hit["status"] = conversion["status"].clone();
        hit["reason"] = conversion["reason"].clone();
        hit["partner_id"] = conversion["partner_id"].clone();
        hit["link_id"] = conversion["link_id"].clone();
        hit["conversion"]["commission"] = conversion["commission"].clone();
        Some(hit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(id: &str, status: &str) -> Value {
        json!({ "kind": "conversion", "status": status, "order_id": "o", "conversion": { "id": id, "commission": null } })
    }

    #[test]
    fn what_is_open_is_told_once_when_it_is_decided() {
        let mut pending = Pending::default();
        pending.note(json!({ "kind": "click", "status": "counted", "conversion": null }));
        pending.note(hit("cnv_1", "attributed"));
        assert!(pending.is_empty());
        pending.note(hit("cnv_2", "undecided"));
        assert_eq!(pending.ids(), ["cnv_2"]);
        let conversion = json!({ "status": "attributed", "reason": null, "partner_id": "ptn_1", "link_id": "lnk_1", "commission": { "status": "pending" } });
        let told = pending.decided("cnv_2", &conversion).unwrap();
        assert_eq!((&told["kind"], &told["status"]), (&json!("outcome"), &json!("attributed")));
        assert_eq!((&told["order_id"], &told["partner_id"]), (&json!("o"), &json!("ptn_1")));
        assert_eq!(told["conversion"]["commission"]["status"], "pending");
        assert!(pending.is_empty() && pending.decided("cnv_2", &conversion).is_none());
    }

    #[test]
    fn nothing_is_watched_for_ever() {
        let mut pending = Pending::default();
        for n in 0..WATCHED + 10 {
            pending.note(hit(&format!("cnv_{n}"), "undecided"));
        }
        assert_eq!((pending.ids().len(), pending.ids()[0].as_str()), (WATCHED, "cnv_10"));
        for _ in 0..LOOKS {
            pending.still_open("cnv_10");
        }
        assert_eq!(pending.ids().len(), WATCHED - 1);
    }
}

//! Hits as a person or a program reads them.

use super::Format;
use serde_json::Value;
use std::io::{Result, Write};

const HEAD: [&str; 8] = ["TIME", "KIND", "STATUS", "REASON", "LINK", "PARTNER", "ORDER", "MORE"];
/// Of all columns but the last.
const WIDTHS: [usize; 7] = [10, 12, 14, 22, 14, 14, 18];

pub struct Show<W> {
    format: Format,
    out: W,
    shown: u64,
}

impl<W: Write> Show<W> {
    pub fn new(format: Format, out: W) -> Self {
        Self { format, out, shown: 0 }
    }

    pub fn hit(&mut self, hit: &Value) -> Result<()> {
        let first = self.shown == 0;
        self.shown += 1;
        match self.format {
            Format::Jsonl => writeln!(self.out, "{hit}"),
            // Every hit ends its line: whoever reads need not wait for the next one.
            Format::Json => writeln!(self.out, "{}{hit}", if first { '[' } else { ',' }),
            Format::Table => {
                if first {
                    writeln!(self.out, "{}", row(&HEAD.map(str::to_owned)))?;
                }
                writeln!(self.out, "{}", row(&cells(hit)))
            }
        }
    }

    pub fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }

    /// Nothing more comes.
    pub fn end(mut self) -> Result<()> {
        if self.format == Format::Json {
            writeln!(self.out, "{}", if self.shown == 0 { "[]" } else { "]" })?;
        }
        self.out.flush()
    }
}

fn row(cells: &[String; 8]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(WIDTHS) {
        // A cell that is too long pushes the others on rather than be cut: it may be what somebody looks for.
        line.push_str(&format!("{cell:<width$} "));
    }
    let [.., more] = cells;
    line.push_str(more);
    line.trim_end().to_owned()
}

fn cells(hit: &Value) -> [String; 8] {
    let time = text(&hit["at"]);
    let time =
        time.split_once('T').map_or(time.as_str(), |(_, time)| time.get(..8).unwrap_or(time)).to_owned();
    let or_dash = |name: &str| Some(text(&hit[name])).filter(|text| !text.is_empty()).unwrap_or("-".into());
    [
        time,
        or_dash("kind"),
        or_dash("status"),
        or_dash("reason"),
        or_dash("link_id"),
        or_dash("partner_id"),
        or_dash("order_id"),
        more(hit),
    ]
}

/// What only some hits have.
fn more(hit: &Value) -> String {
    let mut parts = vec![format!("{} {}", text(&hit["country"]), text(&hit["device"])).trim().to_owned()];
    if hit["test"] == true {
        parts.push("test".into());
    }
    let rule = &hit["verdict"]["rule_id"];
    if !rule.is_null() {
        parts.push(format!(
            "{} by {} v{}",
            text(&hit["verdict"]["kind"]),
            text(rule),
            text(&hit["verdict"]["rule_set_version"])
        ));
    }
    if hit["direct"] == true {
        parts.push("direct".into());
    }
    parts.extend(Some(text(&hit["unique"])).filter(|word| word == "repeated"));
    if hit["privacy"] == "reduced" {
        parts.push("privacy reduced".into());
    }
    parts.extend(Some(text(&hit["authority"])).filter(|_| !hit["goal"].is_null()));
    let commission = &hit["conversion"]["commission"];
    if !commission.is_null() {
        parts.push(format!("commission {} {}", money(&commission["amount"]), text(&commission["status"])));
        parts.push(text(&commission["reason"]));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// In minor units, as everywhere.
fn money(amount: &Value) -> String {
    format!("{} {}", text(&amount["amount"]), text(&amount["currency"]))
}

/// A terminal obeys control characters, wherever they come from.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(format: Format, hits: &[Value]) -> String {
        let mut out = Vec::new();
        let mut show = Show::new(format, &mut out);
        hits.iter().for_each(|hit| show.hit(hit).unwrap());
        show.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn click() -> Value {
        json!({
            "at": "2026-11-28T05:06:07.123456Z", "kind": "click", "status": "blocked", "reason": "blocked_by_rule",
            "link_id": "lnk_04hmasw9", "partner_id": "ptn_04hmasw9", "order_id": null, "country": "CN",
            "device": "mobile", "test": true, "direct": true, "unique": "repeated", "privacy": "reduced",
            "verdict": { "kind": "block", "rule_id": "no-\u{1b}[2Jcn", "rule_set_version": 3 },
        })
    }

    #[test]
    fn a_table_says_why_on_one_line() {
        let table = shown(Format::Table, &[click()]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("TIME       KIND         STATUS "));
        let cells: Vec<&str> = lines[1].split_whitespace().take(7).collect();
        let expected =
            ["05:06:07", "click", "blocked", "blocked_by_rule", "lnk_04hmasw9", "ptn_04hmasw9", "-"];
        assert_eq!(cells, expected);
        assert!(
            lines[1].ends_with("CN mobile, test, block by no-?[2Jcn v3, direct, repeated, privacy reduced"),
            "{}",
            lines[1]
        );
    }

    #[test]
    fn a_sale_says_what_it_earns() {
        let hit = json!({
            "kind": "outcome", "status": "attributed", "goal": "sale", "authority": "pixel", "order_id": "A-1",
            "conversion": { "commission": {
                "amount": { "amount": 100, "currency": "USD" }, "status": "pending", "reason": "awaiting_delivery" } },
        });
        assert_eq!(more(&hit), "pixel, commission 100 USD pending, awaiting_delivery");
    }

    #[test]
    fn json_is_json_and_lines_are_lines() {
        for hits in [vec![], vec![click()], vec![click(), click()]] {
            let whole: Value = serde_json::from_str(&shown(Format::Json, &hits)).unwrap();
            assert_eq!(whole, json!(hits));
            let lines = shown(Format::Jsonl, &hits);
            let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines, hits);
        }
    }

    #[test]
    fn whatever_a_server_says_is_shown() {
        for odd in [json!(null), json!([]), json!("x"), json!({ "at": "T", "verdict": 7, "conversion": [] })]
        {
            assert!(!row(&cells(&odd)).is_empty());
        }
    }
}

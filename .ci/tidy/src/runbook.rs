//! Alerts and what is written about them: each has its page and its test, no page is left over, what an alert looks at
//! exists, and no kind of trouble that a control plane knows goes without one.

use std::collections::BTreeSet;

pub const RULES: &str = "deploy/prometheus/alerts.yml";
pub const TESTS: &str = "deploy/prometheus/alerts_test.yml";
pub const PAGES: &str = "docs/runbook";
/// Where a control plane's own alerts have their kinds, and where these are explained.
pub const KINDS: &str = "control-plane/store/src/alerts.rs";
pub const TABLE: &str = "docs/fleet.md";
const INDEX: &str = "README.md";

/// What is compared, as text.
pub struct Texts<'a> {
    pub rules: &'a str,
    pub tests: &'a str,
    pub index: &'a str,
    /// Names of the files in [`PAGES`].
    pub pages: &'a [String],
    /// Where edges and control planes write their metrics.
    pub edge: &'a str,
    pub control_plane: &'a str,
    /// [`KINDS`] and [`TABLE`].
    pub kinds: &'a str,
    pub table: &'a str,
}

/// One line for each alert, page or metric that stands alone.
pub fn violations(texts: &Texts<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let alerts: BTreeSet<&str> = values(texts.rules, "- alert:").collect();
    let links: BTreeSet<&str> = values(texts.rules, "runbook:").collect();
    for alert in &alerts {
        let (page, link) = (format!("{alert}.md"), format!("{PAGES}/{alert}.md"));
        if !texts.pages.contains(&page) {
            found.push(format!("{RULES}: `{alert}` has no page; write {link}"));
        }
        if !links.contains(link.as_str()) {
            found.push(format!(
                "{RULES}: `{alert}` does not lead to its page; annotate it with `runbook: {link}`"
            ));
        }
        if !texts.index.contains(&format!("]({page})")) {
            found.push(format!("{PAGES}/{INDEX}: `{alert}` is not in the table; add its row"));
        }
        if !texts.tests.contains(&format!("alertname=\"{alert}\"")) {
            found.push(format!("{TESTS}: `{alert}` is never raised; add series that call for it"));
        }
    }
    for page in texts.pages.iter().filter(|page| *page != INDEX) {
        if !alerts.contains(page.trim_end_matches(".md")) {
            found.push(format!(
                "{PAGES}/{page}: there is no such alert in {RULES}; rename or remove the page"
            ));
        }
    }
    found.extend(kinds_without_a_rule(texts));
    let mut known = scraped(texts.edge, "tributary_edge_");
    known.extend(scraped(texts.control_plane, "tributary_"));
    for metric in metrics(texts.rules) {
        // Or it stands there as it is; Prometheus adds what a counter ends in.
        let written = metric.strip_suffix("_total").unwrap_or(metric);
        if !known.contains(metric) && !texts.control_plane.contains(&format!("\"{written}\"")) {
            found.push(format!("{RULES}: nothing writes the metric `{metric}`; correct its name"));
        }
    }
    found
}

fn values<'a>(yaml: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    yaml.lines().filter_map(move |line| Some(line.trim_start().strip_prefix(key)?.trim()))
}

/// Whole words that begin with our prefix, but in comments.
fn metrics(rules: &str) -> BTreeSet<&str> {
    let code = rules.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.filter(|word| word.starts_with("tributary_")).collect()
}

/// A rule for one kind leads to a page, as every rule does.
fn kinds_without_a_rule(texts: &Texts<'_>) -> Vec<String> {
    let rules: String = texts.rules.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let mut found = Vec::new();
    let kinds = kinds(texts.kinds);
    if kinds.is_empty() {
        found.push(format!(
            "{KINDS}: no kinds of alerts are found in `kinds! {{ … }}`; tell tidy where they are"
        ));
    }
    for kind in kinds {
        if !rules.contains(&format!("kind=\"{kind}\"")) {
            found.push(format!("{RULES}: nobody is told of `{kind}`; add a rule on `kind=\"{kind}\"`"));
        }
        if !texts.table.contains(&format!("| `{kind}` |")) {
            found.push(format!("{TABLE}: `{kind}` is not in the table of alerts; add its row"));
        }
    }
    found
}

/// The codes in `kinds! { Name = "code", … }`.
fn kinds(source: &str) -> Vec<&str> {
    let listed = source.split_once("\nkinds! {").and_then(|(_, rest)| rest.split_once("\n}"));
    let lines = listed.map_or("", |(listed, _)| listed).lines();
    lines.filter_map(|line| line.split_once(" = \"")?.1.strip_suffix("\",")).collect()
}

/// The names in calls such as `scrape.counter("spool_moved", …)`, as Prometheus sees them.
fn scraped(source: &str, prefix: &str) -> BTreeSet<String> {
    let name = |call: &str| {
        let (kind, arguments) = call.split_once('(')?;
        let ending = match kind {
            "counter" | "counters" => "_total",
            "gauge" | "gauges" | "decimal" => "",
            "info" => "_info",
            _ => return None,
        };
        let (name, _) = arguments.trim_start().strip_prefix('"')?.split_once('"')?;
        Some(format!("{prefix}{name}{ending}"))
    };
    source.split("scrape.").skip(1).filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    const EDGE: &str = "scrape.gauge(\"ready\", help, 1)?; scrape.counters(\n    \"halts\", help, x)";

    fn check(rules: &str, pages: &[&str], edge: &str, control_plane: &str) -> Vec<String> {
        let pages: Vec<String> = pages.iter().map(|page| (*page).to_owned()).collect();
        let (index, tests) = ("[A](A.md)", "labels: '{alertname=\"A\"}'");
        let kinds = "\nkinds! {\n    /// One.\n    Up = \"up\",\n}\n";
        let rules = format!("{rules}# kind=\"up\"\nkind=\"up\"\n");
        let table = "| `up` | it is up |";
        violations(&Texts { rules: &rules, tests, index, pages: &pages, edge, control_plane, kinds, table })
    }

    #[test]
    fn a_kind_that_nobody_is_told_of_is_named() {
        let kinds = "\nkinds! {\n    /// A is \"a\".\n    A = \"a\",\n    /// B.\n    B = \"b_c\",\n}\nconst C: &str = \"c\";";
        let rule = |kind: &str| format!("  expr: tributary_alerts_open{{kind=\"{kind}\"}} > 0\n");
        let row = |kind: &str| format!("| `{kind}` | what it means |\n");
        let both = |of: &dyn Fn(&str) -> String| of("a") + &of("b_c");
        let cases: &[(&str, String, String, &[&str])] = &[
            (kinds, both(&rule), both(&row), &[]),
            (kinds, rule("a"), both(&row), &["nobody is told of `b_c`"]),
            (kinds, rule("b_c") + "# kind=\"a\"", both(&row), &["nobody is told of `a`"]),
            (kinds, both(&rule), row("b_c"), &["docs/fleet.md: `a` is not in the table"]),
            (kinds, String::new(), row("b_c"), &["of `a`", "`a` is not in the table", "of `b_c`"]),
            ("enum AlertKind {}", both(&rule), both(&row), &["no kinds of alerts are found"]),
        ];
        for (kinds, rules, table, expected) in cases {
            let (tests, index, pages, edge, control_plane) =
                ("", "", &[][..], "", "\"tributary_alerts_open\"");
            let found = violations(&Texts { rules, tests, index, pages, edge, control_plane, kinds, table });
            let told = found.iter().zip(*expected).all(|(found, part)| found.contains(part));
            assert!(found.len() == expected.len() && told, "{rules}{table}: {found:?}");
        }
    }

    fn rule(alert: &str, expr: &str) -> String {
        format!(
            "# tributary_in_a_comment\n- alert: {alert}\n  expr: {expr}\n  runbook: docs/runbook/{alert}.md\n"
        )
    }

    #[test]
    fn what_stands_alone_is_named() {
        let pages: &[&str] = &["A.md", "README.md"];
        let cases: &[(String, &[&str], &str, &[&str])] = &[
            (rule("A", "tributary_edge_ready == 0"), pages, "", &[]),
            (rule("A", "rate(tributary_edge_halts_total[5m]) > 0"), pages, "", &[]),
            (rule("A", "up == 0"), &["README.md"], "", &["`A` has no page"]),
            (rule("A", "up == 0"), &["A.md", "B.md"], "", &["docs/runbook/B.md: there is no such alert"]),
            (rule("A", "up").replace("runbook/A", "runbook/a"), pages, "", &["does not lead to its page"]),
            (rule("B", "up"), &["B.md"], "", &["README.md: `B` is not in the table", "`B` is never raised"]),
            (rule("A", "tributary_edge_halts > 0"), pages, "", &["the metric `tributary_edge_halts`"]),
            (rule("A", "tributary_edge_reddy"), pages, "", &["the metric `tributary_edge_reddy`"]),
            (rule("A", "tributary_intake"), pages, "gauge(\"tributary_intake\")", &[]),
            (rule("A", "tributary_intake_total"), pages, "scrape.counter(\"intake\")", &[]),
            (rule("A", "tributary_intake"), pages, "\"intake\"", &["the metric `tributary_intake`"]),
            (rule("A", "tributary_edge_halted"), pages, "", &["nothing writes the metric"]),
            (rule("A", "tributary_edge_halted"), pages, "scrape.gauges(\"edge_halted\")", &[]),
            (rule("A", "tributary_batches_total"), pages, "scrape.counters((\"tributary_batches\"", &[]),
        ];
        for (rules, pages, control_plane, expected) in cases {
            let found = check(rules, pages, EDGE, control_plane);
            let told = found.iter().zip(*expected).all(|(found, part)| found.contains(part));
            assert!(found.len() == expected.len() && told, "{rules}{pages:?}: {found:?}");
        }
    }

    /// The tool that Prometheus's own people judge rules with.
    fn promtool(arguments: &[&str]) -> (bool, String) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let tool = std::env::var_os("TRIBUTARY_PROMTOOL")
            .map_or_else(|| root.join(".tools/bin/promtool"), PathBuf::from);
        assert!(tool.exists(), "{} is missing: run .ci/needs.sh", tool.display());
        let output = Command::new(tool).args(arguments).current_dir(root.join("deploy/prometheus")).output();
        let output = output.unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    }

    #[test]
    fn promtool_takes_the_rules_and_each_fires_when_it_should() {
        for arguments in [["check", "rules", "alerts.yml"].as_slice(), &["test", "rules", "alerts_test.yml"]]
        {
            let (passed, told) = promtool(arguments);
            assert!(passed, "{told}");
        }
    }
}

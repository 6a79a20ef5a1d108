//! What was found, for a person or a program.

use crate::error::BoxError;
use serde::Serialize;
use std::io::Write;
use std::process::ExitCode;

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Table,
    Json,
}

/// From the best to the worst.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Skipped,
    Ok,
    Warning,
    Wrong,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

#[derive(Serialize, Debug)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

#[derive(Serialize, Debug, Default)]
pub struct Report {
    checks: Vec<Finding>,
}

impl Report {
    fn add(&mut self, check: &'static str, verdict: Verdict, found: String, fix: Option<String>) {
        self.checks.push(Finding { check, verdict, found, fix });
    }

    pub fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Verdict::Ok, found.into(), None);
    }

    pub fn warning(&mut self, check: &'static str, found: impl Into<String>, fix: impl Into<String>) {
        self.add(check, Verdict::Warning, found.into(), Some(fix.into()));
    }

    pub fn wrong(&mut self, check: &'static str, found: impl Into<String>, fix: impl Into<String>) {
        self.add(check, Verdict::Wrong, found.into(), Some(fix.into()));
    }

    pub fn skipped(&mut self, check: &'static str, why: impl Into<String>) {
        self.add(check, Verdict::Skipped, why.into(), None);
    }

    /// The question itself failed.
    pub fn failed(&mut self, check: &'static str, error: &(dyn std::error::Error + 'static)) {
        let found = format!("cannot be checked: {}", crate::error::chain(error));
        self.wrong(check, found, "put right what the message says and run doctor again");
    }

    /// Whatever nothing was said about.
    pub fn skip_the_rest(&mut self, all: &[&'static str], why: &str) {
        for check in all {
            if !self.checks.iter().any(|finding| finding.check == *check) {
                self.skipped(check, why);
            }
        }
    }

    fn worst(&self) -> Verdict {
        self.checks.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
    }

    /// 0 = all well, 1 = something is wrong, 2 = nothing worse than warnings.
    pub fn exit_code(&self) -> ExitCode {
        match self.worst() {
            Verdict::Skipped | Verdict::Ok => ExitCode::SUCCESS,
            Verdict::Wrong => ExitCode::from(1),
            Verdict::Warning => ExitCode::from(2),
        }
    }

    pub fn print(&self, format: Format) -> Result<(), BoxError> {
        let mut stdout = std::io::stdout().lock();
        match format {
            Format::Table => stdout.write_all(self.table().as_bytes())?,
            Format::Json => {
                let verdict = self.worst().max(Verdict::Ok);
                writeln!(stdout, "{}", serde_json::json!({ "verdict": verdict, "checks": self.checks }))?;
            }
        }
        Ok(stdout.flush()?)
    }

    fn table(&self) -> String {
        let line = |finding: &Finding| {
            let Finding { check, verdict, found, fix } = finding;
            let fix = fix.as_ref().map(|fix| format!(". Fix: {fix}")).unwrap_or_default();
            // A message of a database may have several lines.
            let said = format!("{found}{fix}").split_whitespace().collect::<Vec<_>>().join(" ");
            format!("{check:<22}{:<9}{said}\n", verdict.word())
        };
        self.checks.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides() {
        let mut report = Report::default();
        report.skipped("a", "not there");
        assert_eq!(report.worst(), Verdict::Skipped);
        report.ok("b", "fine");
        report.skip_the_rest(&["a", "b", "c"], "why");
        assert_eq!(report.checks.len(), 3);
        report.warning("d", "two\nlines", "do this");
        assert_eq!(report.worst(), Verdict::Warning);
        report.wrong("e", "bad", "do that");
        assert_eq!(report.worst(), Verdict::Wrong);
        let table = report.table();
        assert_eq!(table.lines().count(), 5);
        assert!(table.contains("d                     warning  two lines. Fix: do this\n"), "{table}");
    }
}

//! One page for whoever watches. It says "equal" of what was found to be equal, and of nothing else.

use super::{Figures, Line};
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};

/// What became of one test.
enum Fate {
    Failed,
    Passed(Figures),
    Skipped(String),
}

#[derive(Default)]
pub struct Page {
    tests: BTreeMap<String, Fate>,
    steps: Vec<(String, bool, u64)>,
}

impl Page {
    pub(super) fn of(lines: impl Iterator<Item = Line>) -> Self {
        let mut page = Self::default();
        for line in lines {
            match line {
                Line::Begun(test) => drop(page.tests.insert(test, Fate::Failed)),
                Line::Ended { test, figures } => drop(page.tests.insert(test, Fate::Passed(figures))),
                Line::Skipped { test, why } => drop(page.tests.insert(test, Fate::Skipped(why))),
                Line::Step { name, passed, seconds } => page.steps.push((name, passed, seconds)),
            }
        }
        page
    }

    /// All that went well, together.
    fn total(&self) -> Figures {
        let mut total = Figures::default();
        for fate in self.tests.values() {
            if let Fate::Passed(figures) = fate {
                total.add(figures);
            }
        }
        total
    }

    /// Everything that stands against the word "equal".
    fn objections(&self) -> Vec<String> {
        let mut found: Vec<_> = self
            .steps
            .iter()
            .filter(|(_, passed, _)| !passed)
            .map(|(name, ..)| format!("{name}: failed"))
            .collect();
        for (test, fate) in &self.tests {
            match fate {
                Fate::Failed => found.push(format!("{test}: failed")),
                Fate::Passed(figures) => {
                    found.extend(figures.unequal().into_iter().map(|what| format!("{test}: {what}")));
                }
                Fate::Skipped(_) => {}
            }
        }
        if self.total().paid == 0 {
            found.push("nothing was clicked, sold and paid".to_owned());
        }
        found
    }

    pub fn is_good(&self) -> bool {
        self.objections().is_empty()
    }
}

/// As wide as the longest name of a test or a step.
const NAME: usize = 34;

fn row(f: &mut Formatter<'_>, name: &str, figures: &Figures) -> Result {
    let Figures { rounds, kills, faults, sent, answered, unanswered_journaled, journaled, counted, .. } =
        figures;
    let Figures { orders_sent, orders_answered, converted, credited, paid, seconds, .. } = figures;
    write!(
        f,
        "{name:<NAME$}{rounds:>7}{kills:>6}{faults:>7} |{sent:>8}{answered:>9}{unanswered_journaled:>6}"
    )?;
    write!(
        f,
        "{journaled:>10}{counted:>8} |{orders_sent:>8}{orders_answered:>9}{converted:>10}{credited:>9}"
    )?;
    writeln!(f, "{paid:>8} |{seconds:>6}")
}

impl Display for Page {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "\n{:<54} |{:<41} |{:<44} |", "VERDICT", " clicks", " orders")?;
        write!(
            f,
            "{:<NAME$} rounds kills faults |    sent answered other journaled counted |",
            "under load"
        )?;
        writeln!(f, "    sent answered converted credited    paid |     s")?;
        for (test, fate) in &self.tests {
            match fate {
                Fate::Passed(figures) => row(f, test, figures)?,
                Fate::Failed => writeln!(f, "{test:<NAME$} FAILED")?,
                Fate::Skipped(why) => writeln!(f, "{test:<NAME$} skipped: {why}")?,
            }
        }
        let total = self.total();
        row(f, "all of them", &total)?;
        writeln!(
            f,
            "(other: of the {} clicks that nobody answered, those in the journal; {} more clicks were redirected and",
            total.unanswered, total.not_kept
        )?;
        writeln!(f, "said not to be kept; orders were sent again {} times)\n", total.repeated)?;
        for (name, passed, seconds) in &self.steps {
            writeln!(f, "{name:<NAME$} {} in {seconds} s", if *passed { "passed" } else { "FAILED" })?;
        }
        self.conclude(f, &total)
    }
}

impl Page {
    fn conclude(&self, f: &mut Formatter<'_>, total: &Figures) -> Result {
        let objections = self.objections();
        if !objections.is_empty() {
            writeln!(f, "\nNOT PROVEN:")?;
            return objections.iter().try_for_each(|objection| writeln!(f, "  {objection}"));
        }
        let Figures { answered, unanswered_journaled, journaled, counted, .. } = total;
        let Figures { orders_sent, orders_answered, converted, credited, paid, .. } = total;
        writeln!(
            f,
            "\nclicks answered {answered} + other {unanswered_journaled} = journaled {journaled} = counted {counted}: equal"
        )?;
        writeln!(
            f,
            "orders sent {orders_sent} = answered {orders_answered} = converted {converted} = credited {credited} = paid {paid}: equal"
        )?;
        writeln!(
            f,
            "the journal's chain is whole, and the books balance and come out the same when made again"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&mut Figures);

    fn good() -> Figures {
        Figures {
            rounds: 2,
            kills: 16,
            faults: 3,
            sent: 110,
            answered: 100,
            not_kept: 4,
            unanswered: 6,
            unanswered_journaled: 1,
            journaled: 101,
            counted: 101,
            orders_sent: 100,
            orders_answered: 100,
            repeated: 9,
            converted: 100,
            credited: 100,
            paid: 100,
            seconds: 70,
        }
    }

    fn page(of: impl IntoIterator<Item = Line>) -> Page {
        // By way of the file.
        let through = |line: Line| serde_json::from_str(&serde_json::to_string(&line).unwrap()).unwrap();
        Page::of(of.into_iter().map(through))
    }

    fn ended(test: &str, figures: Figures) -> [Line; 2] {
        [Line::Begun(test.into()), Line::Ended { test: test.into(), figures }]
    }

    fn step(passed: bool) -> Line {
        Line::Step { name: "images".into(), passed, seconds: 5 }
    }

    #[test]
    fn whatever_is_equal_is_said_to_be() {
        let skipped = Line::Skipped { test: "disk".into(), why: "no strace".into() };
        let page =
            page(ended("one", good()).into_iter().chain(ended("two", good())).chain([step(true), skipped]));
        let text = page.to_string();
        assert!(page.is_good(), "{text}");
        for line in [
            "clicks answered 200 + other 2 = journaled 202 = counted 202: equal",
            "orders sent 200 = answered 200 = converted 200 = credited 200 = paid 200: equal",
            &format!("{:<NAME$} passed in 5 s", "images"),
            &format!("{:<NAME$} skipped: no strace", "disk"),
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.contains("      4    32      6 |     220      200     2       202     202 |"), "{text}");
    }

    #[test]
    fn whatever_is_not_equal_is_named() {
        let cases: [(Spoil, &str); 8] = [
            (|f| f.sent += 1, "one: sent 111, but answered, not kept and unanswered 110"),
            (|f| f.unanswered_journaled = 0, "one: journaled 101, but answered and of the unanswered 100"),
            (|f| f.counted -= 1, "one: counted 100, but journaled 101"),
            (|f| f.orders_sent += 1, "one: orders answered 100, but orders sent 101"),
            (|f| f.converted -= 1, "one: converted 99, but orders answered 100"),
            (|f| f.credited += 1, "one: credited 101, but converted 100"),
            (|f| f.paid -= 1, "one: paid 99, but credited 100"),
            (|f| (f.unanswered, f.not_kept) = (0, 10), "one: more clicks of the unanswered than there are"),
        ];
        for (spoil, said) in cases {
            let mut figures = good();
            spoil(&mut figures);
            let page = page(ended("one", figures).into_iter().chain(ended("two", good())));
            assert!(!page.is_good() && page.to_string().contains(said), "{said}\n{page}");
            assert!(!page.to_string().contains("equal"), "{page}");
        }
    }

    /// A deficit of one test is no balance for another's surplus.
    #[test]
    fn each_test_has_to_be_equal() {
        let (mut less, mut more) = (good(), good());
        (less.paid, more.paid) = (99, 101);
        assert!(!page(ended("less", less).into_iter().chain(ended("more", more))).is_good());
    }

    #[test]
    fn whoever_has_not_come_to_an_end_has_failed() {
        let two = || ended("two", good()).into_iter();
        let cases: [(Page, &str); 3] = [
            (page(two().chain([Line::Begun("one".into())])), "one: failed"),
            (page(two().chain([step(false)])), "images: failed"),
            (page([step(true)]), "nothing was clicked, sold and paid"),
        ];
        for (page, said) in cases {
            assert!(!page.is_good() && page.to_string().contains(said), "{said}\n{page}");
            assert!(!page.to_string().contains("equal"), "{page}");
        }
    }
}

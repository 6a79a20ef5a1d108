//! What each test under load has done and found, kept in one file by all of them, so that `make soak` ends with one page.

mod page;

use page::Page;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

/// Names the file; without it nobody is told.
const FILE: &str = "TRIBUTARY_SOAK_VERDICT";

type Side = (&'static str, usize);

/// Of one test, or of several together. Clicks first, then their orders.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    pub rounds: usize,
    /// Processes that got a SIGKILL.
    pub kills: usize,
    /// System calls that failed, messages that were tampered with, networks that broke.
    pub faults: usize,
    pub sent: usize,
    pub answered: usize,
    /// Answered by a redirect that said that the click is not kept.
    pub not_kept: usize,
    pub unanswered: usize,
    /// Of those that nobody answered: they may, and need not, be there.
    pub unanswered_journaled: usize,
    pub journaled: usize,
    pub counted: usize,
    pub orders_sent: usize,
    pub orders_answered: usize,
    /// How often one of them had to be sent again.
    pub repeated: usize,
    pub converted: usize,
    pub credited: usize,
    pub paid: usize,
    pub seconds: u64,
}

impl Figures {
    /// What is not equal and has to be.
    pub fn unequal(&self) -> Vec<String> {
        let differ = self.equations().into_iter().filter(|((_, left), (_, right))| left != right);
        let mut found: Vec<_> =
            differ.map(|((left, is), (right, not))| format!("{left} {is}, but {right} {not}")).collect();
        if self.unanswered_journaled > self.unanswered {
            found.push("more clicks of the unanswered than there are".to_owned());
        }
        found
    }

    /// Each side with its name.
    fn equations(&self) -> [(Side, Side); 7] {
        let clicks = ("answered, not kept and unanswered", self.answered + self.not_kept + self.unanswered);
        let kept = ("answered and of the unanswered", self.answered + self.unanswered_journaled);
        let journaled = ("journaled", self.journaled);
        let (ordered, converted) = (("orders answered", self.orders_answered), ("converted", self.converted));
        let credited = ("credited", self.credited);
        [
            (("sent", self.sent), clicks),
            (journaled, kept),
            (("counted", self.counted), journaled),
            (ordered, ("orders sent", self.orders_sent)),
            (converted, ordered),
            (credited, converted),
            (("paid", self.paid), credited),
        ]
    }

    pub fn add(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.kills += other.kills;
        self.faults += other.faults;
        self.sent += other.sent;
        self.answered += other.answered;
        self.not_kept += other.not_kept;
        self.unanswered += other.unanswered;
        self.unanswered_journaled += other.unanswered_journaled;
        self.journaled += other.journaled;
        self.counted += other.counted;
        self.orders_sent += other.orders_sent;
        self.orders_answered += other.orders_answered;
        self.repeated += other.repeated;
        self.converted += other.converted;
        self.credited += other.credited;
        self.paid += other.paid;
        self.seconds += other.seconds;
    }
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Begun(String),
    Ended {
        test: String,
        figures: Figures,
    },
    Skipped {
        test: String,
        why: String,
    },
    /// Of a whole run of tests: written by whoever started it.
    Step {
        name: String,
        passed: bool,
        seconds: u64,
    },
}

/// Whole lines, since several processes write.
fn write(line: &Line) {
    let Some(file) = std::env::var_os(FILE) else { return };
    let mut text = serde_json::to_string(line).expect("it has no maps");
    text.push('\n');
    let file = std::fs::File::options().create(true).append(true).open(&file);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the verdict can be written");
}

/// What one test does. One that is begun and never ended has failed.
pub struct Record {
    test: &'static str,
    began: Instant,
    pub figures: Figures,
}

impl Record {
    pub fn begin(test: &'static str) -> Self {
        write(&Line::Begun(test.to_owned()));
        Self { test, began: Instant::now(), figures: Figures::default() }
    }

    /// One more round.
    pub fn add(&mut self, found: &Figures) {
        self.figures.add(found);
        self.figures.rounds += 1;
    }

    pub fn end(mut self, kills: usize) {
        self.figures.kills = kills;
        self.figures.seconds = self.began.elapsed().as_secs();
        eprintln!("{}: {:?}", self.test, self.figures);
        write(&Line::Ended { test: self.test.to_owned(), figures: self.figures });
    }
}

/// Said aloud, too: the harness keeps to itself what a test that passes has to say.
pub fn skip(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
    write(&Line::Skipped { test: test.to_owned(), why: why.to_owned() });
}

/// Not a test of its own: it prints what the others have written down, and fails if they did.
#[test]
#[ignore = "the last step of a soak"]
fn the_page() -> ExitCode {
    let file = std::env::var_os(FILE).expect("a file that tests have written to");
    let text = std::fs::read_to_string(file).expect("it can be read");
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("a line of the verdict"));
    let page = Page::of(lines);
    eprint!("{page}");
    if page.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

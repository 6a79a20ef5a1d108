//! A control plane that dies at any commit, before or after it, goes on from its checkpoints: what stands in the
//! database in the end is what stands there when nobody dies.

mod books;
mod process;
mod scenario;

use books::Books;
use control_plane_server::{AppError, DatabaseUrl};
use control_plane_store::{Dies, StoreError};
use process::Process;
use scenario::Scenario;

/// On PostgreSQL a run takes seconds, so only every so many commits have a turn, others on each side, except in a soak.
/// Which commits there are is the same on both databases.
const EVERY_ON_POSTGRES: u64 = 20;

/// The first commit of a process that is about what the one before it left undone: with three it takes the leases and
/// lets the edge in.
const TAKING_OVER: u64 = 4;

/// How far the callers have come; it outlives the processes that they call.
#[derive(Default)]
struct Callers {
    steps_done: usize,
}

/// One process, until the scenario is at its end or the process dies. What a caller got no answer to, the next
/// process hears again.
async fn live(
    scenario: &Scenario,
    database: &DatabaseUrl,
    trap: Option<(u64, Dies)>,
    callers: &mut Callers,
) -> Result<u64, AppError> {
    let mut process = Process::start(scenario, database, trap).await?;
    for step in scenario.steps.iter().skip(callers.steps_done) {
        process.take(step).await?;
        callers.steps_done += 1;
    }
    process.assert_proven(scenario).await;
    Ok(process.stop().await)
}

/// Nobody dies: what stands in the end, and how many commits it took.
async fn undisturbed(scenario: &Scenario) -> (Books, u64) {
    let database = scenario.database();
    let commits = live(scenario, &database, None, &mut Callers::default()).await.unwrap();
    (Books::read(&database, scenario).await, commits)
}

fn is_death(result: &Result<u64, AppError>) -> bool {
    matches!(result, Err(AppError::Store(StoreError::Unavailable(_))))
}

/// The process dies at one commit, the one after it while it takes over, and a third one goes on.
async fn disturbed(scenario: &Scenario, commit: u64, dies: Dies) -> Books {
    let database = scenario.database();
    let mut callers = Callers::default();
    let died = live(scenario, &database, Some((commit, dies)), &mut callers).await;
    assert!(is_death(&died), "commit {commit}, {dies:?}: {died:?}");
    // With little left to do, it comes to the end before it dies.
    let died = live(scenario, &database, Some((TAKING_OVER, dies)), &mut callers).await;
    assert!(died.is_ok() || is_death(&died), "taking over from commit {commit}, {dies:?}: {died:?}");
    let ended = live(scenario, &database, None, &mut callers).await;
    assert!(ended.is_ok(), "going on from commit {commit}, {dies:?}: {ended:?}");
    let books = Books::read(&database, scenario).await;
    scenario.forget(&database);
    books
}

/// Which commits to die at.
fn commits_to_die_at(all: u64, dies: Dies) -> impl Iterator<Item = u64> {
    let is_short = std::env::var_os("TRIBUTARY_SOAK_MINUTES").is_none();
    let every = control_plane_testing::chosen().filter(|_| is_short).map_or(1, |_| EVERY_ON_POSTGRES);
    let first = match dies {
        Dies::BeforeCommit => 1,
        Dies::AfterCommit => 1 + every / 2,
    };
    (first..=all).step_by(usize::try_from(every).unwrap())
}

async fn nobody_sees_who_died(dies: Dies) {
    let scenario = Scenario::new().await;
    let (expected, commits) = undisturbed(&scenario).await;
    expected.assert_tell_something();
    assert!(commits >= 40, "{commits} commits are too few to tell anything");
    for commit in commits_to_die_at(commits, dies) {
        let found = disturbed(&scenario, commit, dies).await;
        found.assert_same(&expected, &format!("commit {commit} of {commits}, {dies:?}"));
    }
}

#[tokio::test]
async fn whoever_dies_before_a_commit_is_not_seen_in_the_end() {
    nobody_sees_who_died(Dies::BeforeCommit).await;
}

#[tokio::test]
async fn whoever_dies_after_a_commit_is_not_seen_in_the_end() {
    nobody_sees_who_died(Dies::AfterCommit).await;
}

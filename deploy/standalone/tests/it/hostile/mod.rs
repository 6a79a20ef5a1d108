//! What only an attacker sends, played against the real process while an honest client goes on clicking. Every
//! attack ends in a refusal or a closed connection; the process lives, says nothing of a panic, takes no more
//! memory than the attack may cost, gives back its descriptors, and the honest client notices nothing.

mod field;
mod files;
mod http1;
mod http2;
mod identity;
mod initial;
mod quic;
mod redirects;
mod slow;
mod watch;
mod wire;

use field::{Field, Setup};

/// The numbers in the names are those of the catalogue of hostile input that these tests go through.
struct Attack {
    name: &'static str,
    /// What memory may grow by while it is played.
    grows_mib: u64,
    play: fn(&Field),
}

const fn attack(name: &'static str, play: fn(&Field)) -> Attack {
    Attack { name, grows_mib: 24, play }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_led_astray() {
    Field::start(Setup::default()).await.play(redirects::ATTACKS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_http1_is_refused() {
    Field::start(Setup::default()).await.play(http1::ATTACKS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_or_silent_peer_takes_little_room() {
    Field::start(Setup::default()).await.play(slow::ATTACKS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_http2_end_their_own_connection_only() {
    Field::start(Setup::default()).await.play(http2::ATTACKS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_of_quic_shut_nobody_out() {
    Field::start(Setup::default()).await.play(quic::ATTACKS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_identities_and_data_are_refused() {
    let setup = Setup { proxy_header: true };
    Field::start(setup).await.play(identity::ATTACKS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_database_is_not_taken() {
    Field::start(Setup::default()).await.play(files::WHILE_RUNNING).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_snapshots_are_replaced_at_the_start() {
    files::damage_between_runs(Field::start(Setup::default()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_snapshot_does_not_return() {
    files::an_older_one_returns(Field::start(Setup::default()).await).await;
}

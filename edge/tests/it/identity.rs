//! Enrolment and renewal.

use crate::control_plane::ControlPlane;
use crate::node::{World, until};
use crate::shut::is_refused;
use edge::spool::Shut;
use edge::{EdgeHandle, EnrollError};
use proto_model::Lane;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[tokio::test]
async fn an_identity_is_private_and_made_once() {
    let world = World::new().await;
    let dir = world.dir.path().join("identity");
    for entry in std::fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    let again = edge::enroll(world.dir.path(), &world.control.bundle()).await;
    assert!(matches!(again, Err(EnrollError::AlreadyEnrolled { .. })));
}

#[tokio::test]
async fn a_refused_enrolment_leaves_nothing() {
    let world = World::new().await;
    let fresh = tempfile::tempdir().unwrap();
    let mut bundle = world.control.bundle();
    bundle.token = proto_wire::join::new_token();
    assert!(matches!(edge::enroll(fresh.path(), &bundle).await, Err(EnrollError::Refused(_))));
    assert_eq!(std::fs::read_dir(fresh.path()).unwrap().count(), 0);
    let stranger = ControlPlane::new();
    let _listener = stranger.listen().await;
    bundle.url = stranger.bundle().url;
    assert!(
        matches!(edge::enroll(fresh.path(), &bundle).await, Err(EnrollError::Connect { .. })),
        "another CA"
    );
}

#[tokio::test]
async fn a_day_old_certificate_is_renewed_and_the_next_connection_shows_the_new_one() {
    let world = World::new().await;
    let path = age(&world);
    let node = world.start().await;
    renewed(&world, &path).await;
    let sessions = world.control.lock().sessions;
    world.control.hang_up();
    world.control.until("reconnected", |inner| inner.sessions > sessions).await;
    let certificates = world.control.lock().certificates.clone();
    assert_ne!(certificates.first(), certificates.last());
    node.shutdown().await;
}

/// Makes the certificate an old one. Returns where it stands.
fn age(world: &World) -> PathBuf {
    let path = world.dir.path().join("identity/tls.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let aged: String = text
        .lines()
        .map(|line| {
            if line.starts_with("issued_at_secs") {
                "issued_at_secs = 1000\n".into()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    std::fs::write(&path, aged).unwrap();
    path
}

async fn renewed(world: &World, path: &Path) {
    world.control.until("renewed", |inner| inner.renewals == 1 && !inner.certificates.is_empty()).await;
    until("stored", || {
        let text = std::fs::read_to_string(path).unwrap();
        text.contains("issued_at_secs = 1") && !text.contains("issued_at_secs = 1000\n")
    })
    .await;
}

#[tokio::test]
async fn an_open_session_outlives_a_renewal() {
    let mut world = World::new().await;
    let path = age(&world);
    world.control.renews.send_replace(false);
    let node = world.start().await;
    world.spool_some(&node, 5).await;
    world.all_arrived().await;
    world.control.renews.send_replace(true);
    renewed(&world, &path).await;
    world.spool_some(&node, 5).await;
    world.all_arrived().await;
    assert_eq!(world.control.lock().sessions, 1);
    node.shutdown().await;
}

/// Cut off for longer than the certificate lives.
async fn long_cut_off() -> (World, EdgeHandle) {
    let control = ControlPlane::new();
    control.lock().expired = true;
    let mut world = World::enrolled_by(control).await;
    world.control.lock().expired = false;
    world.listener = None;
    let node = world.start().await;
    world.spool_some(&node, 50).await;
    (world, node)
}

#[tokio::test]
async fn what_waited_behind_an_expired_certificate_arrives_when_the_control_plane_is_back() {
    let (mut world, node) = long_cut_off().await;
    world.listener = Some(world.control.listen().await);
    world.all_arrived().await;
    assert_eq!(world.control.lock().renewals, 1);
    node.shutdown().await;
}

#[tokio::test]
async fn an_edge_that_was_revoked_meanwhile_takes_nothing_more() {
    let (mut world, node) = long_cut_off().await;
    world.control.lock().denies = true;
    world.listener = Some(world.control.listen().await);
    until("shut", || Lane::ALL.iter().all(|lane| is_refused(&node, *lane) == Some(Shut::Denied))).await;
    node.shutdown().await;
}

#[tokio::test]
async fn a_node_without_identity_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let config = edge::Config { data_dir: dir.path().to_path_buf(), ..edge::Config::default() };
    let error = edge::start(config).await.err().unwrap();
    assert!(format!("{:?}", error).contains("NotEnrolled"), "{error}");
}

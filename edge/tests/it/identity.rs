//! Enrolment and renewal.

use crate::node::World;
use edge::EnrollError;
use std::os::unix::fs::PermissionsExt;

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
    let stranger = crate::control_plane::ControlPlane::new();
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
    let node = world.start().await;
    world.control.until("renewed", |inner| inner.renewals == 1 && !inner.certificates.is_empty()).await;
    crate::node::until("stored", || {
        std::fs::read_to_string(&path).unwrap().contains("issued_at_secs = 1")
            && !std::fs::read_to_string(&path).unwrap().contains("issued_at_secs = 1000\n")
    })
    .await;
    let sessions = world.control.lock().sessions;
    world.control.hang_up();
    world.control.until("reconnected", |inner| inner.sessions > sessions).await;
    let certificates = world.control.lock().certificates.clone();
    assert_ne!(certificates.first(), certificates.last());
    node.shutdown().await;
}

#[tokio::test]
async fn a_node_without_identity_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let config = edge::Config { data_dir: dir.path().to_path_buf(), ..edge::Config::default() };
    let error = edge::start(config).await.err().unwrap();
    assert!(format!("{:?}", error).contains("NotEnrolled"), "{error}");
}

//! A PostgreSQL that insists on TLS, and shows who it is.

use crate::faults::private;
use control_plane_store::{DatabaseUrl, Store};
use control_plane_testing::{Options, Tls};
use std::error::Error;
use std::fs;

/// An error with all that it says of its causes.
fn told(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

#[tokio::test]
async fn a_server_is_believed_by_its_certificate_alone() {
    let shown = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let tls = Tls { certificate: shown.cert.pem(), key: shown.signing_key.serialize_pem(), required: true };
    let Some((_server, url)) = private(Options { tls: Some(tls), ..Options::default() }) else { return };
    let DatabaseUrl::Postgres(url) = url else { unreachable!() };
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root.pem");
    fs::write(&root, shown.cert.pem()).unwrap();
    let other = directory.path().join("other.pem");
    let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(&other, stranger.cert.pem()).unwrap();

    let (root, other) = (root.display(), other.display());
    let cases = [
        (format!("sslmode=verify-full&sslrootcert={root}"), None),
        ("sslmode=require".to_owned(), None),
        ("sslmode=verify-full".to_owned(), Some("certificate")),
        (format!("sslmode=verify-full&sslrootcert={other}"), Some("certificate")),
        ("sslmode=disable".to_owned(), Some("no encryption")),
    ];
    for (parameters, expected) in cases {
        let opened = Store::open(&format!("{url}?{parameters}").parse().unwrap()).await;
        match (opened, expected) {
            (Ok(store), None) => assert_eq!(store.catalog_version().await.unwrap(), 1),
            (Err(error), Some(why)) => {
                let told = told(&error);
                assert!(told.contains(why), "{parameters}: {told}");
                let password = url.split([':', '@']).nth(2).unwrap();
                assert!(!told.contains(password), "{parameters}: {told}");
            }
            (Ok(_), Some(_)) => panic!("{parameters} was taken"),
            (Err(error), None) => panic!("{parameters}: {}", told(&error)),
        }
    }
}

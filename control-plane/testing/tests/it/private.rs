//! Servers that a test has for itself.

use control_plane_testing::{Options, Server, Stop, Tls};

#[test]
fn data_and_address_outlive_a_stop_and_nothing_outlives_a_drop() {
    let mut server = Server::start(Options::default()).unwrap();
    let database = server.create_database();
    server.psql(&database.url, "CREATE TABLE kept (number BIGINT)").unwrap();
    for (number, mode) in [(1, Stop::Immediate), (2, Stop::Fast)] {
        server.psql(&database.url, &format!("INSERT INTO kept VALUES ({number})")).unwrap();
        server.stop(mode).unwrap();
        let refused = server.psql(&database.url, "SELECT 1").unwrap_err().to_string();
        assert!(refused.contains("Connection refused"), "{refused}");
        server.stop(mode).expect_err("it does not run");
        server.start_again().unwrap();
        assert_eq!(server.psql(&database.url, "SELECT max(number) FROM kept").unwrap(), number.to_string());
    }
    let directory = server.directory().to_owned();
    assert!(directory.join("log").is_file());
    drop(server);
    assert!(!directory.exists());
}

#[test]
fn settings_and_place_are_the_tests_to_choose() {
    let parent = tempfile::tempdir().unwrap();
    crate::open_to_all(parent.path());
    let settings =
        vec![("max_connections".to_owned(), "7".to_owned()), ("cluster_name".to_owned(), "it's".to_owned())];
    let parent = Some(parent.path().to_owned());
    let server = Server::start(Options { settings, parent: parent.clone(), ..Options::default() }).unwrap();
    assert_eq!(server.directory().parent(), parent.as_deref());
    let shown = "SHOW max_connections; SHOW cluster_name";
    assert_eq!(
        server.superuser_psql("postgres", shown).unwrap(),
        "7
it's"
    );
}

#[test]
fn a_server_that_cannot_start_says_why_and_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    crate::open_to_all(parent.path());
    let there = Some(parent.path().to_owned());
    let wrong = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let cases = [
        (Options { settings: wrong, parent: there, ..Options::default() }, "no_such_setting"),
        (Options { parent: Some("/no/such/folder".into()), ..Options::default() }, "/no/such/folder"),
    ];
    for (options, expected) in cases {
        let error = Server::start(options).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(expected), "{cause}");
    }
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn tls_is_offered_or_required() {
    let shown = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let root = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(root.path(), shown.cert.pem()).unwrap();
    for required in [false, true] {
        let (certificate, key) = (shown.cert.pem(), shown.signing_key.serialize_pem());
        let tls = Some(Tls { certificate, key, required });
        let server = Server::start(Options { tls, ..Options::default() }).unwrap();
        let url = server.create_database().url;
        let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

        let verified = url.replace("127.0.0.1", "localhost");
        let verified = format!("{verified}?sslmode=verify-full&sslrootcert={}", root.path().display());
        assert_eq!(server.psql(&verified, encrypted).unwrap(), "t");

        let plain = server.psql(&format!("{url}?sslmode=disable"), encrypted);
        match plain {
            Ok(answer) => assert!(!required && answer == "f", "{answer}"),
            Err(refused) => assert!(required && refused.to_string().contains("no encryption"), "{refused}"),
        }
    }
}

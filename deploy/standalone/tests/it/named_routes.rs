//! Whoever is told to call the REST interface, by the documentation or by a message, is told what there is.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
/// Texts for people, from this crate's directory.
const PLACES: [&str; 4] = ["../../docs", "../../README.md", "src", "../../control-plane/server/src"];

/// What a parameter is called says nothing.
fn without_names(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

fn routes() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(&control_plane_server::rest::openapi_json()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, methods): (&String, &Value)| {
        let methods: Vec<String> = methods.as_object().expect("methods").keys().cloned().collect();
        let path = without_names(path);
        methods.into_iter().map(move |method| (method.to_uppercase(), path.clone()))
    };
    paths.iter().flat_map(of_path).collect()
}

/// `METHOD /v1/...`, also over the end of a line.
fn named(text: &str) -> Vec<(String, String)> {
    let text = text.replace('\\', " ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let pair = |pair: &[&str]| {
        let method = pair[0].rsplit(|c: char| !c.is_ascii_uppercase()).next()?;
        let end = pair[1].find(|c: char| !(c.is_ascii_alphanumeric() || "/_-{}".contains(c)));
        let path = pair[1].get(..end.unwrap_or(pair[1].len()))?;
        let is_one = METHODS.contains(&method) && path.starts_with("/v1/");
        is_one.then(|| (method.to_owned(), without_names(path.trim_end_matches('/'))))
    };
    words.windows(2).filter_map(pair).collect()
}

fn files(place: PathBuf, found: &mut Vec<PathBuf>) {
    if place.is_file() {
        let of_people = place.extension().is_some_and(|end| end == "md" || end == "rs");
        found.extend(of_people.then_some(place));
    } else {
        for entry in std::fs::read_dir(&place).expect("a directory") {
            files(entry.expect("an entry").path(), found);
        }
    }
}

#[test]
fn every_route_that_people_are_told_of_is_there() {
    let routes = routes();
    assert!(routes.len() > 40, "{routes:?}");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    PLACES.iter().for_each(|place| files(here.join(place), &mut all));
    let mut seen = 0;
    for file in all {
        for route in named(&std::fs::read_to_string(&file).expect("a text")) {
            assert!(routes.contains(&route), "{}: there is no {} {}", file.display(), route.0, route.1);
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} are named anywhere");
}

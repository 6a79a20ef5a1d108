//! The committed document is the one that the code makes, and the table of policies covers it.

use control_plane_server::rest::openapi_json;
use control_plane_server::rest::policy::{ROUTES, policy_of};
use http::Method;
use serde_json::Value;
use std::collections::BTreeSet;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

/// Every (method, path) of the document.
pub fn operations() -> Vec<(Method, String)> {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            found.push((method.to_uppercase().parse().unwrap(), path.clone()));
        }
    }
    found
}

#[test]
fn the_committed_document_is_up_to_date() {
    let made = openapi_json();
    if std::env::var_os("TRIBUTARY_WRITE_OPENAPI").is_some() {
        std::fs::write(COMMITTED, &made).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(committed == made, "openapi.json is not what the code makes: run `make openapi` and commit it");
}

#[test]
fn every_route_has_a_policy_and_every_policy_a_route() {
    let documented: BTreeSet<_> = operations().into_iter().map(|(m, path)| (m.to_string(), path)).collect();
    let table: BTreeSet<_> = ROUTES.iter().map(|r| (r.method.to_string(), r.path.to_owned())).collect();
    assert_eq!(documented, table);
    assert_eq!(ROUTES.len(), table.len(), "no route stands twice");
    assert_eq!(policy_of(&Method::HEAD, "/v1/links"), policy_of(&Method::GET, "/v1/links"));
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let mut open = vec![&document];
    let mut references = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    references += 1;
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                open.extend(map.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(references > 100);
}

#[test]
fn operation_ids_are_unique_and_everything_is_described() {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let mut ids = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} stands twice");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{id}");
            assert!(operation["responses"]["default"].is_object(), "{id}");
        }
    }
}

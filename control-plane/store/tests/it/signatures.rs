//! Which operations of the store are about a tenant's rows, read from its sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Everything under `directory` that is Rust, without its comments.
fn sources(directory: &Path, all: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            lines.for_each(|line| all.extend([line, "\n"]));
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Types that name a tenant: the ids, and what has one among its fields, however deep.
fn types(sources: &str) -> BTreeSet<String> {
    let mut types: BTreeSet<String> = ["TenantId", "ShardKey"].map(str::to_owned).into();
    // The store itself and what works for it are not records.
    let structs: Vec<(&str, &str)> = sources
        .split("pub struct ")
        .skip(1)
        .filter_map(|rest| {
            let body = rest.split_once('{')?;
            Some((words(body.0).next()?, body.1.split_once('}')?.0))
        })
        .collect();
    loop {
        let more: Vec<String> = structs
            .iter()
            .filter(|(name, body)| !types.contains(*name) && words(body).any(|word| types.contains(word)))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        if more.is_empty() {
            return types;
        }
        types.extend(more);
    }
}

/// Public operations that are given a tenant, by name.
pub fn of_tenants() -> BTreeSet<String> {
    let mut all = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let types = types(&all);
    let operations = all.split("pub async fn ").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once('(')?;
        let arguments = rest.split_once(") ->").map_or(rest, |(arguments, _)| arguments);
        let of_store = arguments.trim_start().starts_with("&self");
        (of_store && words(arguments).any(|word| types.contains(word))).then(|| name.to_owned())
    });
    operations.collect()
}

#[test]
fn the_sources_are_understood() {
    let operations = of_tenants();
    for name in ["get_link", "append_intake", "create_advertiser", "links_by_id", "commit_projection"] {
        assert!(operations.contains(name), "{name} is given a tenant");
    }
    for name in ["append_batch", "list_edges", "acquire_lease", "catalog_snapshot", "claim"] {
        assert!(!operations.contains(name), "{name} is not");
    }
}

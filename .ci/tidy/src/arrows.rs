//! Who may depend on whom. This table is the one in the design; a new arrow is a decision, not a detail.

use crate::workspace::{Crate, Kind};

struct Row {
    name: &'static str,
    path: &'static str,
    /// Crates of this workspace; in tests too.
    may_use: &'static [&'static str],
    /// External crates of a pure crate. `None` = any.
    externals: Option<&'static [&'static str]>,
}

const MODEL: &str = "proto-model";
const RULES: &str = "proto-rules";
const WIRE: &str = "proto-wire";
const DOMAIN: &str = "control-plane-domain";
const STORE: &str = "control-plane-store";
const SERVER: &str = "control-plane-server";
/// A real database for tests. Whoever may know the store may use it, in tests alone.
const TESTING: &str = "control-plane-testing";

const ALL: &[&str] = &[MODEL, RULES, WIRE, "geoip", "edge", DOMAIN, STORE, SERVER, "tributary", "loadtest"];

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { name: MODEL, path: "proto/model", may_use: &[], externals: Some(&["sha2", "thiserror"]) },
    Row { name: RULES, path: "proto/rules", may_use: &[MODEL], externals: Some(&["thiserror"]) },
    Row { name: WIRE, path: "proto/wire", may_use: &[MODEL, RULES], externals: None },
    Row { name: "geoip", path: "geoip", may_use: &[MODEL], externals: None },
    Row { name: "edge", path: "edge", may_use: &[MODEL, RULES, WIRE, "geoip"], externals: None },
    Row { name: DOMAIN, path: "control-plane/domain", may_use: &[MODEL, RULES], externals: Some(&["sha2", "thiserror"]) },
    Row { name: STORE, path: "control-plane/store", may_use: &[MODEL, RULES, DOMAIN], externals: None },
    Row { name: SERVER, path: "control-plane/server", may_use: &[MODEL, RULES, WIRE, DOMAIN, STORE], externals: None },
    Row { name: TESTING, path: "control-plane/testing", may_use: &[], externals: None },
    Row { name: "tributary", path: "deploy/standalone", may_use: ALL, externals: None },
    Row { name: "loadtest", path: "loadtest", may_use: ALL, externals: None },
    Row { name: "ci-tidy", path: ".ci/tidy", may_use: &[], externals: None },
];

/// What tests of a pure crate may use besides.
const PURE_TEST_EXTERNALS: &[&str] = &["proptest"];

/// Folders of crates whose sources must be free of clocks, randomness, I/O and floats.
pub fn pure_paths() -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(|row| row.externals.is_some()).map(|row| row.path)
}

/// One line for each crate or arrow that the table does not have.
pub fn violations(crates: &[Crate]) -> Vec<String> {
    let mut found = Vec::new();
    for one in crates {
        let Some(row) = TABLE.iter().find(|row| row.name == one.name) else {
            found.push(format!(
                "{}: crate `{}` is not in the table of .ci/tidy/src/arrows.rs; write an ADR for it and add its row",
                one.path, one.name
            ));
            continue;
        };
        if row.path != one.path {
            found.push(format!("{}: crate `{}` belongs in {}; move it there", one.path, one.name, row.path));
        }
        found.extend(one.dependencies.iter().filter_map(|dependency| {
            let internal = crates.iter().any(|other| other.name == dependency.name);
            if internal {
                internal_arrow(row, dependency.kind, &dependency.name)
            } else {
                external_arrow(row, dependency.kind, &dependency.name)
            }
        }));
    }
    for row in TABLE {
        if !crates.iter().any(|one| one.name == row.name) {
            found.push(format!(
                "{}: crate `{}` is missing from the workspace; restore it or drop its row",
                row.path, row.name
            ));
        }
    }
    found
}

fn internal_arrow(row: &Row, kind: Kind, dependency: &str) -> Option<String> {
    let knows_store = row.name == STORE || row.may_use.contains(&STORE);
    if dependency == TESTING && knows_store {
        let shipped = format!(
            "{}/Cargo.toml: `{TESTING}` is for tests alone; move it to the dev-dependencies of `{}`",
            row.path, row.name
        );
        return (kind != Kind::Test).then_some(shipped);
    }
    if row.may_use.contains(&dependency) {
        return None;
    }
    let allowed = if row.may_use.is_empty() { "nothing".to_owned() } else { row.may_use.join(", ") };
    Some(format!(
        "{}/Cargo.toml: `{}` must not depend on `{dependency}` (may: {allowed}); pass what it needs as an argument, \
         or move a test that needs both to deploy/standalone",
        row.path, row.name
    ))
}

fn external_arrow(row: &Row, kind: Kind, dependency: &str) -> Option<String> {
    let externals = row.externals?;
    let for_tests = kind == Kind::Test && PURE_TEST_EXTERNALS.contains(&dependency);
    if externals.contains(&dependency) || for_tests {
        return None;
    }
    Some(format!(
        "{}/Cargo.toml: `{}` is pure and must not use `{dependency}` (may: {}; in tests: {}); \
         do this work at the boundary and pass the result in",
        row.path,
        row.name,
        externals.join(", "),
        PURE_TEST_EXTERNALS.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    /// The workspace as the table has it, and one more arrow.
    fn workspace_with(name: &str, kind: Kind, dependency: &str) -> Vec<Crate> {
        let crates = TABLE.iter().map(|row| {
            let own =
                row.may_use.iter().map(|used| Dependency { name: (*used).to_owned(), kind: Kind::Normal });
            let extra = Dependency { name: dependency.to_owned(), kind };
            let dependencies = own.chain((row.name == name).then_some(extra)).collect();
            Crate { name: row.name.to_owned(), path: row.path.to_owned(), dependencies }
        });
        crates.collect()
    }

    #[test]
    fn arrows_of_the_table_pass_and_others_are_named() {
        let cases = [
            (RULES, Kind::Normal, MODEL, None),
            ("edge", Kind::Normal, "tokio", None),
            (MODEL, Kind::Test, "proptest", None),
            ("loadtest", Kind::Test, "edge", None),
            (STORE, Kind::Test, TESTING, None),
            (SERVER, Kind::Test, TESTING, None),
            ("tributary", Kind::Test, TESTING, None),
            (STORE, Kind::Normal, TESTING, Some("`control-plane-testing` is for tests alone")),
            ("tributary", Kind::Build, TESTING, Some("move it to the dev-dependencies of `tributary`")),
            ("edge", Kind::Test, TESTING, Some("`edge` must not depend on `control-plane-testing`")),
            (TESTING, Kind::Test, STORE, Some("`control-plane-testing` must not depend on")),
            (
                MODEL,
                Kind::Normal,
                RULES,
                Some("`proto-model` must not depend on `proto-rules` (may: nothing)"),
            ),
            ("edge", Kind::Normal, SERVER, Some("`edge` must not depend on `control-plane-server`")),
            ("edge", Kind::Test, STORE, Some("move a test that needs both to deploy/standalone")),
            (SERVER, Kind::Build, "geoip", Some("control-plane/server/Cargo.toml: ")),
            (SERVER, Kind::Test, "edge", Some("`control-plane-server` must not depend on `edge`")),
            (STORE, Kind::Normal, WIRE, Some("(may: proto-model, proto-rules, control-plane-domain)")),
            (MODEL, Kind::Normal, "proptest", Some("`proto-model` is pure and must not use `proptest`")),
            (RULES, Kind::Normal, "sha2", Some("(may: thiserror; in tests: proptest)")),
            (DOMAIN, Kind::Test, "tokio", Some("`control-plane-domain` is pure and must not use `tokio`")),
        ];
        for (name, kind, dependency, expected) in cases {
            let found = violations(&workspace_with(name, kind, dependency));
            match expected {
                None => assert_eq!(found, Vec::<String>::new(), "{name} -> {dependency}"),
                Some(part) => {
                    assert!(found.len() == 1 && found[0].contains(part), "{name} -> {dependency}: {found:?}");
                    assert!(!found[0].contains('\n'));
                }
            }
        }
    }

    #[test]
    fn crates_that_come_go_and_move_are_named() {
        let mut crates = workspace_with("", Kind::Normal, "");
        crates.retain(|one| one.name != "geoip");
        crates[0].path = "model".to_owned();
        crates.push(Crate { name: "utils".to_owned(), path: "utils".to_owned(), dependencies: Vec::new() });
        let found = violations(&crates).join("\n");
        for part in [
            "model: crate `proto-model` belongs in proto/model",
            "utils: crate `utils` is not in the table",
            "geoip: crate `geoip` is missing",
        ] {
            assert!(found.contains(part), "{part} in\n{found}");
        }
    }
}

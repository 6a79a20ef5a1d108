//! Holds the house to its plan: who depends on whom, what pure crates may use, how long files get, whether each alert has
//! its page.
//! Prints one line a violation, each saying what to do, and fails if there is any.

mod arrows;
mod runbook;
mod text;
mod workspace;

use std::path::Path;
use std::process::ExitCode;
use workspace::{ReadError, Workspace};

fn main() -> ExitCode {
    match workspace::read().and_then(|workspace| Ok((check(&workspace)?, workspace))) {
        Ok((found, workspace)) if found.is_empty() => {
            println!("tidy: {} crates, nothing to put right", workspace.crates.len());
            ExitCode::SUCCESS
        }
        Ok((found, _)) => {
            found.iter().for_each(|line| println!("{line}"));
            eprintln!("tidy: {} to put right", found.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            let cause = std::error::Error::source(&error);
            eprintln!("tidy: {error}{}", cause.map(|c| format!(": {c}")).unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn check(workspace: &Workspace) -> Result<Vec<String>, ReadError> {
    let mut found = arrows::violations(&workspace.crates);
    let (mut edge, mut control_plane) = (String::new(), String::new());
    for path in workspace::sources(&workspace.root)? {
        let source = workspace::text(&path)?;
        let path = workspace::relative(&workspace.root, &path);
        let pure = arrows::pure_paths().any(|folder| path.starts_with(&format!("{folder}/")));
        found.extend(text::violations(&path, &source, pure));
        match path.split_once("/src/") {
            Some(("edge", _)) => edge.push_str(&source),
            Some((folder, _)) if folder.starts_with("control-plane/") => control_plane.push_str(&source),
            _ => {}
        }
    }
    found.extend(alerts(&workspace.root, &edge, &control_plane)?);
    Ok(found)
}

fn alerts(root: &Path, edge: &str, control_plane: &str) -> Result<Vec<String>, ReadError> {
    let read = |path: &str| workspace::text(&root.join(path));
    let (rules, tests) = (read(runbook::RULES)?, read(runbook::TESTS)?);
    let index = read(&format!("{}/README.md", runbook::PAGES))?;
    let pages = workspace::files(&root.join(runbook::PAGES))?;
    let (kinds, table) = (read(runbook::KINDS)?, read(runbook::TABLE)?);
    Ok(runbook::violations(&runbook::Texts {
        rules: &rules,
        tests: &tests,
        index: &index,
        pages: &pages,
        edge,
        control_plane,
        kinds: &kinds,
        table: &table,
    }))
}

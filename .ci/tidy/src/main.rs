//! Holds the house to its plan: who depends on whom, what pure crates may use, how long files get.
//! Prints one line a violation, each saying what to do, and fails if there is any.

mod arrows;
mod text;
mod workspace;

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
    for path in workspace::sources(&workspace.root)? {
        let source = std::fs::read_to_string(&path);
        let source = source.map_err(|source| ReadError::File { path: path.clone(), source })?;
        let path = workspace::relative(&workspace.root, &path);
        let pure = arrows::pure_paths().any(|folder| path.starts_with(&format!("{folder}/")));
        found.extend(text::violations(&path, &source, pure));
    }
    Ok(found)
}

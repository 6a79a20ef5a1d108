//! What is left to do by the tools of a PostgreSQL server, as lines for a shell.

use std::path::Path;

/// Copies of the database at `url`, which holds no password: whoever lists processes would see it.
pub fn copying(url: &str, to: &Path) -> Vec<String> {
    let url = quoted(url);
    let (base, dump) = (to.join("base"), to.join("tributary.dump"));
    let (base, dump) = (quoted(&base.display().to_string()), quoted(&dump.display().to_string()));
    eprintln!(
        "  The keys are copied. The database is the server's to copy: continuous archiving (pg_basebackup and its\n  \
         WAL) restores to any moment; a dump restores to the moment it began. See docs/backup.md.\n  \
         pg_basebackup needs a role with REPLICATION: put its name into the URL. No command holds a password: give it\n  \
         by PGPASSFILE or PGPASSWORD."
    );
    vec![
        format!("pg_basebackup --dbname={url} --pgdata={base} --wal-method=stream --checkpoint=fast"),
        format!(
            "PGOPTIONS='-c tributary.tenant=-1' pg_dump --enable-row-security --format=custom --file={dump} \
             --dbname={url}"
        ),
    ]
}

/// One word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_each_word_as_it_is() {
        for word in ["/backups/a", "/back ups/it's $HOME", "`id`;\"\\", ""] {
            let line = format!("printf %s {}", quoted(word));
            let said = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), word);
        }
    }
}

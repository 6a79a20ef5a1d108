//! Which database: the one switch between an embedded file and a server.

use crate::Trouble;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// `sqlite://path`, `sqlite::memory:` or `postgres://user@host/database?sslmode=...`.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub enum DatabaseUrl {
    Sqlite(String),
    Postgres(String),
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a database is named by sqlite://path/to/file or postgres://user@host/database")]
pub struct NotADatabase;

impl FromStr for DatabaseUrl {
    type Err = NotADatabase;

    fn from_str(text: &str) -> Result<Self, NotADatabase> {
        let rest = |scheme: &str| text.strip_prefix(scheme).filter(|rest| !rest.is_empty());
        if rest("postgres://").or(rest("postgresql://")).is_some() {
            Ok(Self::Postgres(text.to_owned()))
        } else if text == "sqlite::memory:" || rest("sqlite://").is_some() {
            Ok(Self::Sqlite(text.to_owned()))
        } else {
            Err(NotADatabase)
        }
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = NotADatabase;

    fn try_from(text: String) -> Result<Self, NotADatabase> {
        text.parse()
    }
}

/// Of SQLite's: it is one connection, and gone with it.
pub(crate) fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

impl DatabaseUrl {
    /// Of an embedded database that is kept in one.
    pub fn file(&self) -> Option<PathBuf> {
        let Self::Sqlite(url) = self else { return None };
        let options = SqliteConnectOptions::from_str(url).ok().filter(|_| !is_in_memory(url))?;
        Some(options.get_filename().to_path_buf())
    }
}

/// Parameters that the server's own tools know, too, under the names they have there. What a session is to be set to is
/// theirs to say.
const OF_TOOLS: [(&str, &str); 14] = [
    ("host", "host"),
    ("hostaddr", "hostaddr"),
    ("port", "port"),
    ("user", "user"),
    ("dbname", "dbname"),
    ("sslmode", "sslmode"),
    ("ssl-mode", "sslmode"),
    ("sslrootcert", "sslrootcert"),
    ("ssl-root-cert", "sslrootcert"),
    ("ssl-ca", "sslrootcert"),
    ("sslcert", "sslcert"),
    ("ssl-cert", "sslcert"),
    ("sslkey", "sslkey"),
    ("ssl-key", "sslkey"),
];

impl DatabaseUrl {
    /// For the command lines of the server's own tools: without the password, which does not belong there.
    pub fn for_tools(&self) -> Result<String, Trouble> {
        let Self::Postgres(url) = self else { return Ok(self.to_string()) };
        PgConnectOptions::from_str(url).map_err(|_| Trouble::BadUrl)?;
        let (scheme, _) = url.split_once("://").ok_or(Trouble::BadUrl)?;
        let (place, parameters) = parts(url).ok_or(Trouble::BadUrl)?;
        let parameters = parameters.split('#').next().unwrap_or_default();
        let place = match place.rsplit_once('@') {
            Some((user, place)) => format!("{}@{place}", user.split(':').next().unwrap_or_default()),
            None => place.to_owned(),
        };
        let known = parameters.split('&').filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let (_, name) = OF_TOOLS.iter().find(|(ours, _)| *ours == name)?;
            Some(format!("{name}={value}"))
        });
        let known: Vec<String> = known.collect();
        let question = if known.is_empty() { "" } else { "?" };
        Ok(format!("{scheme}://{place}{question}{}", known.join("&")))
    }
}

/// What is before and after the first `?` or `#` of a server's URL. None where an `@` comes later: these two may then
/// stand, unescaped, in a password, and what is before them is the beginning of it.
fn parts(url: &str) -> Option<(&str, &str)> {
    let (_, rest) = url.split_once("://")?;
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (place, more) = rest.split_at(end);
    let more = more.strip_prefix('?').unwrap_or(more);
    (!more.contains('@')).then_some((place, more))
}

/// For people and logs: without user, password and parameters.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(url) => f.write_str(url),
            Self::Postgres(url) => {
                let place = parts(url).map_or("...", |(place, _)| place);
                // A password may hold an @ and a slash.
                let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
                write!(f, "postgres://{place}")
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedded_database_may_have_a_file() {
        let cases = [
            ("sqlite:///var/lib/tributary.db", Some("/var/lib/tributary.db")),
            ("sqlite://data/a%20b.db?mode=rw", Some("data/a b.db")),
            ("sqlite::memory:", None),
            ("sqlite://some?mode=memory", None),
            ("postgres://db.example/t", None),
        ];
        for (url, file) in cases {
            let url: DatabaseUrl = url.parse().unwrap();
            assert_eq!(url.file(), file.map(PathBuf::from), "{url}");
        }
    }

    #[test]
    fn tools_are_told_what_they_know_and_no_password() {
        let cases = [
            ("postgres://a:secret@db.example:5433/t", "postgres://a@db.example:5433/t"),
            ("postgres://a@db.example/t?sslmode=require", "postgres://a@db.example/t?sslmode=require"),
            (
                "postgresql://db.example/t?password=secret&ssl-ca=/a.pem&statement-cache-capacity=3&host=/run",
                "postgresql://db.example/t?sslrootcert=/a.pem&host=/run",
            ),
            ("postgres://a:secret@localhost/t?options=-c%20a=b#x", "postgres://a@localhost/t"),
        ];
        for (url, expected) in cases {
            let told = url.parse::<DatabaseUrl>().unwrap().for_tools();
            assert_eq!(told.as_deref(), Ok(expected), "{url}");
        }
        // Not even half of a password.
        for url in ["postgres://a:1#cret@db/t", "postgres://a:1?cret@db/t", "postgres://a:b/c@db/t"] {
            let told = url.parse::<DatabaseUrl>().unwrap().for_tools();
            assert_eq!(told, Err(Trouble::BadUrl), "{url}");
        }
    }

    #[test]
    fn a_url_says_which_database_and_never_tells_its_secrets() {
        let cases = [
            ("sqlite:///var/lib/tributary.db", Some("sqlite:///var/lib/tributary.db")),
            ("sqlite::memory:", Some("sqlite::memory:")),
            ("postgres://a:secret@db.example/t?sslmode=require", Some("postgres://db.example/t")),
            ("postgres://a:se@cr/et@db.example:5433/t", Some("postgres://db.example:5433/t")),
            ("postgresql://db.example/t?password=secret", Some("postgres://db.example/t")),
            ("postgres://a:secret#1@db.example/t", Some("postgres://...")),
            ("postgres://a:secret?1@db.example/t", Some("postgres://...")),
            ("postgres://a:b@secret?1@db.example/t", Some("postgres://...")),
            ("mysql://a@b/c", None),
            ("tributary.db", None),
            ("sqlite://", None),
            ("postgres://", None),
            ("", None),
        ];
        for (text, shown) in cases {
            let url = text.parse::<DatabaseUrl>().ok();
            assert_eq!(url.as_ref().map(ToString::to_string).as_deref(), shown, "{text}");
            assert!(!format!("{url:?}").contains("secret"));
        }
    }
}

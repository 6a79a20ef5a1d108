//! Why a database cannot be opened, in words that a person can act on.

use sqlx::migrate::MigrateError;
use std::fmt;
use std::io::ErrorKind;

/// What to put right. Never holds a secret: neither does any text of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    BadUrl,
    NoSuchHost,
    NothingListens,
    NoAnswer,
    WrongPassword,
    NotAllowedIn,
    NoLogin,
    NoSuchDatabase,
    NoRightToConnect,
    TlsRefused,
    TlsRequired,
    UntrustedCertificate,
    TooManyConnections,
    TooManyLocks,
    NotReady,
    NoSuchFile,
    NotADatabase,
    Damaged,
    NoRightToWrite,
    OnlyReads,
    NoRightToCreate,
    NotTheOwner,
    NoSpace,
    DiskFails,
    OtherMigrations,
    HalfMigrated,
    Other,
}

impl Trouble {
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Configuration(_) => Self::BadUrl,
            sqlx::Error::Io(error) => of_io(error),
            sqlx::Error::Tls(error) => of_tls(&error.to_string()),
            sqlx::Error::PoolTimedOut => Self::NoAnswer,
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                match error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                    Some(_) => of_postgres(&code, error.message()),
                    None => of_sqlite(&code),
                }
            }
            _ => Self::Other,
        }
    }

    pub fn of_migration(error: &MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Self::of(error),
            MigrateError::VersionMismatch(_) | MigrateError::VersionMissing(_) => Self::OtherMigrations,
            MigrateError::Dirty(_) => Self::HalfMigrated,
            _ => Self::Other,
        }
    }

    /// Not let in: the server is there, and another attempt ends like this one until somebody changes something.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::WrongPassword
                | Self::NotAllowedIn
                | Self::NoLogin
                | Self::NoSuchDatabase
                | Self::NoRightToConnect
                | Self::TlsRefused
                | Self::TlsRequired
                | Self::UntrustedCertificate
        )
    }

    pub fn cause(self) -> &'static str {
        self.words().0
    }

    pub fn fix(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::BadUrl => (
                "the URL cannot be read",
                "write postgres://USER@HOST:PORT/DATABASE, with %-escapes for : / @ ? # in names and passwords",
            ),
            Self::NoSuchHost => ("there is no such host", "correct the host in the URL, or its DNS entry"),
            Self::NothingListens => (
                "nothing listens there",
                "start PostgreSQL, correct host and port, or let it listen there (listen_addresses)",
            ),
            Self::NoAnswer => (
                "the server does not answer",
                "check host and port, the firewall between here and there, and that the server is up",
            ),
            Self::WrongPassword => (
                "the password is wrong, or there is no such user",
                "set PGPASSWORD or PGPASSFILE; a new password: ALTER ROLE user PASSWORD '...'",
            ),
            Self::NotAllowedIn => (
                "the server does not let this user in from here",
                "add a line for the user, the database and this address to pg_hba.conf and reload it",
            ),
            Self::NoLogin => ("the user may not log in", "as a superuser: ALTER ROLE user LOGIN"),
            Self::NoSuchDatabase => {
                ("there is no such database", "as a superuser: CREATE DATABASE name OWNER user")
            }
            Self::NoRightToConnect => (
                "the user may not connect to this database",
                "as its owner: GRANT CONNECT ON DATABASE name TO user",
            ),
            Self::TlsRefused => (
                "the server does not speak TLS, which is asked of it beyond this machine",
                "set ssl = on in postgresql.conf; where the network between is private, add ?sslmode=disable",
            ),
            Self::TlsRequired => (
                "the server does not let this user in without TLS",
                "add ?sslmode=verify-full to the URL (or a line to pg_hba.conf)",
            ),
            Self::UntrustedCertificate => (
                "the server's certificate is not trusted, or is for another name",
                "add ?sslrootcert=FILE with the authority's certificate, and use the host that it names",
            ),
            Self::TooManyConnections => {
                ("the server has no connection left", "raise max_connections, or end clients that hold them")
            }
            Self::TooManyLocks => (
                "the server has no room for more locks",
                "raise max_locks_per_transaction (256 does for years of days that are kept) and restart it",
            ),
            Self::NotReady => ("the server is starting up or shutting down", "try again when it is up"),
            Self::NoSuchFile => (
                "the file cannot be opened or made",
                "check the path, that its directory is there, and that both belong to this user",
            ),
            Self::NotADatabase => {
                ("the file is not a SQLite database", "name another file, or restore it from a backup")
            }
            Self::Damaged => ("the file is damaged", "stop every control plane and restore it from a backup"),
            Self::NoRightToWrite => (
                "it cannot be written",
                "check the rights of the file and its directory, and that the disk is not mounted read-only",
            ),
            Self::OnlyReads => (
                "the server takes no writes: it is a standby, or default_transaction_read_only is on",
                "name the server that a standby follows, or see what says so: tributary doctor",
            ),
            Self::NoRightToCreate => (
                "the user may not make tables",
                "let it own the database: ALTER DATABASE name OWNER TO user; or as a superuser, connected to \
                 it: GRANT CREATE ON SCHEMA public TO user",
            ),
            Self::NotTheOwner => (
                "the user does not own the tables",
                "connect as their owner, or hand them over: REASSIGN OWNED BY owner TO user",
            ),
            Self::NoSpace => ("there is no space left on the disk", "free some, or enlarge it"),
            Self::DiskFails => (
                "the disk cannot be read or written",
                "see that it has space, is not mounted read-only, and is sound (df, dmesg)",
            ),
            Self::OtherMigrations => (
                "it was brought up to date by another build of Tributary, or by something else",
                "run the release that made it, or name another database",
            ),
            Self::HalfMigrated => (
                "a step of bringing it up to date was left half done",
                "restore it from the backup made before the upgrade, and start the upgrade again",
            ),
            Self::Other => ("it failed", "see what the database says"),
        }
    }
}

/// The cause, and how to put it right.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cause, fix) = self.words();
        write!(f, "{cause}; {fix}")
    }
}

fn of_io(error: &std::io::Error) -> Trouble {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::ConnectionRefused => Trouble::NothingListens,
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Trouble::NoAnswer,
        ErrorKind::StorageFull => Trouble::NoSpace,
        // A socket or a certificate's file.
        ErrorKind::NotFound => Trouble::NothingListens,
        _ if text.contains("lookup address") => Trouble::NoSuchHost,
        _ if text.contains("certificate") => Trouble::UntrustedCertificate,
        _ => Trouble::Other,
    }
}

fn of_tls(text: &str) -> Trouble {
    match text {
        text if text.contains("does not support TLS") => Trouble::TlsRefused,
        text if text.contains("certificate") => Trouble::UntrustedCertificate,
        _ => Trouble::Other,
    }
}

fn of_postgres(code: &str, message: &str) -> Trouble {
    match code {
        "28P01" => Trouble::WrongPassword,
        "28000" if message.contains("no encryption") => Trouble::TlsRequired,
        "28000" if message.contains("does not exist") => Trouble::WrongPassword,
        "28000" if message.contains("not permitted to log in") => Trouble::NoLogin,
        "28000" => Trouble::NotAllowedIn,
        "3D000" => Trouble::NoSuchDatabase,
        "42501" if message.contains("for database") => Trouble::NoRightToConnect,
        "42501" if message.contains("for schema") => Trouble::NoRightToCreate,
        "42501" => Trouble::NotTheOwner,
        "53300" => Trouble::TooManyConnections,
        "53200" => Trouble::TooManyLocks,
        "53100" => Trouble::NoSpace,
        "25006" => Trouble::OnlyReads,
        "57P01" | "57P02" | "57P03" => Trouble::NotReady,
        _ => Trouble::Other,
    }
}

/// The low byte is the primary code.
fn of_sqlite(code: &str) -> Trouble {
    match code.parse::<u32>().unwrap_or_default() & 0xff {
        14 => Trouble::NoSuchFile,
        26 => Trouble::NotADatabase,
        11 => Trouble::Damaged,
        8 => Trouble::NoRightToWrite,
        13 => Trouble::NoSpace,
        10 => Trouble::DiskFails,
        _ => Trouble::Other,
    }
}

use crate::keeper::{Keeper, KeeperError};
use crate::or_fail;
use crate::programs::{self, Account, NoAccount, NotInstalled, Programs, PsqlError};
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Others may take a port between our look at it and PostgreSQL's start.
const PORTS_TRIED: u32 = 5;
/// CREATE DATABASE waits five seconds for others to leave the template before it fails.
const CLONES_TRIED: u32 = 6;

/// Like a production server in what a client sees, but careless of a power cut, which no test survives.
/// Shared memory as files in the directory is removed with it.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("max_connections", "200"),
    ("shared_buffers", "32MB"),
    ("dynamic_shared_memory_type", "mmap"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "on"),
    ("lc_messages", "C"),
];

/// How a private server differs from the shared one.
#[derive(Clone, Default)]
pub struct Options {
    pub tls: Option<Tls>,
    /// Lines of `postgresql.conf`, stronger than those every test server has.
    pub settings: Vec<(String, String)>,
    /// Where the server makes its directory: the system's temporary one by default. User `postgres` must be
    /// able to write there.
    pub parent: Option<PathBuf>,
}

/// What the server shows who connects over TLS, in PEM.
#[derive(Clone)]
pub struct Tls {
    pub certificate: String,
    pub key: String,
    /// Refuse whoever connects without.
    pub required: bool,
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// As if killed: connections break, the next start recovers from the log.
    Immediate,
    /// Connections are ended, and everything is written.
    Fast,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    NotInstalled(#[from] NotInstalled),
    #[error(transparent)]
    NoAccount(#[from] NoAccount),
    #[error("cannot prepare the server's files")]
    Files(#[from] io::Error),
    #[error("PostgreSQL does not start")]
    Keeper(#[from] KeeperError),
    #[error("cannot make the role of the tests")]
    Role(#[from] PsqlError),
}

#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL does not stop")]
pub struct StopError(#[from] KeeperError);

/// A PostgreSQL of this process. It dies, and its directory with it, when dropped and when the process ends.
pub struct Server {
    keeper: Keeper,
    programs: Programs,
    port: u16,
    password: String,
    databases: AtomicU64,
    cloning: Mutex<()>,
}

/// One that no other test has.
#[derive(Clone)]
pub struct Database {
    pub url: String,
    pub name: String,
}

impl Server {
    pub fn start(options: Options) -> Result<Self, StartError> {
        let programs = Programs::find()?;
        let account = programs::account()?;
        let parent = options.parent.clone().unwrap_or_else(std::env::temp_dir);
        let mut keeper = Keeper::start(&programs, &parent, account)?;
        keeper.ask("init")?;
        configure(keeper.directory(), &options, account)?;
        let port = start_on_free_port(&mut keeper)?;
        // Random, so that a client that has the port of another process's server does not get in.
        let password = format!("{:032x}", u128::from_ne_bytes(random()?));
        let (databases, cloning) = (AtomicU64::new(0), Mutex::new(()));
        let server = Self { keeper, programs, port, password, databases, cloning };
        server.superuser_psql("postgres", &server.role())?;
        Ok(server)
    }

    fn role(&self) -> String {
        let may = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION";
        format!("CREATE ROLE tributary {may} PASSWORD '{}'", self.password)
    }

    pub fn stop(&mut self, mode: Stop) -> Result<(), StopError> {
        let mode = match mode {
            Stop::Immediate => "immediate",
            Stop::Fast => "fast",
        };
        self.keeper.ask(&format!("stop {mode}"))?;
        Ok(())
    }

    /// With the same data, at the same port.
    pub fn start_again(&mut self) -> Result<(), StartError> {
        self.keeper.ask(&format!("start {}", self.port))?;
        Ok(())
    }

    /// On 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Holds `data`, the file `log`, and the superuser's socket.
    pub fn directory(&self) -> &Path {
        self.keeper.directory()
    }

    /// As `tributary`, who may do nothing but log in, and owns the databases that tests make.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://tributary:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Runs statements as the superuser, and answers with the bare rows, `|` between columns.
    pub fn superuser_psql(&self, database: &str, sql: &str) -> Result<String, PsqlError> {
        let socket = self.directory().display();
        let target = format!("host='{socket}' port={} user=postgres dbname='{database}'", self.port);
        self.programs.psql(&target, sql)
    }

    /// The same as whoever `url` says.
    pub fn psql(&self, url: &str, sql: &str) -> Result<String, PsqlError> {
        self.programs.psql(url, sql)
    }

    /// An empty one. Panics when there is none to be had, as the test cannot go on.
    #[track_caller]
    pub fn create_database(&self) -> Database {
        let database = self.next_database();
        let sql = format!("CREATE DATABASE {} OWNER tributary", database.name);
        or_fail(self.superuser_psql("postgres", &sql));
        database
    }

    /// A copy of the database `template`, to which nobody should be connected. Panics as above.
    #[track_caller]
    pub fn clone_database(&self, template: &str) -> Database {
        let database = self.next_database();
        let template = template.replace('"', "\"\"");
        let sql = format!("CREATE DATABASE {} OWNER tributary TEMPLATE \"{template}\"", database.name);
        // Copies of one template get into each other's way.
        let _alone = self.cloning.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tries = 1;
        loop {
            match self.superuser_psql("postgres", &sql) {
                Err(PsqlError::Failed(why))
                    if tries < CLONES_TRIED && why.contains("accessed by other users") =>
                {
                    tries += 1;
                }
                result => {
                    or_fail(result);
                    return database;
                }
            }
        }
    }

    fn next_database(&self) -> Database {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        Database { url: self.url(&name), name }
    }
}

/// Without the password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("port", &self.port).field("directory", &self.directory()).finish()
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("name", &self.name).finish()
    }
}

/// Who connects over TCP needs the password; over the socket, in a directory closed to others, the
/// superuser does not.
fn configure(directory: &Path, options: &Options, account: Option<Account>) -> io::Result<()> {
    let data = directory.join("data");
    let mut settings = String::new();
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(settings, "{name} = '{}'", value.replace('\'', "''"));
    };
    set("unix_socket_directories", &directory.to_string_lossy());
    SETTINGS.iter().for_each(|(name, value)| set(name, value));
    if let Some(tls) = &options.tls {
        set("ssl", "on");
        append(&data.join("server.crt"), &tls.certificate, account)?;
        append(&data.join("server.key"), &tls.key, account)?;
    }
    options.settings.iter().for_each(|(name, value)| set(name, value));
    append(&data.join("postgresql.conf"), &settings, account)?;

    let over_tcp = if options.tls.as_ref().is_some_and(|tls| tls.required) { "hostssl" } else { "host" };
    let who = format!("local all postgres trust\n{over_tcp} all all 127.0.0.1/32 scram-sha-256\n");
    let path = data.join("pg_hba.conf");
    std::fs::remove_file(&path)?;
    append(&path, &who, account)
}

fn append(path: &Path, text: &str, account: Option<Account>) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    if let Some(Account { user, group }) = account {
        fchown(&file, Some(user), Some(group))?;
    }
    file.write_all(text.as_bytes())
}

fn start_on_free_port(keeper: &mut Keeper) -> Result<u16, StartError> {
    let mut tries = 1;
    loop {
        let port = free_port()?;
        match keeper.ask(&format!("start {port}")) {
            Ok(_) => return Ok(port),
            Err(KeeperError::Failed { output, .. })
                if tries < PORTS_TRIED && output.contains("Address already in use") =>
            {
                tries += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Not one that the system would also give to outgoing connections and to who binds to port 0: such a port
/// could be gone when a stopped server starts again.
fn free_port() -> io::Result<u16> {
    for _ in 0..1_000 {
        let port = 16_384 + u16::from_ne_bytes(random()?) % 16_384;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

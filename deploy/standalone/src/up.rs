//! `tributary up`: control plane, one edge and the demo in one process.

use crate::commands::{Keep, check_geo_database, check_is_ups};
use crate::database::UrlParser;
use crate::demo::{Demo, DemoSettings};
use crate::error::{BoxError, Failure};
use crate::http_client::{HttpClient, request};
use crate::local::{LocalState, lock_directory};
use crate::output::{self, Format, Ready};
use crate::{geo, seed, signal};
use control_plane_server::{ControlPlane, DatabaseUrl, app};
use edge::EdgeHandle;
use http::Method;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args, Clone)]
pub struct Options {
    /// Where everything is kept; a second start on it goes on where the first one stopped.
    #[arg(long, default_value = "tributary-data", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Address of the REST interface; the edge, the demo, the edge protocol and the edge's metrics take
    /// the next four ports. Port 0 lets the system choose all five.
    #[arg(long, default_value = "127.0.0.1:7300", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// `sqlite://FILE` or `postgres://USER@HOST/DATABASE`; without one, a file in the data directory. A password
    /// belongs in PGPASSWORD, in a PGPASSFILE, or in this variable, not in the process list.
    #[arg(long, env = "TRIBUTARY_DATABASE", hide_env_values = true, value_name = "URL", value_parser = UrlParser)]
    pub database: Option<DatabaseUrl>,
    #[command(flatten)]
    pub keep: Keep,
    /// Seed a demo program and serve its shop (the default).
    #[arg(long, overrides_with = "no_demo")]
    pub demo: bool,
    /// No demo program, no shop.
    #[arg(long)]
    pub no_demo: bool,
    /// `json` prints one object on one line of stdout when ready.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// MaxMind-format country or city database (.mmdb); without one, what `tributary geo` has put into the data
    /// directory, and without that the country is unknown.
    #[arg(long, value_name = "FILE")]
    pub geo_database: Option<PathBuf>,
}

impl Options {
    fn with_demo(&self) -> bool {
        !self.no_demo
    }

    fn geo_database(&self) -> Option<PathBuf> {
        self.geo_database.clone().or_else(|| geo::places_in(&self.data_dir).places)
    }
}

/// Everything that runs, in the order in which it must stop.
pub struct Node {
    demo: Option<Demo>,
    edge: EdgeHandle,
    control_plane: ControlPlane,
    pub ready: Ready,
    _lock: std::fs::File,
}

struct Addresses {
    api: SocketAddr,
    edge: SocketAddr,
    demo: SocketAddr,
    grpc: SocketAddr,
    edge_admin: SocketAddr,
}

impl Addresses {
    fn from(listen: SocketAddr) -> Result<Self, Failure> {
        let port = |offset: u16| {
            let wanted = if listen.port() == 0 { Some(0) } else { listen.port().checked_add(offset) };
            wanted.map(|port| SocketAddr::new(listen.ip(), port))
        };
        match (port(1), port(2), port(3), port(4)) {
            (Some(edge), Some(demo), Some(grpc), Some(edge_admin)) => {
                // Whoever may reach the rest need not see the edge's numbers.
                let edge_admin = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), edge_admin.port());
                Ok(Self { api: listen, edge, demo, grpc, edge_admin })
            }
            _ => Err(Failure::new("--listen needs four free ports above it; choose a port up to 65531")),
        }
    }
}

pub async fn run(options: Options) -> Result<(), BoxError> {
    // Before anything is printed: a signal sent on sight of the banner must not be lost.
    let mut stop = signal::Stop::listen()?;
    let starting = Node::start(&options);
    let Some(node) = stop.unless_requested(starting).await.transpose()? else { return Ok(()) };
    output::print_ready(&node.ready, options.output)?;
    let name = stop.requested().await;
    output::note(options.output, &format!("{name}: finishing what is under way"));
    node.shutdown().await;
    output::note(options.output, "stopped; nothing was lost");
    Ok(())
}

impl Node {
    pub async fn start(options: &Options) -> Result<Self, BoxError> {
        check_geo_database(options.geo_database.as_deref())?;
        check_is_ups(&options.data_dir)?;
        let lock = lock_directory(&options.data_dir)?;
        let addresses = Addresses::from(options.listen)?;
        let control_plane = control_plane_server::start(control_plane_config(options, &addresses)).await?;
        let mut local = LocalState::load(&options.data_dir)?;
        let api_url = base_url(control_plane.api_addr());
        seed::accounts(&control_plane, &api_url, &mut local).await?;

        let edge_dir = options.data_dir.join("edge");
        if !edge::is_enrolled(&edge_dir) {
            let bundle = app::fleet::create_join_bundle(control_plane.app(), "local").await?;
            edge::enroll(&edge_dir, &bundle).await?;
        }
        let edge = edge::start(edge_config(options, &addresses, edge_dir, &control_plane)).await?;

        let edge_url = base_url(edge.http_addr());
        let demo = if options.with_demo() {
            Some(start_demo(addresses.demo, &api_url, &edge_url, &mut local).await?)
        } else {
            None
        };
        edge.wait_ready().await;
        if let (Some((_, demo_url)), Some(program)) = (&demo, &local.demo) {
            wait_for_link(&edge_url, &program.link_id, demo_url).await?;
        }
        let admin_url = format!("{api_url}/login/{}", app::keys::one_time_login(control_plane.app())?);
        let ready = Ready::new(
            options,
            &local,
            api_url,
            edge_url,
            edge.admin_addr().map(base_url),
            demo.as_ref().map(|(_, url)| url.clone()),
            admin_url,
        )?;
        Ok(Self { demo: demo.map(|(demo, _)| demo), edge, control_plane, ready, _lock: lock })
    }

    /// Traffic first, then the edge (which still delivers what it has), then the control plane.
    pub async fn shutdown(self) {
        if let Some(demo) = self.demo {
            demo.shutdown().await;
        }
        self.edge.shutdown().await;
        self.control_plane.shutdown().await;
    }
}

async fn start_demo(
    address: SocketAddr,
    api_url: &str,
    edge_url: &str,
    local: &mut LocalState,
) -> Result<(Demo, String), BoxError> {
    let listener = Demo::bind(address).await?;
    let demo_url = base_url(listener.local_addr()?);
    let program = seed::demo_program(api_url, &demo_url, local).await?;
    let settings = DemoSettings {
        api_url: api_url.to_owned(),
        edge_url: edge_url.to_owned(),
        api_key: local.account()?.api_key.clone(),
        advertiser: program.advertiser_id,
        link: program.link_id,
        postback_token: program.postback_token,
    };
    Ok((Demo::start(listener, settings), demo_url))
}

/// The edge obeys a moment after the control plane has decided; whoever acts on the banner must not be
/// faster. A HEAD redirects like a click and counts as nothing.
async fn wait_for_link(edge_url: &str, link: &str, demo_url: &str) -> Result<(), BoxError> {
    let client = HttpClient::default();
    for _ in 0..500 {
        let head = request(Method::HEAD, &format!("{edge_url}/c/{link}"), None, None)?;
        let reply = client.send(head).await?;
        if reply.header("location").is_some_and(|location| location.starts_with(demo_url)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(Failure::new(
        "the edge has not received the demo link within 10 s; run with TRIBUTARY_LOG=info to see why",
    )
    .into())
}

fn control_plane_config(options: &Options, addresses: &Addresses) -> control_plane_server::Config {
    control_plane_server::Config {
        data_dir: options.data_dir.join("control-plane"),
        database: options.database.clone(),
        api_listen: addresses.api,
        grpc_listen: addresses.grpc,
        keep_journal_days: options.keep.keep_journal_days,
        keep_rollup_days: options.keep.keep_rollup_days,
        geo_credits: geo::credits(options.geo_database().as_deref()),
        ..control_plane_server::Config::default()
    }
}

fn edge_config(
    options: &Options,
    addresses: &Addresses,
    data_dir: PathBuf,
    control_plane: &ControlPlane,
) -> edge::Config {
    edge::Config {
        data_dir,
        listen: addresses.edge,
        admin_listen: Some(addresses.edge_admin),
        // On one machine whoever stands before the edge stands on loopback.
        trusted_proxies: vec![
            "127.0.0.0/8".parse().unwrap_or_default(),
            "::1/128".parse().unwrap_or_default(),
        ],
        geo_database: options.geo_database(),
        geo_asn_database: geo::places_in(&options.data_dir).asns,
        control_plane_url: Some(control_plane.app().grpc_url.clone()),
        ..edge::Config::default()
    }
}

/// What a browser on this machine can open, also when the socket listens on every address.
fn base_url(address: SocketAddr) -> String {
    let host = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    format!("http://{}", SocketAddr::new(host, address.port()))
}

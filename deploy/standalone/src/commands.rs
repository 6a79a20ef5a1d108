//! The commands for a system that spans machines: one control plane, edges that join it.

use crate::ctl::is_a_control_planes;
use crate::database::UrlParser;
use crate::error::{BoxError, Failure};
use crate::geo;
use crate::output::{self, Format};
use crate::signal::Stop;
use clap::{Args, Subcommand};
use control_plane_server::{DatabaseUrl, app};
use proto_wire::join::JoinBundle;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub enum Edge {
    /// Trade a join bundle (POST /v1/edges/join-bundles) for this node's identity.
    Enroll(EnrollOptions),
    /// Serve clicks, pixels and postbacks.
    Run(EdgeOptions),
}

#[derive(Args)]
pub struct EnrollOptions {
    /// Where this edge keeps everything; one directory per edge.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The bundle (or the whole JSON answer that holds it), or `-` to read it from standard input (so that it stays out of the process list).
    #[arg(long, value_name = "BUNDLE")]
    bundle: String,
}

#[derive(Args)]
pub struct EdgeOptions {
    /// The directory that was enrolled.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// TOML file with more settings (TLS, limits, ...); `tributary-edge config` and docs/edge.md list them. Flags
    /// win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take the place of the process that runs on the same data directory, without a failed request.
    #[arg(long)]
    takeover: bool,
    /// Where shoppers and advertisers reach this edge. Without it 0.0.0.0:8080.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Metrics and health of this edge. Without it 127.0.0.1:7302, or any port when `--listen` says so.
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<SocketAddr>,
    /// Another address of the control plane than the one in the join bundle.
    #[arg(long, value_name = "URL")]
    control_plane_url: Option<String>,
    /// Peers whose X-Forwarded-For is believed; may be repeated.
    #[arg(long, value_name = "CIDR")]
    trusted_proxy: Vec<String>,
    /// MaxMind-format country or city database (.mmdb); without one, what `tributary geo` has put into the data
    /// directory, and without that the country is unknown.
    #[arg(long, value_name = "FILE")]
    geo_database: Option<PathBuf>,
    /// `json` prints one object on one line of stdout when ready.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Subcommand)]
pub enum ControlPlane {
    /// Serve the REST interface and the edge protocol.
    Run(ControlPlaneOptions),
}

#[derive(Args)]
pub struct ControlPlaneOptions {
    /// Keys and database; a second start goes on where the first one stopped.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// `sqlite://FILE` or `postgres://USER@HOST/DATABASE`; without one, a file in the data directory. A password
    /// belongs in PGPASSWORD, in a PGPASSFILE, or in this variable, not in the process list.
    #[arg(long, env = "TRIBUTARY_DATABASE", hide_env_values = true, value_name = "URL", value_parser = UrlParser)]
    database: Option<DatabaseUrl>,
    /// REST interface and live page; put TLS in front of it beyond this machine.
    #[arg(long, default_value = "127.0.0.1:7300", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where edges connect (gRPC over mutual TLS).
    #[arg(long, default_value = "127.0.0.1:7303", value_name = "ADDR")]
    grpc_listen: SocketAddr,
    /// How edges reach that address from outside; stands in join bundles.
    #[arg(long, value_name = "URL")]
    grpc_public_url: Option<String>,
    #[command(flatten)]
    keep: Keep,
    /// How long an edge that is cut off goes on with its share of a click cap. Longer rides out longer outages;
    /// shorter gives back sooner what an edge that is gone has held.
    #[arg(long, default_value_t = 120, value_name = "SECS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    click_lease_secs: u32,
    /// Print a new operator key (once; only its hash is kept).
    #[arg(long)]
    new_operator_key: bool,
    /// `json` prints one object on one line of stdout when ready.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// What goes when its days are over.
#[derive(Args, Clone)]
pub struct Keep {
    /// Days (UTC) of clicks and conversions that are kept as the edges signed them, with their personal values;
    /// at least 2, and longer than any attribution window. Without it all are kept.
    #[arg(long, value_name = "DAYS")]
    pub keep_journal_days: Option<u32>,
    /// Days (UTC) of hourly reports that are kept; at least 2. Without it all are kept.
    #[arg(long, value_name = "DAYS")]
    pub keep_rollup_days: Option<u32>,
}

pub async fn edge(command: Edge) -> Result<(), BoxError> {
    match command {
        Edge::Enroll(options) => enroll(options).await,
        Edge::Run(options) => run_edge(options).await,
    }
}

async fn enroll(options: EnrollOptions) -> Result<(), BoxError> {
    let text = match options.bundle.as_str() {
        "-" => std::io::read_to_string(std::io::stdin())?,
        text => text.to_owned(),
    };
    let bundle = JoinBundle::parse(&bundle_text(&text))?;
    let identity = edge::enroll(&options.data_dir, &bundle).await?;
    eprintln!(
        "enrolled as {}; start it with: tributary edge run --data-dir {}",
        identity.edge,
        options.data_dir.display()
    );
    Ok(())
}

/// People paste what the API answered: the bundle alone, or the object around it.
fn bundle_text(pasted: &str) -> String {
    let object: Option<serde_json::Value> = serde_json::from_str(pasted).ok();
    let inner = object.as_ref().and_then(|object| object["bundle"].as_str());
    inner.unwrap_or(pasted).trim().to_owned()
}

/// A database that was asked for by name and is not there is a mistake, not an unknown country.
pub fn check_geo_database(path: Option<&Path>) -> Result<(), Failure> {
    match path {
        Some(path) if !path.is_file() => {
            Err(Failure::new(format!("--geo-database: there is no file {}", path.display())))
        }
        _ => Ok(()),
    }
}

async fn run_edge(options: EdgeOptions) -> Result<(), BoxError> {
    check_geo_database(options.geo_database.as_deref())?;
    let config = edge_settings(&options)?;
    let mut stop = Stop::listen()?;
    let starting =
        async { if options.takeover { edge::take_over(config).await } else { edge::start(config).await } };
    let Some(edge) = stop.unless_requested(starting).await.transpose()? else { return Ok(()) };
    announce(options.output, &serde_json::json!({ "edge_url": format!("http://{}", edge.http_addr()) }))?;
    let name = tokio::select! {
        name = stop.requested() => name,
        () = edge.taken_over() => {
            output::note(options.output, "another process takes over");
            edge.hand_over().await;
            return Ok(());
        }
    };
    output::note(options.output, &format!("{name}: draining"));
    edge.shutdown().await;
    Ok(())
}

/// The file, the environment, then the flags.
fn edge_settings(options: &EdgeOptions) -> Result<edge::Config, BoxError> {
    let path = |path: &PathBuf| path.display().to_string();
    let trusted = (!options.trusted_proxy.is_empty()).then(|| options.trusted_proxy.join(","));
    let flags = [
        ("data_dir", Some(path(&options.data_dir))),
        ("listen", options.listen.map(|addr| addr.to_string())),
        ("admin_listen", options.admin_listen.map(|addr| addr.to_string())),
        ("trusted_proxies", trusted),
        ("geo_database", options.geo_database.as_ref().map(path)),
        ("control_plane_url", options.control_plane_url.clone()),
    ];
    let flags = flags.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let env = std::env::vars_os().filter_map(edge::cli::text_pair);
    let mut config = edge::Config::load(options.config.as_deref(), env, flags)?;
    // Where nobody has said anything else, in whichever way.
    if config.listen.port() == 0 && config.admin_listen == edge::Config::default().admin_listen {
        config.admin_listen = Some((Ipv4Addr::LOCALHOST, 0).into());
    }
    if config.geo_database.is_none() {
        config.geo_database = geo::places_in(&options.data_dir).places;
    }
    if config.geo_asn_database.is_none() {
        config.geo_asn_database = geo::places_in(&options.data_dir).asns;
    }
    Ok(config)
}

/// `up` keeps its control plane one directory further down: beside it a new, empty one would begin.
fn check_is_not_ups(dir: &Path) -> Result<(), Failure> {
    let inner = dir.join("control-plane");
    if is_a_control_planes(dir) {
        return Ok(());
    }
    if inner.is_dir() || dir.join("local.json").exists() {
        let (dir, inner) = (dir.display(), inner.display());
        return Err(Failure::new(format!(
            "{dir} is a directory of `tributary up`: run that, or use --data-dir {inner}"
        )));
    }
    Ok(())
}

/// The other way round. What `up` has made comes after its control plane, so that without one it is lost: a new one
/// would know neither the edge nor the keys beside it.
pub fn check_is_ups(dir: &Path) -> Result<(), Failure> {
    if !is_a_control_planes(dir) {
        let inner = dir.join("control-plane");
        let is_left = dir.join("local.json").exists() || dir.join("edge").is_dir();
        if is_left && !inner.is_dir() {
            return Err(Failure::new(format!(
                "{} is gone, and what is left in {} belongs to it: put it back (`tributary ctl restore`), or use \
                 another --data-dir",
                inner.display(),
                dir.display()
            )));
        }
        return Ok(());
    }
    let dir = dir.display();
    Err(Failure::new(format!(
        "{dir} is a directory of `tributary control-plane run`: run that, or give `up` another --data-dir"
    )))
}

pub async fn control_plane(command: ControlPlane) -> Result<(), BoxError> {
    let ControlPlane::Run(options) = command;
    check_is_not_ups(&options.data_dir)?;
    // Edges alone look countries up; a copy of their database here says whose it is.
    let geo_credits = geo::credits(geo::files_in(&options.data_dir).places.as_deref());
    let config = control_plane_server::Config {
        geo_credits,
        data_dir: options.data_dir,
        database: options.database,
        api_listen: options.listen,
        grpc_listen: options.grpc_listen,
        grpc_public_url: options.grpc_public_url,
        keep_journal_days: options.keep.keep_journal_days,
        keep_rollup_days: options.keep.keep_rollup_days,
        click_lease_secs: options.click_lease_secs,
    };
    let mut stop = Stop::listen()?;
    let starting = control_plane_server::start(config);
    let Some(control_plane) = stop.unless_requested(starting).await.transpose()? else { return Ok(()) };
    let operator_key = match options.new_operator_key {
        true => Some(app::keys::create_api_key(control_plane.app(), None, "command line").await?.1),
        false => None,
    };
    let api_url = format!("http://{}", control_plane.api_addr());
    let ready = serde_json::json!({
        "admin_url": format!("{api_url}/login/{}", app::keys::one_time_login(control_plane.app())?),
        "api_url": api_url,
        "grpc_url": control_plane.app().grpc_url,
        "operator_key": operator_key,
    });
    announce(options.output, &ready)?;
    let name = stop.requested().await;
    output::note(options.output, &format!("{name}: draining"));
    control_plane.shutdown().await;
    Ok(())
}

/// One JSON line on stdout, or `name  value` lines.
fn announce(format: Format, ready: &serde_json::Value) -> Result<(), BoxError> {
    let mut stdout = std::io::stdout().lock();
    match (format, ready.as_object()) {
        (Format::Text, Some(fields)) => {
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                writeln!(stdout, "{name:<14}{}", value.as_str().unwrap_or_default())?;
            }
        }
        _ => writeln!(stdout, "{ready}")?,
    }
    stdout.flush()?;
    Ok(())
}

pub fn openapi() -> Result<(), BoxError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(control_plane_server::rest::openapi_json().as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_found_in_what_people_paste() {
        for pasted in
            ["tbj1.abc", " tbj1.abc\n", r#"{"bundle":"tbj1.abc"}"#, "{\n \"bundle\": \"tbj1.abc\"}\n"]
        {
            assert_eq!(bundle_text(pasted), "tbj1.abc", "{pasted}");
        }
        assert_eq!(bundle_text("{}"), "{}");
    }

    #[test]
    fn neither_command_begins_anew_beside_what_the_other_has_made() {
        let dir = tempfile::tempdir().unwrap();
        let (of_up, of_run) = (dir.path().join("up"), dir.path().join("run"));
        let both = |dir: &Path| (check_is_ups(dir).is_ok(), check_is_not_ups(dir).is_ok());
        assert_eq!(both(&of_up), (true, true), "nothing is there yet");
        std::fs::create_dir_all(of_up.join("control-plane/keys")).unwrap();
        assert_eq!(both(&of_up), (true, false));
        std::fs::write(of_up.join("local.json"), b"{}").unwrap();
        std::fs::remove_dir_all(of_up.join("control-plane")).unwrap();
        assert_eq!(both(&of_up), (false, false), "its control plane is gone");
        std::fs::create_dir_all(of_run.join("keys")).unwrap();
        assert_eq!(both(&of_run), (false, true));
        // What an earlier `up` has begun there.
        std::fs::create_dir_all(of_run.join("control-plane/keys")).unwrap();
        assert_eq!(both(&of_run), (false, true));
        std::fs::remove_dir(of_run.join("keys")).unwrap();
        std::fs::write(of_run.join("tributary.db"), b"").unwrap();
        assert_eq!(both(&of_run), (false, true));
        let why = check_is_ups(&of_run).unwrap_err().to_string();
        assert!(why.contains("control-plane run"), "{why}");
    }

    #[test]
    fn a_geo_database_that_is_named_must_exist() {
        assert!(check_geo_database(None).is_ok());
        assert!(check_geo_database(Some(Path::new("/nope.mmdb"))).is_err());
    }
}

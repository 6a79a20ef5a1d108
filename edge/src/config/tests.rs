use super::*;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn load(file: &str, env: Pairs, flags: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("edge.toml");
    std::fs::write(&path, file).unwrap();
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::load(Some(&path), env, flags.iter().map(|(k, v)| (*k, (*v).to_owned())))
}

#[test]
fn the_default_file_says_the_defaults() {
    assert_eq!(load(DEFAULT_FILE, &[], &[]).unwrap(), Config::default());
    for key in KEYS {
        let name = key.name.rsplit('.').next().unwrap();
        assert!(DEFAULT_FILE.contains(&format!("{name} = ")), "{} is not explained", key.name);
    }
}

#[test]
fn later_layers_win() {
    let file =
        "listen = '127.0.0.1:1'\nworkers = 3\ntrusted_proxies = ['10.0.0.0/8']\n[rate_limit]\nburst = 7";
    let env = [
        ("TRIBUTARY_EDGE__LISTEN", "127.0.0.1:2"),
        ("TRIBUTARY_EDGE__RATE_LIMIT__PER_SECOND", "9"),
        ("TRIBUTARY_EDGE__TRUSTED_PROXIES", "192.0.2.1, 2001:db8::/32"),
        ("TRIBUTARY_EDGE__H2C", "true"),
        ("TRIBUTARY_EDGE__ADMIN_LISTEN", "off"),
        ("TRIBUTARY_EDGE__SPOOL__DURABILITY", "bounded"),
        ("TRIBUTARY_EDGE__SPOOL__BOUNDED__WINDOW_MS", "20"),
        ("PATH", "/bin"),
    ];
    let config = load(file, &env, &[("listen", "[::1]:3")]).unwrap();
    assert_eq!(config.listen, "[::1]:3".parse().unwrap());
    assert_eq!(config.workers, 3);
    assert!(config.h2c && config.admin_listen.is_none());
    assert_eq!(config.spool.window(), Some(Window { window_ms: 20, ..Window::default() }));
    assert_eq!(config.rate_limit, RateLimit { per_second: 9, burst: 7 });
    let proxies = ["192.0.2.1/32", "2001:db8::/32"].map(|net| net.parse::<IpNet>().unwrap());
    assert_eq!(config.trusted_proxies, proxies);
}

#[test]
fn mistakes_are_explained() {
    let cases: &[(&str, Pairs, &str)] = &[
        ("lisen = '127.0.0.1:1'", &[], "unknown setting `lisen`"),
        ("lisen = '127.0.0.1:1'", &[], "did you mean `listen`?"),
        ("burst = 3", &[], "did you mean `rate_limit.burst`?"),
        ("[rate_limit]\nper_sec = 3", &[], "did you mean `rate_limit.per_second`?"),
        ("[zebra]\nquux = 3", &[], "unknown setting `zebra`"),
        ("listen = 'everywhere'", &[], "expected an address and port"),
        ("listen = 80", &[], "found `80`"),
        ("rate_limit = 3", &[], "unknown setting `rate_limit`"),
        ("workers = -1", &[], "`workers`"),
        ("workers = 4000", &[], "above 1024"),
        ("max_connections = 0", &[], "turns everybody away"),
        ("admin_listen = 'of'", &[], "or off"),
        ("[tls]\nlisen = '127.0.0.1:1'", &[], "did you mean `tls.listen`?"),
        ("[tls]\ncertificate = 'a.pem'", &[], "belong together"),
        ("h2c = 'maybe'", &[], "expected true or false"),
        ("proxy_protocol = true", &[], "`trusted_proxies` is empty"),
        ("trusted_proxies = ['10.0.0.0/40']", &[], "expected networks"),
        ("geo_database = ''", &[], "`geo_database`"),
        ("[rate_limit]\nburst = 0", &[], "burst"),
        ("[spool]\nmax_bytes = 1048576", &[], "four segments"),
        ("[spool]\ndurability = 'fast'", &[], "expected strict or bounded"),
        ("[spool.bounded]\nwindow_ms = 0", &[], "from 1 to 1000"),
        ("[spool.bounded]\nwindow_ms = 1001", &[], "from 1 to 1000"),
        ("[spool.bounded]\nwindow_hits = 0", &[], "from 1 to 16384"),
        ("[spool.bounded]\nwindow_hits = 16385", &[], "from 1 to 16384"),
        ("", &[("TRIBUTARY_EDGE__LISTENN", "x")], "environment variable TRIBUTARY_EDGE__LISTENN"),
        ("listen = ", &[], "not valid TOML"),
    ];
    for (file, env, expected) in cases {
        let message = load(file, env, &[]).unwrap_err().to_string();
        assert!(message.contains(expected), "{file}: {message}");
    }
    let message = Config::load(Some(Path::new("/nowhere/edge.toml")), [], []).unwrap_err().to_string();
    assert!(message.contains("/nowhere/edge.toml"), "{message}");
}

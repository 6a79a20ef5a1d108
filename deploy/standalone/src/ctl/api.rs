//! Where the REST interface is, and whether a key may be sent there.

use crate::error::{BoxError, Failure};
use url::{Host, Url};

/// A key opens all that its owner has.
pub fn permit(url: &Url, insecure: bool) -> Result<(), Failure> {
    let here = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if here || insecure => Ok(()),
        "http" => Err(Failure::new(format!(
            "{} is another machine: use https, or --insecure to send the key in the clear",
            at(url)
        ))),
        scheme => Err(Failure::new(format!("--api-url: {scheme} is no way to the API; use https"))),
    }
}

pub fn path(base: &Url, segments: &[&str]) -> Result<Url, BoxError> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| Failure::new("--api-url is no address of a server"))?
        .pop_if_empty()
        .extend(segments);
    Ok(url)
}

/// Without what may hold secrets.
pub fn at(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_in_the_clear_to_this_machine_alone() {
        let cases = [
            ("http://127.0.0.1:7300", false, true),
            ("http://[::1]:7300", false, true),
            ("http://localhost:7300/", false, true),
            ("http://plane.example", false, false),
            ("http://plane.example", true, true),
            ("https://plane.example/x/", false, true),
            ("ftp://plane.example", true, false),
        ];
        for (url, insecure, permitted) in cases {
            assert_eq!(permit(&url.parse().unwrap(), insecure).is_ok(), permitted, "{url}");
        }
        let url = path(&"https://plane.example/x/".parse().unwrap(), &["v1", "hits"]).unwrap();
        assert_eq!(url.as_str(), "https://plane.example/x/v1/hits");
    }
}

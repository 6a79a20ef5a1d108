//! A certificate for measurements: P-256, signed by itself, so that it is its own `--ca`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    #[error("cannot write it")]
    Write(#[from] io::Error),
}

/// Writes `certificate.pem` and `key.pem` into `dir`.
pub fn write_certificate(dir: &Path) -> Result<(), CertificateError> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)?;
    std::fs::write(dir.join("certificate.pem"), made.cert.pem())?;
    let mut key = OpenOptions::new();
    let key = key.write(true).create(true).truncate(true).mode(0o600).open(dir.join("key.pem"));
    Ok(key?.write_all(made.signing_key.serialize_pem().as_bytes())?)
}

//! `--database`: a URL that may hold a password, so that a mistyped one is never shown again.

use clap::builder::{StringValueParser, TypedValueParser};
use clap::error::{Error, ErrorKind};
use clap::{Arg, Command};
use control_plane_server::DatabaseUrl;
use std::ffi::OsStr;

#[derive(Clone)]
pub struct UrlParser;

impl TypedValueParser for UrlParser {
    type Value = DatabaseUrl;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<DatabaseUrl, Error> {
        let refused = |why: String| {
            Error::raw(ErrorKind::ValueValidation, format!("--database: {why}\n")).with_cmd(cmd)
        };
        let text = StringValueParser::new().parse_ref(cmd, arg, value);
        let text = text.map_err(|_| refused("the URL is not UTF-8".to_owned()))?;
        text.parse().map_err(|error: control_plane_store::NotADatabase| refused(error.to_string()))
    }
}

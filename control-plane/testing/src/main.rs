//! A throwaway PostgreSQL: prints the addresses of empty databases, and keeps them until stdin ends.
//!
//! `--in DIR` says where its files go, `--databases N` how many there shall be, `--set NAME=VALUE` changes a
//! setting: a benchmark wants `fsync=on` and a real disk.

use control_plane_testing::{Options, Server};
use std::error::Error;
use std::io;

const USAGE: &str = "use: control-plane-testing [--in DIR] [--databases N] [--set NAME=VALUE]...";

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options::default();
    let mut databases = 1;
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match flag.as_str() {
            "--in" => options.parent = Some(value.into()),
            "--databases" => databases = value.parse()?,
            "--set" => {
                let (name, value) = value.split_once('=').ok_or(USAGE)?;
                options.settings.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(USAGE.into()),
        }
    }
    let server = Server::start(options)?;
    for _ in 0..databases {
        println!("{}", server.create_database().url);
    }
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

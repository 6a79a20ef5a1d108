//! A throwaway PostgreSQL: prints the address of an empty database, and keeps it until stdin ends.

use std::io;

fn main() -> io::Result<()> {
    println!("{}", control_plane_testing::server().create_database().url);
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

//! This machine: the disk under the data directory, and the clock.

use super::report::Report;
use rustix::fs::{StatVfs, statfs, statvfs};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const GIB: u64 = 1 << 30;
const SYNCS: usize = 9;
const SLOW: Duration = Duration::from_millis(50);

/// Where an fsync promises nothing, or less than on a disk of this machine.
const NOT_A_DISK: [(u64, &str, bool); 9] = [
    (0x0102_1994, "tmpfs: memory, gone with a restart", true),
    (0x8584_58f6, "ramfs: memory, gone with a restart", true),
    (0x794c_7630, "the layer of a container, gone with it", false),
    (0x6969, "NFS", false),
    (0xff53_4d42, "CIFS", false),
    (0xfe53_4d42, "SMB", false),
    (0x0102_1997, "9p: shared by the host of a virtual machine", false),
    (0x00c3_6400, "Ceph", false),
    (0x6573_5546, "FUSE", false),
];

pub fn check(dir: &Path, report: &mut Report) {
    if dir.is_dir() {
        kind(dir, report);
        space(dir, report);
        sync(dir, report);
    } else {
        let found = format!("there is no directory {}", dir.display());
        report.wrong("disk.kind", found, "pass --data-dir as the control plane has it");
        report.skip_the_rest(&["disk.space", "disk.sync"], "there is no data directory");
    }
    ntp(report);
}

fn kind(dir: &Path, report: &mut Report) {
    const CHECK: &str = "disk.kind";
    let fix = "put the data directory on a disk of this machine";
    match statfs(dir) {
        Err(error) => report.failed(CHECK, &io::Error::from(error)),
        Ok(found) => {
            // The kernel's type is 32 bits wide; the field is not, everywhere.
            let magic = u64::from(found.f_type as u32);
            match NOT_A_DISK.iter().find(|(known, ..)| *known == magic) {
                None => report.ok(CHECK, format!("{} is on a disk", dir.display())),
                Some((_, what, true)) => {
                    report.wrong(CHECK, format!("{} is on {what}", dir.display()), fix);
                }
                Some((_, what, false)) => {
                    report.warning(CHECK, format!("{} is on {what}", dir.display()), fix);
                }
            }
        }
    }
}

pub fn free(place: &StatVfs) -> (u64, u64) {
    (place.f_bavail.saturating_mul(place.f_frsize), place.f_blocks.saturating_mul(place.f_frsize))
}

fn space(dir: &Path, report: &mut Report) {
    const CHECK: &str = "disk.space";
    let place = match statvfs(dir) {
        Ok(place) => place,
        Err(error) => return report.failed(CHECK, &io::Error::from(error)),
    };
    let (free, all) = free(&place);
    let percent = free.saturating_mul(100).checked_div(all).unwrap_or_default();
    let found = format!("{} free of {}, {percent} %", size(free), size(all));
    let fix = format!("free space under {}, or enlarge its filesystem", dir.display());
    if free < GIB || percent < 2 {
        report.wrong(CHECK, found, fix);
    } else if percent < 10 {
        report.warning(CHECK, found, fix);
    } else {
        report.ok(CHECK, found);
    }
}

pub fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut index = 0;
    let mut value = bytes;
    while value >= 10 * 1024 && index + 1 < units.len() {
        value /= 1024;
        index += 1;
    }
    format!("{value} {}", units.get(index).unwrap_or(&"B"))
}

/// Removed when dropped, also when a write fails.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn sync(dir: &Path, report: &mut Report) {
    const CHECK: &str = "disk.sync";
    match sync_time(dir) {
        Err(error) => {
            let fix = "run doctor as the user of the control plane, who must own the directory; see that the disk \
                has space and is not mounted read-only";
            report.wrong(CHECK, format!("{} cannot be written: {error}", dir.display()), fix);
        }
        Ok(median) => {
            let found =
                format!("a write is on the disk after {}.{:01} ms", median.as_millis(), tenths(median));
            if median > SLOW {
                let fix = "every reply of an edge and every commit waits this long: take a faster disk, or one \
                    that fewer share";
                report.warning(CHECK, found, fix);
            } else {
                report.ok(CHECK, found);
            }
        }
    }
}

fn tenths(time: Duration) -> u128 {
    time.as_micros() / 100 % 10
}

fn sync_time(dir: &Path) -> io::Result<Duration> {
    let draft = Draft(dir.join(format!("doctor-{}.tmp", std::process::id())));
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(&draft.0)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[0x5a; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok(times.get(SYNCS / 2).copied().unwrap_or_default())
}

fn ntp(report: &mut Report) {
    const CHECK: &str = "clock.ntp";
    let mut ask = Command::new("timedatectl");
    ask.args(["show", "--property=NTPSynchronized", "--value"]).stderr(Stdio::null()).stdin(Stdio::null());
    let said = ask.output().ok().filter(|output| output.status.success());
    match said.as_ref().map(|output| output.stdout.trim_ascii()) {
        Some(b"yes") => report.ok(CHECK, "the clock follows NTP"),
        Some(b"no") => {
            let fix = "timedatectl set-ntp true, or run chrony: leases, certificates and click times need it";
            report.warning(CHECK, "the clock does not follow NTP", fix);
        }
        _ => report.skipped(CHECK, "timedatectl does not tell on this machine"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, shown) in
            [(0, "0 B"), (9_000, "9000 B"), (20_480, "20 KiB"), (5 * GIB, "5120 MiB"), (50 * GIB, "50 GiB")]
        {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        sync_time(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

//! Memory as Linux counts it.

use super::cpu::{CpuError, read};

/// What of these processes is in memory now, in KiB.
pub fn resident(pids: &[u32]) -> Result<u64, CpuError> {
    pids.iter().map(|pid| read(format!("/proc/{pid}/status"), parse)).sum()
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_resident() {
        assert_eq!(parse("Name:\tx\nVmHWM:\t 99 kB\nVmRSS:\t    1234 kB\n"), Some(1234));
        assert_eq!(parse("Name:\tx\n"), None);
        assert!(resident(&[std::process::id()]).unwrap() > 0);
    }
}

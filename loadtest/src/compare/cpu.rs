//! CPU time as Linux counts it, in seconds.

/// `/proc` counts in hundredths of a second, whatever the kernel ticks with.
const TICKS: f64 = 100.0;

#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    #[error("cannot read {path} (is the process gone? comparing needs Linux)")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} does not look like this kernel's")]
    Format { path: String },
}

pub(super) fn read<T>(path: String, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, CpuError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text).ok_or(CpuError::Format { path }),
        Err(source) => Err(CpuError::Read { path, source }),
    }
}

/// User and system time of these processes, with all their threads.
pub fn of(pids: &[u32]) -> Result<f64, CpuError> {
    pids.iter().map(|pid| read(format!("/proc/{pid}/stat"), process)).sum()
}

/// The process that started this one.
pub fn parent(pid: u32) -> Result<u32, CpuError> {
    read(format!("/proc/{pid}/stat"), |stat| field(stat, 1))
}

/// The same to the nanosecond, of the threads that have not ended.
pub fn precise(pid: u32) -> Result<f64, CpuError> {
    let path = format!("/proc/{pid}/task");
    let tasks = std::fs::read_dir(&path).map_err(|source| CpuError::Read { path: path.clone(), source })?;
    let nanos = |schedstat: &str| schedstat.split_ascii_whitespace().next()?.parse::<u64>().ok();
    let of_task = |task: std::fs::DirEntry| {
        // One that has just ended is left out.
        read(task.path().join("schedstat").display().to_string(), nanos).unwrap_or_default()
    };
    Ok(tasks.flatten().map(of_task).sum::<u64>() as f64 / 1e9)
}

/// Of a server that has a process for each connection: itself and its processes.
pub fn family(pid: u32) -> Result<f64, CpuError> {
    let children = read(format!("/proc/{pid}/task/{pid}/children"), |text| Some(text.to_owned()))?;
    let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
    // One that has just ended is left out.
    Ok(precise(pid)? + children.map(|child| precise(child).unwrap_or_default()).sum::<f64>())
}

/// Counted from the one after the name.
fn field<T: std::str::FromStr>(stat: &str, number: usize) -> Option<T> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(number)?.parse().ok()
}

fn process(stat: &str) -> Option<f64> {
    // The name of the program stands in parentheses and may hold anything, spaces and parentheses too.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some((next()? + next()?) as f64 / TICKS)
}

/// Of all cores together.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Machine {
    pub busy: f64,
    pub steal: f64,
    pub total: f64,
}

impl Machine {
    pub fn now() -> Result<Self, CpuError> {
        read("/proc/stat".to_owned(), Self::parse)
    }

    fn parse(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace().take(8);
        let fields: Option<Vec<f64>> = fields.map(|field| field.parse().ok()).collect();
        let [user, nice, system, idle, iowait, irq, softirq, steal] = fields?.try_into().ok()?;
        let busy = user + nice + system + irq + softirq;
        let total = busy + idle + iowait + steal;
        Some(Self { busy: busy / TICKS, steal: steal / TICKS, total: total / TICKS })
    }

    pub fn since(self, before: Self) -> Self {
        Self {
            busy: self.busy - before.busy,
            steal: self.steal - before.steal,
            total: self.total - before.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process() {
        let stat = "12 (a (b) c) S 1 12 12 0 -1 4194560 25 0 0 0 250 50 7 7 20 0 1 0 100 0 0";
        assert_eq!(process(stat), Some(3.0));
        assert_eq!(process("12 (a) S 1"), None);
        assert_eq!(field(stat, 1), Some(1u32));
        assert!(of(&[std::process::id()]).unwrap() >= 0.0);
        assert!(family(std::process::id()).unwrap() >= 0.0);
        assert!(parent(std::process::id()).unwrap() > 0);
        assert!(matches!(of(&[u32::MAX]), Err(CpuError::Read { .. })));
    }

    #[test]
    fn the_time_of_the_machine() {
        let before = Machine::parse("cpu  100 0 100 700 50 10 20 25 0 0\ncpu0 1 1\n").unwrap();
        let after = Machine::parse("cpu  200 0 200 750 50 10 20 75 0 0\n").unwrap();
        assert_eq!(after.since(before), Machine { busy: 2.0, steal: 0.5, total: 3.0 });
        assert_eq!(Machine::parse("intr 1 2 3"), None);
        assert!(Machine::now().unwrap().total > 0.0);
    }
}

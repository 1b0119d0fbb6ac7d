//! What the figures were measured on and with: the processor's name and the thread's CPU clock.

use std::fmt;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
}

impl Machine {
    /// This machine; a name that can't be found out is "unknown".
    pub fn this() -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo")
            .ok()
            .and_then(|info| cpu_name(&info))
            .unwrap_or_else(|| "unknown".to_owned());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cpu, cores }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.cores, self.cpu)
    }
}

fn cpu_name(info: &str) -> Option<String> {
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

/// CPU time of this thread so far. Time in which others had the core does not count.
pub fn thread_cpu_ns() -> u64 {
    const NS_PER_S: u64 = 1_000_000_000;
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * NS_PER_S + now.tv_nsec as u64
}

/// Memory of this process that is resident now.
pub fn resident_bytes() -> std::io::Result<u64> {
    let sizes = std::fs::read_to_string("/proc/self/statm")?;
    let pages = sizes.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let pages =
        pages.ok_or_else(|| std::io::Error::other("no resident pages in /proc/self/statm"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_processor_from_its_description() {
        let info = "processor\t: 0\nmodel name\t: Quick One @ 3 GHz\nflags\t\t: fpu\n";
        assert_eq!(cpu_name(info).as_deref(), Some("Quick One @ 3 GHz"));
        assert_eq!(cpu_name("nothing here"), None);
    }

    #[test]
    fn memory_that_is_written_is_resident() {
        const BYTES: usize = 64 << 20;
        let written = std::hint::black_box(vec![1u8; BYTES]);
        let resident = resident_bytes().unwrap();
        // other tests of this process come and go, so there is no before and after
        let most = 100 * written.len() as u64;
        assert!((written.len() as u64..most).contains(&resident), "{resident}");
    }

    #[test]
    fn the_cpu_clock_goes_forward() {
        let before = thread_cpu_ns();
        let work = (0..100_000u64).fold(0, |sum, i| std::hint::black_box(sum + i));
        assert!(work > 0 && thread_cpu_ns() > before);
    }
}

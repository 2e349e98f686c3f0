//! What the kernel says of a process (<https://docs.kernel.org/filesystems/proc.html>).

use std::{fs, time::Duration};

/// `/proc/PID/stat` counts in hundredths of a second on every Linux (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Fields of `/proc/PID/stat` after the command's name: user and system time.
const TIMES: std::ops::Range<usize> = 11..13;

/// Memory in use, in bytes.
pub(crate) fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    kib * 1024.0
}

/// CPU time used so far.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u32 = fields[TIMES].iter().map(|ticks| ticks.parse::<u32>().unwrap()).sum();
    TICK * ticks
}

/// The same to the nanosecond, of a process whose threads stay: those that have ended are not counted
/// (<https://docs.kernel.org/scheduler/sched-stats.html>).
pub(crate) fn cpu_of_threads(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let used = threads.map(|thread| {
        let times = fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        Duration::from_nanos(times.split_whitespace().next().unwrap().parse().unwrap())
    });
    used.sum()
}

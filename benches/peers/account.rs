//! What a process and its children have used (<https://docs.kernel.org/filesystems/proc.html>).

use std::{collections::HashMap, fs, time::Duration};

/// `/proc/PID/stat` counts in hundredths of a second on every Linux (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Fields of `/proc/PID/stat` after the command's name: user and system time.
const TIMES: std::ops::Range<usize> = 11..13;

/// CPU time of a process and its children up to a moment.
pub(crate) struct Cpu {
    /// User and system time, threads that have ended included.
    ticks: Duration,
    /// Of each living thread, to the nanosecond.
    threads: HashMap<u32, Duration>,
}

impl Cpu {
    /// Of `root` and its children, at this moment.
    pub(crate) fn of(root: u32) -> Self {
        let (mut ticks, mut threads) = (Duration::ZERO, HashMap::new());
        for pid in family(root) {
            ticks += ticks_of(pid);
            threads.extend(threads_of(pid));
        }
        Self { ticks, threads }
    }

    /// Used since `before`: to the nanosecond, or in ticks when a thread has ended meanwhile and took its account along.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        if before.threads.keys().any(|thread| !self.threads.contains_key(thread)) {
            return self.ticks - before.ticks;
        }
        self.threads.values().sum::<Duration>() - before.threads.values().sum::<Duration>()
    }
}

/// Memory of `root` and its children that no file backs, shared pages in proportion, in bytes: the processes' own, without
/// their code and without what the kernel keeps for their sockets.
pub(crate) fn memory(root: u32) -> f64 {
    family(root).into_iter().map(anonymous).sum()
}

/// Open descriptors of `root` and its children.
pub(crate) fn descriptors(root: u32) -> usize {
    family(root).into_iter().map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()).sum()
}

/// `root` and its children; the workers of nginx are some.
fn family(root: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{root}/task/{root}/children")).unwrap();
    let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
    std::iter::once(root).chain(children).collect()
}

fn ticks_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    TICK * fields[TIMES].iter().map(|ticks| ticks.parse::<u32>().unwrap()).sum::<u32>()
}

/// A thread may end while it is looked at.
fn threads_of(pid: u32) -> Vec<(u32, Duration)> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let time = |thread: fs::DirEntry| {
        let times = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let nanos = times.split_whitespace().next()?.parse().ok()?;
        Some((thread.file_name().to_str()?.parse().ok()?, Duration::from_nanos(nanos)))
    };
    threads.filter_map(time).collect()
}

fn anonymous(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).unwrap();
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    kib * 1024.0
}

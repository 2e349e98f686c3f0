//! The machine: its clock, its CPUs, its limits, and what stands in the way of a fair run.

use std::{fs, path::PathBuf, time::Duration};

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// Nanoseconds of the monotonic clock, which is one for all processes.
pub(crate) type Nanos = u64;

/// Descriptors that the largest part takes in one process: two for each of 5,000 open sessions in a proxy.
const DESCRIPTORS: u64 = 12_000;

/// One CPU for the proxy, one for clients and backend. With both on one, or wandering, figures fall into two modes.
#[derive(Clone, Copy)]
pub(crate) struct Cpus {
    pub(crate) proxy: usize,
    pub(crate) load: usize,
    all: CpuSet,
}

/// Now.
pub(crate) fn now() -> Nanos {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// From `earlier` to `later`, nothing if it is the other way round.
pub(crate) fn between(earlier: Nanos, later: Nanos) -> Duration {
    Duration::from_nanos(later.saturating_sub(earlier))
}

impl Cpus {
    /// The first two that this process may use.
    pub(crate) fn find() -> Self {
        let all = sched_getaffinity(None).unwrap();
        let mut usable = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu));
        let (Some(proxy), Some(load)) = (usable.next(), usable.next()) else {
            panic!("two CPUs are needed: one for the proxy, one for clients and backend");
        };
        Self { proxy, load, all }
    }

    /// Everything this thread does and starts from here on runs where the clients run.
    pub(crate) fn take_load(self) {
        pin(&one(self.load));
    }

    /// Runs `start` where the proxy runs; what it starts inherits that.
    pub(crate) fn at_proxy<T>(self, start: impl FnOnce() -> T) -> T {
        self.within(&one(self.proxy), start)
    }

    /// Runs `start` free to use all CPUs.
    pub(crate) fn anywhere<T>(self, start: impl FnOnce() -> T) -> T {
        self.within(&self.all, start)
    }

    fn within<T>(self, cpus: &CpuSet, start: impl FnOnce() -> T) -> T {
        pin(cpus);
        let started = start();
        self.take_load();
        started
    }
}

/// As many descriptors as this process may have; what it starts inherits that. Tells how many.
pub(crate) fn raise_descriptors() -> u64 {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let most = most.unwrap_or(u64::MAX);
    assert!(most >= DESCRIPTORS, "{DESCRIPTORS} descriptors are needed, the hard limit is {most} (ulimit -Hn)");
    most
}

/// The program in `PATH` or in the places of the system's own servers.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is missing; as root: apt-get install -y --no-install-recommends nginx haproxy caddy")
    })
}

/// Model of the CPU and version of the kernel, for the record.
pub(crate) fn describe() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown CPU", |(_, model)| model.trim());
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    format!(
        "{count} x {model}, Linux {}, load {}",
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").trim()
    )
}

fn one(cpu: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(cpu);
    set
}

fn pin(cpus: &CpuSet) {
    sched_setaffinity(None, cpus).unwrap();
}

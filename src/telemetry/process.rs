//! Figures of the process itself, read from /proc at each scrape; none where there is no /proc.

use std::fs;

use prometheus::{
    Counter, Gauge, IntGauge, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// What the kernel says of this process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    cpu: Counter,
    resident: IntGauge,
    mapped: IntGauge,
    threads: IntGauge,
    open_files: IntGauge,
    most_files: IntGauge,
    /// None where the time of the machine's boot is not told.
    started: Option<Gauge>,
}

impl Process {
    /// This process; none where the system does not tell.
    pub(super) fn here() -> Option<prometheus::Result<Self>> {
        let stat = Stat::read()?;
        let boot = fs::read_to_string("/proc/stat").ok().and_then(|text| boot_time(&text));
        Some(Self::new(boot.map(|boot| boot + stat.after_boot)))
    }

    fn new(started: Option<f64>) -> prometheus::Result<Self> {
        Ok(Self {
            cpu: cpu()?,
            resident: IntGauge::new("process_resident_memory_bytes", "Memory in use.")?,
            mapped: IntGauge::new("process_virtual_memory_bytes", "Memory mapped.")?,
            threads: IntGauge::new("process_threads", "Threads of the process.")?,
            open_files: IntGauge::new("process_open_fds", "Open file descriptors.")?,
            most_files: IntGauge::new("process_max_fds", "Most file descriptors that may be open.")?,
            started: started.map(since_1970).transpose()?,
        })
    }

    fn of_stat(&self, stat: &Stat) -> Vec<MetricFamily> {
        self.resident.set(stat.resident);
        self.mapped.set(stat.mapped);
        self.threads.set(stat.threads);
        let mut families = [self.resident.collect(), self.mapped.collect(), self.threads.collect()].concat();
        // A counter cannot be set, so each scrape has one of its own, which begins at zero.
        if let Ok(cpu) = cpu() {
            cpu.inc_by(stat.cpu);
            families.extend(cpu.collect());
        }
        families
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = [&self.resident, &self.mapped, &self.threads, &self.open_files, &self.most_files];
        let gauges = gauges.into_iter().flat_map(Collector::desc);
        self.cpu.desc().into_iter().chain(self.started.iter().flat_map(Collector::desc)).chain(gauges).collect()
    }

    /// What cannot be read (no descriptor may be left to open a file with) is left out.
    fn collect(&self) -> Vec<MetricFamily> {
        let mut families: Vec<_> = self.started.iter().flat_map(Collector::collect).collect();
        families.extend(Stat::read().map(|stat| self.of_stat(&stat)).unwrap_or_default());
        if let Some(open) = open_files() {
            self.open_files.set(open);
            families.extend(self.open_files.collect());
        }
        if let Some(most) = getrlimit(Resource::Nofile).current.and_then(|most| i64::try_from(most).ok()) {
            self.most_files.set(most);
            families.extend(self.most_files.collect());
        }
        families
    }
}

/// What is of use in `/proc/self/stat`, see proc_pid_stat(5).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    /// Seconds in user and in kernel mode together.
    cpu: f64,
    threads: i64,
    /// Seconds from the machine's boot to the start of the process.
    after_boot: f64,
    /// Bytes.
    mapped: i64,
    /// Bytes.
    resident: i64,
}

impl Stat {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&text, clock_ticks_per_second() as f64, i64::try_from(page_size()).ok()?)
    }

    fn parse(text: &str, ticks: f64, page: i64) -> Option<Self> {
        // The second field is the program's name in brackets, and may itself hold blanks and brackets.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The manual counts from 1, and the state, number 3, is the first one here.
        let number = |place: usize| fields.get(place - 3)?.parse::<i64>().ok();
        Some(Self {
            cpu: (number(14)? + number(15)?) as f64 / ticks,
            threads: number(20)?,
            after_boot: number(22)? as f64 / ticks,
            mapped: number(23)?,
            resident: number(24)?.saturating_mul(page),
        })
    }
}

fn cpu() -> prometheus::Result<Counter> {
    Counter::with_opts(Opts::new("process_cpu_seconds_total", "Time in user and kernel mode together."))
}

fn since_1970(started: f64) -> prometheus::Result<Gauge> {
    let gauge = Gauge::new("process_start_time_seconds", "When the process started, since 1970.")?;
    gauge.set(started);
    Ok(gauge)
}

/// When the machine booted, in seconds since 1970, from the text of `/proc/stat`.
fn boot_time(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|time| time.trim().parse().ok())
}

/// The one by which they are counted is not among them.
fn open_files() -> Option<i64> {
    let files = fs::read_dir("/proc/self/fd").ok()?.count();
    i64::try_from(files).ok().map(|files| files - 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    /// Seconds; a start counted from the boot, or in ticks, is further away than this.
    const A_YEAR: f64 = 31_536_000.0;

    #[test]
    fn the_fields_are_counted_from_behind_the_name_whatever_that_is() {
        let text = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 75 13 14 15 16 21 0 4200 9000000 300 5";
        let expected = Stat { cpu: 3.25, threads: 21, after_boot: 42.0, mapped: 9_000_000, resident: 300 * 4096 };
        assert_eq!(Stat::parse(text, 100.0, 4096), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1 2 3", 100.0, 4096), None);
    }

    #[test]
    fn the_boot_time_is_a_line_among_others() {
        assert_eq!(boot_time("cpu 1 2\nbtime 1767323045\nprocesses 9\n"), Some(1_767_323_045.0));
        assert_eq!(boot_time("cpu 1 2\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_threads_files_and_a_start_in_the_past() {
        let process = Process::here().unwrap().unwrap();
        let told: Vec<_> = process.collect().iter().map(|family| family.name().to_owned()).collect();
        assert_eq!(told.len(), process.desc().len(), "{told:?}");
        assert!(process.threads.get() >= 1 && process.open_files.get() >= 1, "{process:?}");
        assert!(process.most_files.get() >= process.open_files.get(), "{process:?}");
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let age = now - process.started.unwrap().get();
        // The boot time is in whole seconds, and clocks are set.
        assert!((-60.0..A_YEAR).contains(&age), "it started {age} s ago");
    }
}

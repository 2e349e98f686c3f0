//! Whether what was seen at rest grows.

/// Least samples from which growth can be told.
pub(crate) const SAMPLES_AT_LEAST: usize = 6;

/// Most that the memory at rest may rise from the first third of a run to its last. What a crowd has given back stays with
/// the allocator where something younger lies above it, so the figure moves between what is in use and what the largest
/// crowd took: some 3 MiB with the cycles of the soak, however long the run. Whatever really grows passes any bound, and
/// the sooner the longer the run is.
pub(crate) const MEMORY_SLACK: u64 = 4 << 20;

/// What a process has at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Bytes of its own, without the pages of files.
    pub(crate) memory: u64,
    pub(crate) descriptors: u64,
    pub(crate) tasks: u64,
    pub(crate) threads: u64,
}

impl Figures {
    /// The lower of each.
    pub(crate) fn lowest(self, other: Self) -> Self {
        Self {
            memory: self.memory.min(other.memory),
            descriptors: self.descriptors.min(other.descriptors),
            tasks: self.tasks.min(other.tasks),
            threads: self.threads.min(other.threads),
        }
    }

    /// Nothing is left over that can be counted one by one.
    pub(crate) fn is_back_at(&self, base: &Self) -> bool {
        self.descriptors <= base.descriptors && self.tasks <= base.tasks
    }
}

/// What has grown over a run, in words; `samples` were taken at rest after like cycles.
///
/// Descriptors and tasks are countable: each must come back to the base. Threads come and go with the pool for blocking
/// calls: the fewest of the last third may not be more than the most of the first. Memory is judged by the medians of the
/// two thirds, which one odd sample does not move.
pub(crate) fn growth(base: &Figures, samples: &[Figures]) -> Vec<String> {
    let mut grown = Vec::new();
    for (name, count) in COUNTED {
        if let Some((cycle, more)) = samples.iter().map(count).enumerate().find(|(_, more)| *more > count(base)) {
            grown.push(format!("{name}: {more} at rest after cycle {}, {} at first", cycle + 1, count(base)));
        }
    }
    if samples.len() < SAMPLES_AT_LEAST {
        return grown;
    }
    let third = samples.len() / 3;
    let (first, last) = (&samples[..third], &samples[samples.len() - third..]);
    let most = first.iter().map(|one| one.threads).max().unwrap_or_default();
    let fewest = last.iter().map(|one| one.threads).min().unwrap_or_default();
    if fewest > most {
        grown.push(format!("threads: never fewer than {fewest} in the last third, at most {most} in the first"));
    }
    let (before, after) = (median(first), median(last));
    if after > before + MEMORY_SLACK {
        let [before, after] = [before, after].map(|bytes| bytes >> 10);
        grown.push(format!("memory: {before} KiB in the first third of the run, {after} KiB in the last"));
    }
    grown
}

type Count = fn(&Figures) -> u64;

const COUNTED: [(&str, Count); 2] =
    [("descriptors", |figures| figures.descriptors), ("tasks", |figures| figures.tasks)];

pub(crate) fn median(figures: &[Figures]) -> u64 {
    let mut memory: Vec<u64> = figures.iter().map(|one| one.memory).collect();
    memory.sort_unstable();
    memory[memory.len() / 2]
}

const BASE: Figures = Figures { memory: 20 << 20, descriptors: 20, tasks: 12, threads: 5 };

/// A run of `cycles` in which cycle number n is as told.
fn run(cycles: u64, figures: impl Fn(u64) -> Figures) -> Vec<String> {
    growth(&BASE, &(0..cycles).map(figures).collect::<Vec<_>>())
}

#[test]
fn a_kibibyte_a_session_is_growth_and_an_allocators_ups_and_downs_are_not() {
    let leaks = run(15, |cycle| Figures { memory: BASE.memory + cycle * 500 * 1024, ..BASE });
    assert_eq!(leaks, ["memory: 21480 KiB in the first third of the run, 26480 KiB in the last"]);
    let noisy = run(15, |cycle| Figures { memory: BASE.memory + (cycle * 7 % 5) * 700 * 1024, ..BASE });
    assert_eq!(noisy, [""; 0]);
    let spike = run(15, |cycle| Figures { memory: BASE.memory + u64::from(cycle == 14) * (50 << 20), ..BASE });
    assert_eq!(spike, [""; 0]);
}

#[test]
fn a_day_tells_of_some_hundred_bytes_a_cycle() {
    let cycles = 40_000;
    assert_eq!(run(cycles, |cycle| Figures { memory: BASE.memory + cycle * 200, ..BASE }).len(), 1);
    assert_eq!(run(cycles, |_| BASE), [""; 0]);
}

#[test]
fn one_descriptor_or_one_task_left_over_is_growth() {
    let leaks = run(3, |cycle| Figures { descriptors: 20 + cycle, tasks: 12 + cycle, ..BASE });
    assert_eq!(
        leaks,
        ["descriptors: 21 at rest after cycle 2, 20 at first", "tasks: 13 at rest after cycle 2, 12 at first"]
    );
}

#[test]
fn threads_that_stay_are_growth_and_those_that_come_and_go_are_not() {
    assert_eq!(run(9, |cycle| Figures { threads: 5 + cycle, ..BASE }).len(), 1);
    assert_eq!(run(9, |cycle| Figures { threads: 5 + cycle % 3, ..BASE }), [""; 0]);
}

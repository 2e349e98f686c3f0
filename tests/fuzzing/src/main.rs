//! libFuzzer around the targets of `readygate::fuzz`; the environment variable `READYGATE_FUZZ` names one.
#![no_main]

mod memory;

use std::sync::LazyLock;

/// Most bytes that one input, some hundred bytes long, may take at a time.
const MOST_MEMORY: usize = 16 << 20;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("READYGATE_FUZZ").unwrap_or_default();
    let known = readygate::fuzz::TARGETS.iter().find(|(known, _)| *known == name);
    known.unwrap_or_else(|| panic!("no target {name:?}")).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let target = *TARGET;
    let most = memory::peak_of(|| target(data));
    assert!(most <= MOST_MEMORY, "{most} bytes of memory");
});

//! The platform, rehearsed: start-up probes, traffic as soon as the port listens, SIGTERM to everything, SIGKILL after
//! 10 s, a CPU that stops between requests. tests/platform/rehearse.py plays it to real processes, with the application
//! alone beside readygate, and holds what clients saw to what is promised; `tests/platform/run` prints it for people.

use std::process::{Command, Stdio};

use tokio::task::spawn_blocking;

#[tokio::test]
async fn a_cold_start_under_traffic_loses_nothing_whichever_container_starts_first() {
    rehearse("cold").await;
}

#[tokio::test]
async fn a_sigterm_to_everything_is_told_to_all_and_the_exit_waits_for_nobody() {
    rehearse("drain").await;
}

#[tokio::test]
async fn a_cpu_that_stops_between_requests_is_nobodys_failure() {
    rehearse("idle").await;
}

#[tokio::test]
async fn a_cpu_that_stops_under_sessions_ends_none_of_them() {
    rehearse("amid").await;
}

#[tokio::test]
async fn users_of_an_instance_that_is_replaced_are_told_and_served_by_the_next() {
    rehearse("replace").await;
}

/// Plays one scene; what it promises is judged there, and told here.
async fn rehearse(scene: &'static str) {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut command = Command::new(format!("{root}/tests/.venv/bin/python"));
    command.arg(format!("{root}/tests/platform/rehearse.py")).args(["--readygate", env!("CARGO_BIN_EXE_readygate")]);
    command.arg(scene).stdin(Stdio::null());
    let output = spawn_blocking(move || command.output()).await.unwrap().expect("tests/run makes tests/.venv");
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    println!("{told}");
    assert!(output.status.success(), "{told}");
    assert!(told.contains(" promises hold"), "nothing was judged: {told}");
}

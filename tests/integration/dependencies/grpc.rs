//! A gRPC health server in Python: `health_server.py`, beside this file.

use std::{
    io::Write,
    path::Path,
    process::{ChildStdin, Command, Stdio},
};

use rustix::process::Signal;

use super::process::Process;

const HINT: &str = "run tests/run, which makes tests/.venv from tests/requirements.txt";

/// A health server on loopback.
pub(crate) struct Health {
    process: Process,
    pub(crate) port: u16,
    states: ChildStdin,
    told: usize,
}

impl Health {
    /// Starts with `options`, and waits until it serves.
    pub(crate) fn start(options: &[&str]) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let mut command = Command::new(tests.join(".venv/bin/python"));
        command.arg(tests.join("integration/dependencies/health_server.py")).args(options).stdin(Stdio::piped());
        let mut process = Process::start(&mut command, Signal::KILL, HINT);
        let line = process.log().reached("port ").unwrap_or_else(|| panic!("{}\n{HINT}", process.log().text()));
        let port = line.trim_start_matches("port ").parse().unwrap();
        let states = process.child().stdin.take().unwrap();
        Self { process, port, states, told: 0 }
    }

    /// Sets a service's state (`SERVING`, `NOT_SERVING`, `UNKNOWN`); `.` is the whole server.
    pub(crate) fn set(&mut self, service: &str, status: &str) {
        writeln!(self.states, "{service} {status}").unwrap();
        self.told += 1;
        self.process.log().lines("set", self.told);
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        self.process.child().wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }
}

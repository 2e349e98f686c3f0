//! A redis-server of its own data directory.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    process::Command,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{ATTEMPTS, Log, Process, free_port};

const HINT: &str = "install the Debian package redis-server, or run tests/run";

/// A redis-server on loopback.
pub(crate) struct Redis {
    process: Process,
    /// Of its plain listener.
    pub(crate) port: u16,
    directory: TempDir,
}

impl Redis {
    /// Starts with `options` added, and waits until it is ready.
    pub(crate) fn start(options: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        for _ in 0..ATTEMPTS {
            let port = free_port();
            let process = launch(&directory, port, options);
            if process.log().reached("eady to accept connections").is_some() {
                return Self { process, port, directory };
            }
            assert!(process.log().text().contains("Address already in use"), "{}", process.log().text());
        }
        panic!("no port to be had");
    }

    /// Starts on a port that somebody keeps for it, so that nobody else has it while it is away.
    pub(crate) fn start_on(port: u16) -> Self {
        let directory = TempDir::new().unwrap();
        let process = launch(&directory, port, &[]);
        process.log().line("eady to accept connections");
        Self { process, port, directory }
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        self.process.child().wait().unwrap();
    }

    /// Starts it again on its port and data, with `options` added, and waits for `line` in its log.
    pub(crate) fn restart(&mut self, options: &[&str], line: &str) {
        self.process = launch(&self.directory, self.port, options);
        self.process.log().line(line);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub(crate) fn log(&self) -> &Log {
        self.process.log()
    }

    /// Gives it commands on one connection, and says the first line of the last one's answer.
    pub(crate) fn tell(&self, commands: &[&str]) -> String {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut answers = BufReader::new(&stream);
        let mut answer = String::new();
        for command in commands {
            (&stream).write_all(format!("{command}\r\n").as_bytes()).unwrap();
            answer.clear();
            answers.read_line(&mut answer).unwrap();
        }
        answer.trim_end().to_owned()
    }

    /// How many connections it has, with the one that asks.
    pub(crate) fn clients(&self) -> usize {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        (&stream).write_all(b"INFO clients\r\n").unwrap();
        let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
        let count = lines.find_map(|line| line.strip_prefix("connected_clients:").map(str::to_owned));
        count.unwrap().parse().unwrap()
    }
}

fn launch(directory: &TempDir, port: u16, options: &[&str]) -> Process {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]);
    command.arg("--dir").arg(directory.path()).args(options);
    Process::start(&mut command, Signal::KILL, HINT)
}

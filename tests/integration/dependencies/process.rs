//! A server's process: started in a group of its own, read line by line, and ended with its handle.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// For a line that a server is known to write: far above what the slowest takes, so that only a fault is cut off.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running program. Dropped, it is ended, and waited for.
pub(crate) struct Process {
    child: Child,
    log: Log,
    /// What ends it without leaving anything behind.
    last: Signal,
}

/// What a process has written so far, on both of its outputs.
#[derive(Clone, Default)]
pub(crate) struct Log {
    inner: Arc<(Mutex<Lines>, Condvar)>,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: usize,
}

/// Standard output and standard error.
const OUTPUTS: usize = 2;

impl Process {
    /// Starts `command`; `last` is the signal that ends it. `hint` says what to do where the program is missing.
    pub(crate) fn start(command: &mut Command, last: Signal, hint: &str) -> Self {
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; {hint}"));
        let log = Log::default();
        log.follow(child.stdout.take().unwrap());
        log.follow(child.stderr.take().unwrap());
        Self { child, log, last }
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// To the process itself.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until it has ended by itself and its outputs are read to the end.
    pub(crate) fn ended(&mut self) -> Vec<String> {
        self.log.wait(|lines| (lines.ended == OUTPUTS).then(|| lines.lines.clone()))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // A stopped process would keep any other signal waiting.
            let _ = kill_process_group(self.pid(), Signal::CONT);
            let _ = kill_process_group(self.pid(), self.last);
            let _ = self.child.wait();
        }
    }
}

impl Log {
    fn follow(&self, output: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                log.change(|lines| lines.lines.push(line));
            }
            log.change(|lines| lines.ended += 1);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.inner.0.lock().unwrap());
        self.inner.1.notify_all();
    }

    /// Waits for a line that contains `part`, from the first line on; says which.
    pub(crate) fn line(&self, part: &str) -> String {
        self.reached(part).unwrap_or_else(|| panic!("ended without {part:?}:\n{}", self.text()))
    }

    /// The same; none when the process has ended without it.
    pub(crate) fn reached(&self, part: &str) -> Option<String> {
        self.wait(|lines| match lines.lines.iter().find(|line| line.contains(part)) {
            Some(line) => Some(Some(line.clone())),
            None => (lines.ended == OUTPUTS).then_some(None),
        })
    }

    /// Waits for `count` lines that are `whole`.
    pub(crate) fn lines(&self, whole: &str, count: usize) {
        self.wait(|lines| (lines.lines.iter().filter(|line| *line == whole).count() >= count).then_some(()));
    }

    pub(crate) fn text(&self) -> String {
        self.inner.0.lock().unwrap().lines.join("\n")
    }

    fn wait<T>(&self, mut found: impl FnMut(&Lines) -> Option<T>) -> T {
        let mut answer = None;
        let lines = self.inner.0.lock().unwrap();
        let (lines, _) = self
            .inner
            .1
            .wait_timeout_while(lines, PATIENCE, |lines| {
                answer = found(lines);
                answer.is_none()
            })
            .unwrap();
        answer.unwrap_or_else(|| panic!("not within {PATIENCE:?}:\n{}", lines.lines.join("\n")))
    }
}

/// A port that was free a moment ago. Another program may take it in between, so a start is tried [`ATTEMPTS`] times.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts on ports that others may snatch.
pub(crate) const ATTEMPTS: usize = 5;

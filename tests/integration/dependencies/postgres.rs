//! A PostgreSQL server of its own data directory. It will not run as root, so under root it runs as `postgres`.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use super::process::{ATTEMPTS, Log, Process, free_port};

const HINT: &str = "install the Debian package postgresql, or run tests/run";

/// Who may log in how, over TCP; the Unix socket is the tests' own way in.
const ACCESS: &str = "\
local all all trust
host all trusted 127.0.0.1/32 trust
host all md5er 127.0.0.1/32 md5
host all clear 127.0.0.1/32 password
host all rejected 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
";

/// A PostgreSQL server on loopback.
pub(crate) struct Postgres {
    process: Process,
    pub(crate) port: u16,
    directory: TempDir,
}

/// A connection that somebody else holds.
pub(crate) struct Held {
    child: Child,
    _stdin: ChildStdin,
}

impl Postgres {
    /// Starts with `settings` (`name=value`) added, and waits until it is ready.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::prepared(|_| (), settings, "database system is ready to accept connections")
    }

    /// The same on a data directory that `prepare` had a hand in, and waits for `line` in the log.
    pub(crate) fn prepared(prepare: impl FnOnce(&Path), settings: &[&str], line: &str) -> Self {
        let directory = TempDir::new().unwrap();
        own(directory.path());
        let data = data(&directory);
        let mut initdb = command("initdb");
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]);
        run(&mut initdb);
        fs::write(data.join("pg_hba.conf"), ACCESS).unwrap();
        prepare(&data);
        for _ in 0..ATTEMPTS {
            let port = free_port();
            let process = launch(&directory, port, settings);
            if process.log().reached(line).is_some() {
                return Self { process, port, directory };
            }
            assert!(process.log().text().contains("Address already in use"), "{}", process.log().text());
        }
        panic!("no port to be had");
    }

    /// Ends it at once, as a crash does, and its backends with it.
    pub(crate) fn kill(&mut self) {
        self.process.signal(Signal::QUIT);
        self.process.child().wait().unwrap();
    }

    /// Starts it again on its port and data, and waits until it is ready.
    pub(crate) fn restart(&mut self) {
        self.process = launch(&self.directory, self.port, &[]);
        self.process.log().line("database system is ready to accept connections");
    }

    /// Ends a standby's recovery, and waits until it is ready.
    pub(crate) fn promote(&self) {
        run(command("pg_ctl").arg("promote").arg("-D").arg(data(&self.directory)));
        self.process.log().line("database system is ready to accept connections");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub(crate) fn log(&self) -> &Log {
        self.process.log()
    }

    /// Runs `sql` as the superuser.
    pub(crate) fn sql(&self, sql: &str) -> String {
        run(self.psql("postgres").args(["-Atqc", sql]))
    }

    /// A connection of `user`, open until it is dropped.
    pub(crate) fn hold(&self, user: &str) -> Held {
        let mut command = self.psql(user);
        let mut child = command.arg("-Atq").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect(HINT);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"SELECT 'held';\n").unwrap();
        let mut answer = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut answer).unwrap();
        assert_eq!(answer, "held\n");
        Held { child, _stdin: stdin }
    }

    /// Lets every session end by itself, shuts down, and says what was logged between the start and that.
    pub(crate) fn shut_down(&mut self) -> Vec<String> {
        let before = self.process.log().text().lines().count();
        self.process.signal(Signal::TERM);
        let lines = self.process.ended();
        let ready = lines.iter().position(|line| line.contains("ready to accept connections")).unwrap();
        assert!(before > ready);
        let own = |line: &&String| SHUTDOWN.iter().any(|part| line.contains(part));
        lines[ready + 1..].iter().filter(|line| !own(line)).cloned().collect()
    }

    fn psql(&self, user: &str) -> Command {
        let mut command = Command::new(programs().join("psql"));
        command.arg("-X").arg("-h").arg(self.directory.path());
        command.args(["-p", &self.port.to_string(), "-U", user, "-d", "postgres"]);
        command
    }
}

/// What a server logs of its own end.
const SHUTDOWN: [&str; 5] = [
    "LOG:  received smart shutdown request",
    "LOG:  background worker \"logical replication launcher\"",
    "LOG:  shutting down",
    "LOG:  checkpoint ",
    "LOG:  database system is shut down",
];

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(directory: &TempDir, port: u16, settings: &[&str]) -> Process {
    let mut command = command("postgres");
    command.arg("-D").arg(data(directory)).arg("-k").arg(directory.path());
    command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
    for setting in settings {
        command.args(["-c", setting]);
    }
    // An immediate shutdown: the postmaster ends its backends, which are in process groups of their own.
    Process::start(&mut command, Signal::QUIT, HINT)
}

/// A server's program, as a user that may run it.
fn command(program: &str) -> Command {
    let path = programs().join(program);
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
        command
    } else {
        Command::new(path)
    };
    // As `postgres` this directory may be out of bounds.
    command.current_dir("/");
    command
}

/// Where Debian puts the newest version's programs, which are not on the path.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").unwrap_or_else(|error| panic!("{error}: {HINT}"));
    let found = versions.map(|entry| entry.unwrap().path().join("bin")).filter(|bin| bin.join("postgres").exists());
    let newest =
        found.max_by_key(|bin| bin.parent().and_then(|version| version.file_name()?.to_str()?.parse::<u32>().ok()));
    newest.expect(HINT)
}

fn data(directory: &TempDir) -> PathBuf {
    directory.path().join("data")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: {HINT}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Gives `path` to whom the server runs as.
pub(crate) fn own(path: &Path) {
    if geteuid().is_root() {
        let id = |flag| run(Command::new("id").args([flag, "postgres"])).parse().unwrap();
        chown(path, Some(id("-u")), Some(id("-g"))).unwrap();
    }
}

/// Copies `from` to where the server may read it and nobody else may.
pub(crate) fn entrust(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
    own(to);
}

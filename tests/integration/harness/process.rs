//! A readygate in a process of its own, from a proxy.toml in a temporary directory.

use std::{
    net::SocketAddr,
    os::fd::AsFd,
    path::Path,
    process::{ExitStatus, Stdio},
};

use rustix::{
    io::ioctl_fionread,
    pipe::fcntl_getpipe_size,
    process::{Pid, Resource, Rlimit, getrlimit, prlimit},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::{gate::QUICK, raw::Raw, within};

/// The configuration's name in its directory.
pub(crate) const FILE: &str = "proxy.toml";

/// A running process; dropped, it is killed.
pub(crate) struct Process {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    child: Child,
    log: Lines<BufReader<ChildStdout>>,
    /// The lines of the log that were read.
    read: String,
    directory: TempDir,
}

/// What a command that ends by itself has left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts it with ports of the kernel's choice, which its log tells.
    pub(crate) async fn start(upstream: SocketAddr, lines: &str, variables: &[(&str, &str)]) -> Self {
        Self::launch(upstream, lines, |arguments| {
            let mut command = command(arguments);
            command.envs(variables.iter().copied());
            command
        })
        .await
    }

    /// The same with so many open files and no more.
    pub(crate) async fn start_with_files(upstream: SocketAddr, lines: &str, files: usize) -> Self {
        let limited = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        Self::launch(upstream, lines, |arguments| {
            let program = ["-c", &limited, env!("CARGO_BIN_EXE_readygate")];
            command_of("sh", &[&program, arguments].concat())
        })
        .await
    }

    async fn launch(upstream: SocketAddr, lines: &str, command: impl FnOnce(&[&str]) -> Command) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join(FILE), text(upstream, lines)).unwrap();
        Self::launch_in(directory, command).await
    }

    /// Starts it from the proxy.toml of a directory.
    pub(crate) async fn start_in(directory: TempDir, variables: &[(&str, &str)]) -> Self {
        Self::launch_in(directory, |arguments| {
            let mut command = command(arguments);
            command.envs(variables.iter().copied());
            command
        })
        .await
    }

    async fn launch_in(directory: TempDir, command: impl FnOnce(&[&str]) -> Command) -> Self {
        let path = directory.path().join(FILE);
        let mut child = command(&["run", "--config", path.to_str().unwrap()]).spawn().unwrap();
        let log = BufReader::new(child.stdout.take().unwrap()).lines();
        let nowhere = SocketAddr::from(([0; 4], 0));
        let mut process = Self { public: nowhere, admin: nowhere, child, log, read: String::new(), directory };
        let line = process.logged("listening").await;
        let address = |name: &str| line[name].as_str().unwrap().parse().unwrap();
        (process.public, process.admin) = (address("public"), address("admin"));
        process
    }

    /// Where its proxy.toml is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) async fn client(&self) -> Raw {
        Raw::connect(self.public).await
    }

    /// The next line of the log with this message; those before it are passed over.
    pub(crate) async fn logged(&mut self, message: &str) -> Value {
        self.next_of(&[message]).await
    }

    /// The next line of the log with one of these messages; those before it are passed over.
    pub(crate) async fn next_of(&mut self, messages: &[&str]) -> Value {
        loop {
            let line = self.line(&messages.join(", ")).await;
            let line = line.unwrap_or_else(|| panic!("the log ended without {messages:?}"));
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            if messages.iter().any(|message| line["message"] == *message) {
                return line;
            }
        }
    }

    /// All it has written on both outputs, once it has ended.
    pub(crate) async fn everything(&mut self) -> String {
        while self.line("the end of the log").await.is_some() {}
        let mut stderr = self.child.stderr.take().unwrap();
        within("standard error", stderr.read_to_string(&mut self.read)).await.unwrap();
        std::mem::take(&mut self.read)
    }

    async fn line(&mut self, what: &str) -> Option<String> {
        let line = within(what, self.log.next_line()).await.unwrap()?;
        self.read += &line;
        self.read.push('\n');
        Some(line)
    }

    /// Bytes by one of its figures in /proc: `VmRSS` is what it has in memory, `VmHWM` the most it ever had.
    pub(crate) fn memory(&self, figure: &str) -> usize {
        let id = self.child.id().expect("a living process");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).expect(figure);
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// Sends a signal: `TERM`, `INT`.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("a living process").to_string();
        let kill = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status();
        assert!(within("kill", kill).await.unwrap().success());
    }

    /// How full the pipe is that its log waits in: up to 1.
    pub(crate) fn unread(&mut self) -> f64 {
        let output = self.log.get_mut().get_mut();
        let pipe = output.as_fd();
        ioctl_fionread(pipe).unwrap() as f64 / fcntl_getpipe_size(pipe).unwrap() as f64
    }

    /// It has ended, with the rest of its log unread.
    pub(crate) async fn ended_unread(&mut self) -> ExitStatus {
        within("the process's end", self.child.wait()).await.unwrap()
    }

    /// From here on it may have so many open files; what is open stays open.
    pub(crate) fn limit_files(&self, files: Option<u64>) {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.try_into().unwrap()));
        let hard = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: files.or(hard), maximum: hard };
        prlimit(Some(id.expect("a living process")), Resource::Nofile, limit).unwrap();
    }

    /// It has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within("the process's end", async {
            while let Ok(Some(_)) = self.log.next_line().await {}
            self.child.wait().await.unwrap()
        })
        .await
    }
}

/// Runs readygate with `arguments` and `variables` in a directory with these files until it ends.
pub(crate) async fn run(arguments: &[&str], variables: &[(&str, &str)], files: &[(&str, &str)]) -> Ended {
    let directory = TempDir::new().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let mut command = command(arguments);
    command.current_dir(directory.path()).envs(variables.iter().copied());
    let output = within("the end of the command", command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A whole configuration: checks that are quick, this upstream, and `lines`.
pub(crate) fn text(upstream: SocketAddr, lines: &str) -> String {
    format!("{QUICK}\nupstream.url = \"http://{upstream}\"\n{lines}\n")
}

fn command(arguments: &[&str]) -> Command {
    command_of(env!("CARGO_BIN_EXE_readygate"), arguments)
}

fn command_of(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("PORT").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

//! The programs of `tests/race` and `tests/clients`: other people's WebSocket stacks around readygate.

use std::{
    fs::File,
    io::{Read, Seek},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::within;

/// Who speaks to readygate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// PyPI `websockets`.
    Python,
    /// npm `ws`.
    Node,
    /// A browser.
    Chromium,
}

/// A running program; dropped, it is killed.
pub(crate) struct Program {
    _child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: File,
}

/// A program that serves on a port.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    program: Program,
}

impl Server {
    /// The race app, which boots when told to.
    pub(crate) async fn race(arguments: &[&str]) -> Self {
        Self::start(&python(), "tests/race/app.py", &[&["--boot-stdin"], arguments].concat()).await
    }

    /// The race app, booted.
    pub(crate) async fn warm_race(arguments: &[&str]) -> Self {
        let mut app = Self::race(arguments).await;
        app.boot().await;
        app
    }

    /// The echo server; with `--wait-stdin` it listens when told to.
    pub(crate) async fn echo(arguments: &[&str]) -> Self {
        Self::start(&python(), "tests/clients/echo_server.py", arguments).await
    }

    /// The echo server on npm `ws`.
    pub(crate) async fn node_echo() -> Self {
        Self::start(&node(), "tests/clients/echo_server.mjs", &[]).await
    }

    async fn start(interpreter: &Path, script: &str, arguments: &[&str]) -> Self {
        let mut program = Program::start(interpreter, script, arguments);
        let line = program.line("port ").await;
        let port: u16 = line.split(' ').nth(1).unwrap().parse().unwrap();
        Self { address: ([127, 0, 0, 1], port).into(), program }
    }

    /// Ends the boot of the race app.
    pub(crate) async fn boot(&mut self) {
        self.program.tell().await;
        self.program.line("ready ").await;
    }

    /// Lets the echo server listen.
    pub(crate) async fn listen(&mut self) {
        self.program.tell().await;
        self.listening().await;
    }

    /// The kernel takes connections.
    pub(crate) async fn listening(&mut self) {
        self.program.line("listening ").await;
    }
}

impl Foreign {
    /// A client of `url`.
    pub(crate) fn start(self, url: &str, arguments: &[&str]) -> Program {
        let arguments = [&[url], arguments].concat();
        match self {
            Self::Python => Program::start(&python(), "tests/clients/python_client.py", &arguments),
            Self::Node => Program::start(&node(), "tests/clients/node_client.mjs", &arguments),
            Self::Chromium => {
                browser();
                Program::start(&node(), "tests/clients/chromium_client.mjs", &arguments)
            }
        }
    }
}

/// The status page in a browser.
pub(crate) struct Page(Program);

impl Page {
    pub(crate) async fn open(admin: SocketAddr) -> Self {
        browser();
        let mut program = Program::start(&node(), "tests/clients/page_reader.mjs", &[&format!("http://{admin}/")]);
        program.event("open").await;
        Self(program)
    }

    /// Waits until each element holds its text: `("#word", "Shut")`.
    pub(crate) async fn sees(&mut self, wanted: &[(&str, &str)]) {
        self.obeys(&json!({ "see": wanted })).await;
    }

    pub(crate) async fn click(&mut self, selector: &str) {
        self.obeys(&json!({ "click": selector })).await;
    }

    /// Elements that the selector finds.
    pub(crate) async fn count(&mut self, selector: &str) -> u64 {
        self.obeys(&json!({ "count": selector })).await["count"].as_u64().unwrap()
    }

    /// Pictures for whoever changes the page, if they name a directory in `READYGATE_SHOTS`.
    pub(crate) async fn shoot(&mut self, name: &str) {
        if let Some(directory) = std::env::var_os("READYGATE_SHOTS") {
            self.obeys(&json!({ "shoot": Path::new(&directory).join(name) })).await;
        }
    }

    /// What the browser has to say against the page, which it closes.
    pub(crate) async fn complaints(mut self) -> Value {
        drop(self.0.stdin.take());
        self.0.event("complaints").await["complaints"].take()
    }

    async fn obeys(&mut self, command: &Value) -> Value {
        let line = format!("{command}\n");
        self.0.stdin.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
        let done = self.0.event("done").await;
        assert_eq!(done["error"], Value::Null, "{}", done["error"].as_str().unwrap_or_default());
        done
    }
}

impl Program {
    fn start(interpreter: &Path, script: &str, arguments: &[&str]) -> Self {
        let stderr = tempfile::tempfile().unwrap();
        let mut child = Command::new(interpreter)
            .arg(root().join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone().unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", interpreter.display()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take(), _child: child, lines, stderr }
    }

    /// The next line that begins so; others are passed over.
    pub(crate) async fn line(&mut self, start: &str) -> String {
        loop {
            match within(start, self.lines.next_line()).await.unwrap() {
                Some(line) if line.starts_with(start) => return line,
                Some(_) => {}
                None => panic!("the program ended before it said {start:?}: {}", self.complaint()),
            }
        }
    }

    /// A client has said that this happened: `open`, `sent`.
    pub(crate) async fn event(&mut self, event: &str) -> Value {
        loop {
            let line: Value = serde_json::from_str(&self.line("{").await).unwrap();
            if line["event"] == event {
                return line;
            }
            assert_ne!(line["event"], "result", "the result came before {event}: {line}");
        }
    }

    /// What became of a client's messages.
    pub(crate) async fn result(&mut self) -> Value {
        let result = loop {
            let line: Value = serde_json::from_str(&self.line("{").await).unwrap();
            if line["event"] == "result" {
                break line;
            }
        };
        if result["ok"] != true {
            println!("{result}\n{}", self.complaint());
        }
        result
    }

    async fn tell(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
    }

    fn complaint(&mut self) -> String {
        let mut text = String::new();
        self.stderr.rewind().unwrap();
        self.stderr.read_to_string(&mut text).unwrap();
        text
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn python() -> PathBuf {
    let python = root().join("tests/.venv/bin/python");
    demand(&python, "tests/run installs it (apt-get install python3-venv, then tests/requirements.txt)");
    python
}

fn node() -> PathBuf {
    demand(&root().join("tests/node_modules/ws"), "tests/run installs it (npm ci --prefix tests)");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|directory| directory.join("node")).find(|node| node.exists());
    found.expect("node is missing: apt-get install nodejs")
}

/// The clients find it by themselves.
fn browser() {
    let browser = std::env::var_os("CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into());
    demand(Path::new(&browser), "apt-get install chromium, or set CHROMIUM");
}

fn demand(path: &Path, hint: &str) {
    assert!(path.exists(), "{} is missing: {hint}", path.display());
}

//! The product behind the gate: tests/race/app.py, a real FastAPI application under uvicorn.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::watch;

use super::{Lab, sidecar::get};

/// One process of the product; killed when dropped.
pub(crate) struct Backend {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Where it listens, or will.
    pub(crate) address: SocketAddr,
    said: watch::Receiver<Said>,
}

/// What it has said so far, and when.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    port: Option<u16>,
    listening: Option<Instant>,
    ready: Option<Instant>,
    ended: bool,
}

impl Backend {
    /// Starts the product as `lab` describes it, on `port` (0: the kernel chooses); returns once its port is known,
    /// which is long before it listens.
    pub(crate) async fn start(lab: &Lab, port: u16) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let mut child = Command::new(format!("{root}/tests/.venv/bin/python"))
            .arg(format!("{root}/tests/race/app.py"))
            .args(lab.arguments())
            .args(["--port", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("tests/run makes tests/.venv");
        let stdin = child.stdin.take();
        let said = listen(&mut child);
        let mut backend = Self { child, stdin, address: ([127, 0, 0, 1], 0).into(), said };
        backend.wait(|said| said.port.is_some()).await;
        let port = backend.said.borrow().port.unwrap();
        backend.address.set_port(port);
        backend
    }

    /// Lets the boot end, where it waits for that.
    pub(crate) fn boot(&mut self) {
        if let Some(mut stdin) = self.stdin.take() {
            // An application that boots on a timer does not read it.
            let _ = stdin.write_all(b"\n");
        }
    }

    /// Resolves when the kernel takes connections for it.
    pub(crate) async fn listening(&mut self) {
        self.wait(|said| said.listening.is_some()).await;
    }

    /// Resolves when the boot is over; tells when that was.
    pub(crate) async fn ready(&mut self) -> Instant {
        self.wait(|said| said.ready.is_some()).await;
        self.said.borrow().ready.unwrap()
    }

    /// The product's own books.
    pub(crate) async fn ledger(&self) -> Value {
        let address = self.address;
        let text = tokio::task::spawn_blocking(move || get(address, "/ledger?detail=true")).await.unwrap();
        serde_json::from_str(&text.unwrap()).unwrap()
    }

    /// Ends it without a word to anybody, as an out-of-memory kill does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as a platform does before it starts the next, and waits until it has.
    pub(crate) async fn terminate(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.said.wait_for(|said| said.ended).await.unwrap();
        self.child.wait().unwrap();
    }

    async fn wait(&mut self, known: impl FnMut(&Said) -> bool) {
        let mut known = known;
        let said = self.said.wait_for(|said| known(said) || said.ended).await.unwrap();
        assert!(known(&said), "the application has ended: {said:?}");
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A thread takes the time of each line, so that a busy runtime does not date it late.
fn listen(child: &mut Child) -> watch::Receiver<Said> {
    let (sender, receiver) = watch::channel(Said::default());
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let now = Instant::now();
            sender.send_modify(|said| said.hear(&line, now));
        }
        sender.send_modify(|said| said.ended = true);
    });
    receiver
}

impl Said {
    fn hear(&mut self, line: &str, now: Instant) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["port", port] => self.port = port.parse().ok(),
            ["listening", ..] => self.listening = Some(now),
            ["ready", ..] => self.ready = Some(now),
            _ => panic!("the application said {line:?}"),
        }
    }
}

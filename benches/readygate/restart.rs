//! How soon after a killed backend (uvicorn) is ready again the clients that waited for it are served.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};
use tokio_tungstenite::connect_async;

use super::{
    figures::{Report, Sample},
    load,
    sidecar::Sidecar,
};

/// Clients that wait.
const CLIENTS: usize = 500;

/// Restarts, all under one readygate.
const ROUNDS: usize = 7;

/// The backend is away at least this long with everybody waiting: pauses between checks have grown.
const AWAY: Duration = Duration::from_secs(2);

/// And up to so much longer, at random, so that no rhythm of the checks is met by chance.
const SPREAD: Duration = Duration::from_millis(500);

/// Only a benchmark that hangs reaches it.
const WITHIN: Duration = Duration::from_secs(60);

/// Most from ready to the first released session's first message, in milliseconds.
const TARGET: f64 = 1000.0;

const CHECK: &str = "check = \"/health/ready\"\n";

/// tests/race/app.py. It says `port`, and once its boot is over `listening` and `ready`.
struct App {
    child: Child,
    stdin: ChildStdin,
    port: u16,
    ready: Receiver<Instant>,
}

/// From ready to the first client's first message of the backend, and to the last one's.
struct Round {
    first: Duration,
    last: Duration,
}

/// Killed and started again, with everybody waiting.
pub(crate) async fn run(report: &mut Report) {
    println!("\nrestart of a killed uvicorn with {CLIENTS} clients held, {ROUNDS} times, away for {AWAY:?} and more");
    let mut app = App::start(0);
    let gate = Sidecar::start(SocketAddr::from(([127, 0, 0, 1], app.port)), CHECK);
    app.boot();
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let round;
        (app, round) = restart(app, &gate).await;
        rounds.push(round);
    }
    let sample = |field: fn(&Round) -> Duration| Sample::new(rounds.iter().map(field).collect());
    for (name, sample, target) in
        [("first", sample(|round| round.first), Some(TARGET)), ("last", sample(|round| round.last), None)]
    {
        report.note(&format!("restart: ready to {name} message p50 ms"), sample.millis(50), None);
        report.note(&format!("restart: ready to {name} message max ms"), sample.millis(100), target);
    }
}

async fn restart(app: App, gate: &Sidecar) -> (App, Round) {
    until_verdict(gate, "open").await;
    let (mut lost, _) = connect_async(format!("ws://{}/ws", gate.public)).await.unwrap();
    let port = app.port;
    drop(app);
    // Its end tells the gate, before anybody else comes.
    timeout(WITHIN, async { while let Some(Ok(_)) = lost.next().await {} }).await.expect("the open session is told");
    until_verdict(gate, "shut").await;
    let held = load::crowd(gate.public, CLIENTS, 0).await;
    let mut app = App::start(port);
    sleep(AWAY + SPREAD.mul_f64(fastrand::f64())).await;
    let mut firsts: JoinSet<Instant> = held.into_iter().map(first_message).collect();
    let (app, ready) = spawn_blocking(move || {
        let ready = app.boot();
        (app, ready)
    })
    .await
    .unwrap();
    let mut times = Vec::with_capacity(CLIENTS);
    while let Some(at) = timeout(WITHIN, firsts.join_next()).await.expect("everybody is served") {
        times.push(at.unwrap().saturating_duration_since(ready));
    }
    times.sort();
    (app, Round { first: times[0], last: times[CLIENTS - 1] })
}

async fn first_message(mut client: TcpStream) -> Instant {
    assert!(client.read(&mut [0; 512]).await.unwrap() > 0, "ended without a message");
    Instant::now()
}

async fn until_verdict(gate: &Sidecar, verdict: &str) {
    let name = format!("readygate_gate_verdict{{route=\"*\",verdict=\"{verdict}\"}}");
    gate.until(verdict, |metrics| metrics[&name] == 1.0).await;
}

impl App {
    /// Returns once its port is known, which is before it listens.
    fn start(port: u16) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let mut child = Command::new(format!("{root}/tests/.venv/bin/python"))
            .arg(format!("{root}/tests/race/app.py"))
            .args(["--bind", "late", "--register", "before", "--boot-stdin", "--port", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("tests/run makes tests/.venv");
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| line.strip_prefix("port ")?.parse().ok()).expect("the port");
        let (sender, ready) = channel();
        // Takes the time of the line, however busy everybody else is.
        thread::spawn(move || {
            lines.filter(|line| line.starts_with("ready")).for_each(|_| _ = sender.send(Instant::now()))
        });
        Self { child, stdin, port, ready }
    }

    /// Ends the boot; tells when it was over. Blocks.
    fn boot(&mut self) -> Instant {
        self.stdin.write_all(b"\n").unwrap();
        self.ready.recv_timeout(WITHIN).expect("the boot ends")
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

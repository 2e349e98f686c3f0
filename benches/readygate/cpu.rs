//! What one message costs once a session is open, beside a bare relay and no proxy at all.

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Instant,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use super::{
    backend::{Backend, CHECK},
    figures::Report,
    load,
    process::cpu,
    sidecar::Sidecar,
};

/// The word that makes this program the relay.
pub(crate) const RELAY: &str = "relay";

/// Connections that exchange messages at a time.
const CONNECTIONS: usize = 32;

/// Round trips of each, in one turn. All turns together use seconds of CPU, far above the kernel's grain of 10 ms.
const ROUND_TRIPS: usize = 1500;

/// Turns of each way, interleaved.
const TURNS: usize = 4;

/// One way for the messages to take.
struct Way {
    name: &'static str,
    to: SocketAddr,
    /// The process between, if there is one.
    pid: Option<u32>,
    cpu_us: f64,
    wall_us: f64,
}

struct Relay {
    child: Child,
    address: SocketAddr,
}

/// Direct, relayed and gated in turns.
pub(crate) async fn run(report: &mut Report) {
    println!("\nCPU per round trip of {} bytes, {CONNECTIONS} connections", load::PAYLOAD);
    let backend = Backend::start(true, false);
    let (relay, gate) = (Relay::start(backend.address), Sidecar::start(backend.address, CHECK));
    let mut ways = [
        Way::new("direct", backend.address, None),
        Way::new("bare relay", relay.address, Some(relay.child.id())),
        Way::new("readygate", gate.public, Some(gate.pid())),
    ];
    for _ in 0..TURNS {
        for way in &mut ways {
            way.turn().await;
        }
    }
    for way in &ways {
        report.note(&format!("{}: wall time per round trip us", way.name), way.wall_us / TURNS as f64, None);
        if way.pid.is_some() {
            report.note(&format!("{}: CPU per round trip us", way.name), way.cpu_us / TURNS as f64, None);
        }
    }
    report.note("CPU per round trip readygate/bare relay", ways[2].cpu_us / ways[1].cpu_us, None);
}

/// The bare relay: tokio's own copy and nothing else.
pub(crate) async fn relay(to: SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    while let Ok((mut client, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut upstream = TcpStream::connect(to).await?;
            client.set_nodelay(true)?;
            upstream.set_nodelay(true)?;
            copy_bidirectional(&mut client, &mut upstream).await
        });
    }
}

impl Way {
    fn new(name: &'static str, to: SocketAddr, pid: Option<u32>) -> Self {
        Self { name, to, pid, cpu_us: 0.0, wall_us: 0.0 }
    }

    async fn turn(&mut self) {
        let mut clients = load::crowd(self.to, CONNECTIONS, 0).await;
        let (began, used) = (Instant::now(), self.pid.map(cpu));
        let exchanges = clients.drain(..).map(|mut client| {
            tokio::spawn(async move {
                for _ in 0..ROUND_TRIPS {
                    load::round_trip(&mut client).await;
                }
            })
        });
        for exchange in exchanges.collect::<Vec<_>>() {
            exchange.await.unwrap();
        }
        let count = (CONNECTIONS * ROUND_TRIPS) as f64;
        self.wall_us += began.elapsed().as_secs_f64() * 1e6 / count;
        if let (Some(used), Some(pid)) = (used, self.pid) {
            self.cpu_us += (cpu(pid) - used).as_secs_f64() * 1e6 / count;
        }
    }
}

impl Relay {
    fn start(to: SocketAddr) -> Self {
        let program = env::current_exe().unwrap();
        let mut child = Command::new(program).args([RELAY, &to.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

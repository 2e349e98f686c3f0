//! A backend that echoes: killed and started again on its port, in this process or in one of its own.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{SinkExt, StreamExt};
use socket2::Socket;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

use crate::race::reserve;

/// Everybody may come at once.
const BACKLOG: u32 = 4096;

/// What to put into readygate's `[upstream]`.
pub(crate) const CHECK: &str = "check = \"/ready\"\n";

/// What it answers to any other plain request.
pub(crate) const PAGE: &str = "a page";

/// The variable by which [`a_process_of_its_own`] learns its port.
const PORT: &str = "SOAK_BACKEND_PORT";

/// The order after which it is ready.
const READY: &str = "ready";

/// Begins the line by which it says that it listens.
const LISTENING: &str = "listening";

/// A place on loopback that stays ours, and a backend there or none.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    serving: Option<JoinHandle<()>>,
    _place: Socket,
}

/// The same in a process of its own: for crowds whose sockets are too many for one process.
pub(crate) struct Apart {
    child: Child,
    orders: ChildStdin,
}

impl Backend {
    /// Ready from the start.
    pub(crate) fn start() -> Self {
        let (place, port) = reserve();
        let mut backend = Self { address: ([127, 0, 0, 1], port).into(), serving: None, _place: place };
        backend.restart();
        backend
    }

    /// Gone as a killed process is: no Close, no answer, nobody listens. Returns when it is.
    pub(crate) async fn kill(&mut self) {
        let Some(serving) = self.serving.take() else { return };
        serving.abort();
        // Its connections end with the task that has them.
        let _ = serving.await;
    }

    pub(crate) fn restart(&mut self) {
        let listener = listen(self.address);
        self.serving = Some(tokio::spawn(serve(listener, Arc::new(AtomicBool::new(true)))));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl Apart {
    /// Listens, and is not ready.
    pub(crate) fn start(port: u16) -> Self {
        let program = env::current_exe().unwrap();
        let this = format!("{}::a_process_of_its_own", module_path!().split_once("::").unwrap().1);
        let mut child = Command::new(program)
            .args(["--ignored", "--exact", "--nocapture", &this])
            .env(PORT, port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, lines) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        until_listening(lines);
        Self { child, orders }
    }

    pub(crate) fn make_ready(&mut self) {
        writeln!(self.orders, "{READY}").unwrap();
    }
}

/// A kill, as it comes for lack of memory.
impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What follows is the test harness's own report, which nobody reads.
fn until_listening(lines: ChildStdout) {
    let mut lines = BufReader::new(lines).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(LISTENING)), "the backend has ended");
}

/// Ends with its standard input.
#[test]
#[ignore = "no test: a process that the tests of crowds start"]
fn a_process_of_its_own() {
    let Ok(port) = env::var(PORT) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ready = Arc::new(AtomicBool::new(false));
    let shown = Arc::clone(&ready);
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = listen(([127, 0, 0, 1], port.parse().unwrap()).into());
            println!("{LISTENING}");
            serve(listener, shown).await;
        });
    });
    for order in io::stdin().lines().map_while(Result::ok) {
        ready.store(order == READY, Ordering::SeqCst);
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(BACKLOG).unwrap()
}

/// The set of connections goes with the task that holds it.
async fn serve(listener: TcpListener, ready: Arc<AtomicBool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => drop(connections.spawn(answer(stream, Arc::clone(&ready)))),
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Keeps a connection for requests, as real servers do, until one of them upgrades it.
async fn answer(mut stream: TcpStream, ready: Arc<AtomicBool>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    loop {
        let head = read_head(&mut stream).await?;
        let key = head.lines().find_map(|line| {
            line.to_ascii_lowercase().starts_with("sec-websocket-key:").then(|| line[18..].trim().to_owned())
        });
        if let Some(key) = key {
            let accept = derive_accept_key(key.as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.ok()?;
            return echo(stream).await;
        }
        let refused = head.starts_with("GET /ready ") && !ready.load(Ordering::SeqCst);
        let status = if refused { "503 Service Unavailable" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{PAGE}", PAGE.len());
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// Every message is on its way before the next is looked at, so that a client that has stopped sending gets them all.
async fn echo(stream: TcpStream) -> Option<()> {
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await.ok()?;
        }
    }
    socket.get_mut().shutdown().await.ok()
}

/// A request has no body here, and nothing follows it before its answer: readygate sends nothing before the 101.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    String::from_utf8(head).ok()
}

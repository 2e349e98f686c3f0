//! A backend that echoes, and becomes ready when it is told to.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::load::{CLIENT_FRAME, SERVER_FRAME};

/// All clients of a benchmark may come at once.
const BACKLOG: u32 = 4096;

/// What to put into readygate's configuration.
pub(crate) const CHECK: &str = "check = \"/ready\"\n";

/// Stops taking connections when dropped.
pub(crate) struct Backend {
    /// Where it listens, from the start.
    pub(crate) address: SocketAddr,
    ready: Arc<AtomicBool>,
    /// What happened, once it is ready.
    pub(crate) events: UnboundedReceiver<Event>,
    accepting: JoinHandle<()>,
}

/// What a backend sees, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// It was asked whether it is ready, and is.
    Asked(Instant),
    /// A frame has come whole.
    Frame(Instant),
}

#[derive(Clone)]
struct Shared {
    ready: Arc<AtomicBool>,
    events: Option<UnboundedSender<Event>>,
}

impl Backend {
    /// One that is ready, or not yet; with `events` it tells of what it sees.
    pub(crate) fn start(ready: bool, events: bool) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(BACKLOG).unwrap();
        let (sender, receiver) = unbounded_channel();
        let ready = Arc::new(AtomicBool::new(ready));
        let shared = Shared { ready: Arc::clone(&ready), events: events.then_some(sender) };
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, ready, events: receiver, accepting }
    }

    /// Ready from here on; tells since when.
    pub(crate) fn make_ready(&self) -> Instant {
        let now = Instant::now();
        self.ready.store(true, Ordering::SeqCst);
        now
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Keeps a connection for requests, as real servers do, until one of them upgrades it.
async fn serve(mut stream: TcpStream, shared: Shared) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    loop {
        let head = read_head(&mut stream).await?;
        let key = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().starts_with("sec-websocket-key:").then(|| &line[18..]));
        if let Some(key) = key {
            let accept = derive_accept_key(key.trim().as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.ok()?;
            return echo(stream, shared).await;
        }
        let ready = shared.ready.load(Ordering::SeqCst);
        if ready {
            shared.tell(Event::Asked(Instant::now()));
        }
        let status = if ready { "200 OK" } else { "503 Service Unavailable" };
        stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.ok()?;
    }
}

/// Clients of the benchmarks send frames of one size only.
async fn echo(mut stream: TcpStream, shared: Shared) -> Option<()> {
    let mut frame = CLIENT_FRAME;
    loop {
        stream.read_exact(&mut frame).await.ok()?;
        shared.tell(Event::Frame(Instant::now()));
        // The mask is all zeros, so the payload stands as it is.
        let start = frame.len() - SERVER_FRAME;
        (frame[start], frame[start + 1]) = (frame[0], frame[1] & 0x7f);
        stream.write_all(&frame[start..]).await.ok()?;
    }
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

impl Shared {
    fn tell(&self, event: Event) {
        if let Some(events) = &self.events {
            let _ = events.send(event);
        }
    }
}

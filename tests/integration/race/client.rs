//! One user of the product: connects once, sends at once, and writes down what comes back.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, protocol::Role},
};

use super::EVENTS;

/// For everything one client does. Only a lab that hangs reaches it.
const LIFETIME: Duration = Duration::from_secs(180);

/// What an end without a Close is called (RFC 6455 §7.1.5).
const NO_CLOSE: u16 = 1006;

/// What a Close without a code is called (RFC 6455 §7.1.5).
const NO_CODE: u16 = 1005;

/// Key of a handshake written by hand: the example of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// How a client behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// Numbered messages it sends.
    pub(crate) messages: u64,
    /// The messages follow the request without waiting for its answer, in one write.
    pub(crate) glued: bool,
    /// It stays after its last answer, until the other end closes.
    pub(crate) stays: bool,
}

/// What one client saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    pub(crate) id: String,
    /// Connect to 101, or why there was none.
    pub(crate) connected: Option<Result<Duration, String>>,
    pub(crate) sent: u64,
    pub(crate) established: bool,
    /// Every event of its own messages: message and place in [`EVENTS`].
    pub(crate) events: Vec<(u64, usize)>,
    /// Answers that belong to somebody else, or to nothing.
    pub(crate) strange: u64,
    pub(crate) first_answer: Option<Instant>,
    pub(crate) last_answer: Option<Instant>,
    /// The code with which the other end finished, if it was the one to finish.
    pub(crate) ended: Option<u16>,
    pub(crate) timed_out: bool,
}

/// What every client tells once.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// It has sent all it had, or never will.
    pub(crate) sent: Arc<Semaphore>,
    /// It has been answered, or never will be.
    pub(crate) answered: Arc<Semaphore>,
}

/// Tells at its end, if not before.
struct Once(Option<Arc<Semaphore>>);

struct Client<'a> {
    trace: &'a mut Trace,
    manner: Manner,
    sent: Once,
    answered: Once,
}

type Socket = WebSocketStream<TcpStream>;

/// Leads client `id` to its end.
pub(crate) async fn run(address: SocketAddr, id: String, manner: Manner, signals: Signals) -> Trace {
    let mut trace = Trace { id, ..Trace::default() };
    let deadline = Instant::now() + LIFETIME;
    let (sent, answered) = (Once(Some(signals.sent)), Once(Some(signals.answered)));
    let client = Client { trace: &mut trace, manner, sent, answered };
    trace.timed_out = timeout_at(deadline, client.live(address)).await.is_err();
    trace
}

impl Client<'_> {
    async fn live(mut self, address: SocketAddr) {
        let began = Instant::now();
        let connected = if self.manner.glued { self.connect_glued(address).await } else { connect(address).await };
        let mut socket = match connected {
            Ok(socket) => socket,
            Err(why) => return self.trace.connected = Some(Err(why)),
        };
        self.trace.connected = Some(Ok(began.elapsed()));
        let sent = if self.manner.glued { Some(()) } else { self.send_all(&mut socket).await };
        self.sent.tell();
        if sent.is_some() && self.read_to_fence(&mut socket).await.is_some() {
            self.answered.tell();
            self.part(&mut socket).await;
        }
    }

    async fn connect_glued(&mut self, address: SocketAddr) -> Result<Socket, String> {
        let mut bytes = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        )
        .into_bytes();
        for seq in 0..self.manner.messages {
            bytes.extend(frame(&self.text(seq)));
        }
        let mut stream = open(address).await?;
        stream.write_all(&bytes).await.map_err(|error| error.to_string())?;
        self.trace.sent = self.manner.messages;
        let rest = read_101(&mut stream).await?;
        Ok(WebSocketStream::from_partially_read(stream, rest, Role::Client, None).await)
    }

    async fn send_all(&mut self, socket: &mut Socket) -> Option<()> {
        for seq in 0..self.manner.messages {
            if socket.send(Message::text(self.text(seq))).await.is_err() {
                self.trace.ended = Some(NO_CLOSE);
                return None;
            }
            self.trace.sent += 1;
        }
        Some(())
    }

    /// The product answers in order, so one message more, sent once the connection is known to be registered, is the
    /// fence behind which nothing can come: what has not been answered by then is lost.
    async fn read_to_fence(&mut self, socket: &mut Socket) -> Option<()> {
        loop {
            let answer = self.next(socket).await?;
            if answer["type"] == "connection_established" {
                self.trace.established = true;
                let fence = format!(r#"{{"id":"{}","seq":0}}"#, self.fence());
                socket.send(Message::text(fence)).await.ok()?;
            } else if answer["id"] != self.fence() {
                self.note(&answer);
            } else if answer["type"] == EVENTS[EVENTS.len() - 1] {
                return Some(());
            }
        }
    }

    /// Waits for the other end to finish, or finishes.
    async fn part(&mut self, socket: &mut Socket) {
        if !self.manner.stays {
            let _ = socket.close(None).await;
            // The echo of the Close, and what else is on its way.
            while let Some(Ok(_)) = socket.next().await {}
            return;
        }
        while let Some(answer) = self.next(socket).await {
            self.note(&answer);
        }
    }

    /// The next answer; none once the other end has finished.
    async fn next(&mut self, socket: &mut Socket) -> Option<Value> {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap_or_default()),
                Some(Ok(Message::Close(close))) => {
                    self.trace.ended = Some(close.map_or(NO_CODE, |close| close.code.into()));
                    return None;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.trace.ended = Some(NO_CLOSE);
                    return None;
                }
            }
        }
    }

    fn note(&mut self, answer: &Value) {
        let event = EVENTS.iter().position(|event| answer["type"] == *event);
        match (event, answer["seq"].as_u64()) {
            (Some(event), Some(seq)) if answer["id"] == self.trace.id.as_str() => {
                self.trace.events.push((seq, event));
                self.trace.last_answer = Some(Instant::now());
                self.trace.first_answer = self.trace.first_answer.or(self.trace.last_answer);
            }
            _ => self.trace.strange += 1,
        }
    }

    fn text(&self, seq: u64) -> String {
        format!(r#"{{"id":"{}","seq":{seq}}}"#, self.trace.id)
    }

    fn fence(&self) -> String {
        format!("fence of {}", self.trace.id)
    }
}

impl Once {
    fn tell(&mut self) {
        if let Some(signal) = self.0.take() {
            signal.add_permits(1);
        }
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        self.tell();
    }
}

async fn connect(address: SocketAddr) -> Result<Socket, String> {
    let stream = open(address).await?;
    let shaken = client_async(format!("ws://{address}/ws"), stream).await;
    shaken.map(|(socket, _)| socket).map_err(|error| error.to_string())
}

async fn open(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// A whole text frame of a client, its mask all zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).expect("messages here are short");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// Reads the answer's head; returns what came after it.
async fn read_101(stream: &mut TcpStream) -> Result<Vec<u8>, String> {
    let mut head = Vec::new();
    loop {
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = head.split_off(end + 4);
            let head = String::from_utf8_lossy(&head);
            let status = head.lines().next().unwrap_or_default();
            return if status.starts_with("HTTP/1.1 101") { Ok(rest) } else { Err(status.to_owned()) };
        }
        let read = stream.read_buf(&mut head).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the connection ended inside the answer's head".to_owned());
        }
    }
}

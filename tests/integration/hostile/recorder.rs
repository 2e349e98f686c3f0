//! A backend that takes down what reaches it, read as strictly as it can be: what is no request to it is taken down too.

use std::{
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A running backend, and what has reached it.
pub(super) struct Recorder {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) first: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Recorder {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut tasks, log) = (JoinSet::new(), Arc::clone(&seen));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(record(stream, Arc::clone(&log)));
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    /// What has come since this was last asked.
    pub(super) fn take(&self) -> Vec<Seen> {
        mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Seen {
    /// `POST /a [body]`; the bracket is left out where there is no body.
    pub(super) fn line(&self) -> String {
        let first = self.first.trim_end_matches(" HTTP/1.1");
        if self.body.is_empty() { first.to_owned() } else { format!("{first} [{}]", self.body) }
    }

    /// The values of a header.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.iter().filter(|(other, _)| other == name);
        lines.map(|(_, value)| value.as_str()).collect()
    }
}

async fn record(mut stream: TcpStream, log: Arc<Mutex<Vec<Seen>>>) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
        while let Some((seen, length)) = parse(&bytes) {
            bytes.drain(..length);
            log.lock().unwrap().push(seen);
            let _ = stream.write_all(ANSWER).await;
        }
    }
    if !bytes.is_empty() {
        let first = format!("unfinished: {}", bytes.escape_ascii());
        log.lock().unwrap().push(Seen { first, headers: Vec::new(), body: String::new() });
    }
}

/// The request at the start of `bytes`, and its length, once it is whole.
fn parse(bytes: &[u8]) -> Option<(Seen, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end - 4]).into_owned();
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap().to_owned();
    let pair = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or((line, "(no value)"));
        (name.to_ascii_lowercase(), value.to_owned())
    };
    let mut seen = Seen { first, headers: lines.map(pair).collect(), body: String::new() };
    let length = match (&seen.all("content-length")[..], &seen.all("transfer-encoding")[..]) {
        ([], []) => 0,
        ([length], []) => {
            let length: usize = length.parse().ok()?;
            seen.body = bytes.get(end..end + length)?.escape_ascii().to_string();
            length
        }
        ([], ["chunked"]) => {
            let (body, length) = chunks(&bytes[end..])?;
            seen.body = body.escape_ascii().to_string();
            length
        }
        _ => {
            seen.first = format!("ambiguous: {head:?}");
            0
        }
    };
    Some((seen, end + length))
}

/// A chunked body with its trailers behind a bar, and its length on the wire.
fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = line(&bytes[at..])?;
        at += line.len() + 2;
        let size = usize::from_str_radix(std::str::from_utf8(line).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        body.extend(bytes.get(at..at + size)?);
        at += size + 2;
    }
    loop {
        let trailer = line(bytes.get(at..)?)?;
        at += trailer.len() + 2;
        if trailer.is_empty() {
            return Some((body, at));
        }
        body.push(b'|');
        body.extend(trailer);
    }
}

fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some(&bytes[..end])
}

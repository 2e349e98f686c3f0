//! Upstreams: one that a test plays by hand, an echo server, and the health endpoint that opens and shuts the gate.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{raw::Raw, within};

/// A listener whose connections the test answers itself.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { address: listener.local_addr().unwrap(), listener }
    }

    /// On an address that was free a moment ago.
    pub(crate) async fn start_on(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        Self { address, listener: socket.listen(64).unwrap() }
    }

    /// The next dial.
    pub(crate) async fn dialed(&mut self) -> Raw {
        Raw::server(within("a dial", self.listener.accept()).await.unwrap().0)
    }

    /// Nobody dials: nothing waits in the listener's queue. Meaningful after an event that follows any dial.
    pub(crate) async fn is_left_alone(&mut self) -> bool {
        let mut accept = std::pin::pin!(self.listener.accept());
        futures_util::poll!(accept.as_mut()).is_pending()
    }
}

/// An address on which nothing listens.
pub(crate) async fn nowhere() -> SocketAddr {
    Upstream::start().await.address
}

/// A WebSocket server that sends every message back.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut sockets = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                sockets.spawn(echo(stream));
            }
        });
        Self { address, _tasks: tasks }
    }
}

async fn echo(stream: TcpStream) {
    let Ok(socket) = tokio_tungstenite::accept_async(stream).await else { return };
    let (sink, messages) = socket.split();
    let messages = messages.filter(|message| {
        let is_data = message.as_ref().is_ok_and(|message| message.is_text() || message.is_binary());
        std::future::ready(is_data || message.is_err())
    });
    // The end of either side ends the echo; the client sees which.
    let _ = messages.forward(sink).await;
}

/// What the check of a test's readygate asks.
pub(crate) struct Health {
    pub(crate) address: SocketAddr,
    ready: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Health {
    pub(crate) async fn start(ready: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ready, asked) = (Arc::new(AtomicBool::new(ready)), Arc::new(AtomicUsize::new(0)));
        let mut task = JoinSet::new();
        task.spawn(answer(listener, Arc::clone(&ready), Arc::clone(&asked)));
        Self { address, ready, asked, _task: task }
    }

    pub(crate) fn set(&self, ready: bool) {
        self.ready.store(ready, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn answer(listener: TcpListener, ready: Arc<AtomicBool>, asked: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        asked.fetch_add(1, Ordering::SeqCst);
        // The check's whole request is one small segment; a piece of it will do.
        let Ok(_) = stream.read(&mut [0; 1024]).await else { continue };
        let status = if ready.load(Ordering::SeqCst) { "200 OK" } else { "503 Service Unavailable" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

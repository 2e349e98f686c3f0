//! A relay that adds latency: every byte arrives as much later as it is told, in each direction, however many are on
//! their way.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

/// Most bytes read at a time.
const CHUNK: usize = 16 * 1024;

/// A relay on loopback. Dropped, it cuts its connections. The TCP handshake itself is not delayed.
pub(crate) struct Relay {
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

/// Bytes, and when they are due; none is the end.
type Parcel = (Instant, Vec<u8>);

impl Relay {
    /// To `port` of loopback, with `delay` in each direction.
    pub(crate) async fn start(port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        Self { port: own, task: tokio::spawn(accept(listener, port, delay)) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The set of connections goes with the task that holds it.
async fn accept(listener: TcpListener, port: u16, delay: Duration) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        connections.spawn(join(client, port, delay));
    }
}

/// A server that cannot be reached closes the client's connection, as forwarders do.
async fn join(client: TcpStream, port: u16, delay: Duration) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(carry(from_client, to_server, delay), carry(from_server, to_client, delay));
}

async fn carry(from: OwnedReadHalf, to: OwnedWriteHalf, delay: Duration) {
    let (send, receive) = unbounded_channel();
    tokio::join!(collect(from, send, delay), deliver(to, receive));
}

async fn collect(mut from: OwnedReadHalf, send: UnboundedSender<Parcel>, delay: Duration) {
    loop {
        let mut bytes = vec![0; CHUNK];
        let count = from.read(&mut bytes).await.unwrap_or(0);
        bytes.truncate(count);
        if send.send((Instant::now() + delay, bytes)).is_err() || count == 0 {
            return;
        }
    }
}

async fn deliver(mut to: OwnedWriteHalf, mut receive: UnboundedReceiver<Parcel>) {
    while let Some((due, bytes)) = receive.recv().await {
        sleep_until(due).await;
        if bytes.is_empty() || to.write_all(&bytes).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

//! A relay that is a slow network: every byte arrives as much later as it is told, in each direction, however many are on
//! their way; and if it is told so, now and then one of them is stuck, and all behind it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

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
    /// Reads that gave something, of all connections and directions.
    reads: Arc<AtomicUsize>,
    weather: Weather,
    task: JoinHandle<()>,
}

/// What a network is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// In each direction.
    pub(crate) delay: Duration,
    /// Of so many reads one comes later still, and by how much. By count and not by chance: each run has the same.
    pub(crate) stall: Option<(usize, Duration)>,
}

/// Bytes, and when they are due; none is the end.
type Parcel = (Instant, Vec<u8>);

impl Relay {
    /// To `port` of loopback, with `delay` in each direction.
    pub(crate) async fn start(port: u16, delay: Duration) -> Self {
        Self::start_in(port, Weather { delay, stall: None }).await
    }

    /// To `port` of loopback.
    pub(crate) async fn start_in(port: u16, weather: Weather) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let reads = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(accept(listener, port, weather, Arc::clone(&reads)));
        Self { port: own, reads, weather, task }
    }

    /// How often something was stuck.
    pub(crate) fn stalls(&self) -> usize {
        self.weather.stall.map_or(0, |(every, _)| self.reads.load(Ordering::SeqCst) / every)
    }
}

impl Weather {
    /// How late read number `number` comes.
    fn lateness(self, number: usize) -> Duration {
        let stuck = self.stall.filter(|(every, _)| number.is_multiple_of(*every));
        self.delay + stuck.map_or(Duration::ZERO, |(_, more)| more)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The set of connections goes with the task that holds it.
async fn accept(listener: TcpListener, port: u16, weather: Weather, reads: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        connections.spawn(join(client, port, weather, Arc::clone(&reads)));
    }
}

/// A server that cannot be reached closes the client's connection, as forwarders do.
async fn join(client: TcpStream, port: u16, weather: Weather, reads: Arc<AtomicUsize>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(carry(from_client, to_server, weather, &reads), carry(from_server, to_client, weather, &reads));
}

async fn carry(from: OwnedReadHalf, to: OwnedWriteHalf, weather: Weather, reads: &AtomicUsize) {
    let (send, receive) = unbounded_channel();
    tokio::join!(collect(from, send, weather, reads), deliver(to, receive));
}

async fn collect(mut from: OwnedReadHalf, send: UnboundedSender<Parcel>, weather: Weather, reads: &AtomicUsize) {
    loop {
        let mut bytes = vec![0; CHUNK];
        let count = from.read(&mut bytes).await.unwrap_or(0);
        bytes.truncate(count);
        let late = if count == 0 { weather.delay } else { weather.lateness(reads.fetch_add(1, Ordering::SeqCst) + 1) };
        if send.send((Instant::now() + late, bytes)).is_err() || count == 0 {
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

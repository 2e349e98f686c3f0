//! A client that costs as little as a client can: raw sockets, frames written by hand.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// For one handshake. Only a benchmark that hangs reaches it.
const WITHIN: Duration = Duration::from_secs(60);

/// Connections from one source address: far below the 28,000 ports that one address has, closed ones included.
const PER_SOURCE: usize = 5000;

/// Handshakes under way at a time: below any listener's backlog.
pub(crate) const AT_ONCE: usize = 100;

/// Payload of every message.
pub(crate) const PAYLOAD: usize = 64;

/// A client's frame with that payload: two bytes of header, a mask of zeros.
pub(crate) const CLIENT_FRAME: [u8; 6 + PAYLOAD] = {
    let mut frame = [b'x'; 6 + PAYLOAD];
    (frame[0], frame[1]) = (0x82, 0x80 | PAYLOAD as u8);
    (frame[2], frame[3], frame[4], frame[5]) = (0, 0, 0, 0);
    frame
};

/// The same from a server: no mask.
pub(crate) const SERVER_FRAME: usize = 2 + PAYLOAD;

/// Connects as client `number` and shakes hands; nothing follows the 101 here.
pub(crate) async fn connect(to: SocketAddr, number: usize) -> TcpStream {
    timeout(WITHIN, shake_hands(to, number)).await.expect("the handshake comes to an end")
}

/// `count` clients, each of which has sent `frames`.
pub(crate) async fn crowd(to: SocketAddr, count: usize, frames: usize) -> Vec<TcpStream> {
    let mut clients = Vec::with_capacity(count);
    let frames = CLIENT_FRAME.repeat(frames);
    for first in (0..count).step_by(AT_ONCE) {
        let batch = (first..count.min(first + AT_ONCE)).map(|number| connect(to, number));
        for mut client in futures_util::future::join_all(batch).await {
            client.write_all(&frames).await.unwrap();
            clients.push(client);
        }
    }
    clients
}

/// Sends one message and reads its echo.
pub(crate) async fn round_trip(stream: &mut TcpStream) {
    let mut echo = [0; SERVER_FRAME];
    stream.write_all(&CLIENT_FRAME).await.unwrap();
    stream.read_exact(&mut echo).await.unwrap();
}

async fn shake_hands(to: SocketAddr, number: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let source = Ipv4Addr::new(127, 0, 1, u8::try_from(number / PER_SOURCE).unwrap());
    socket.bind((source, 0).into()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {to}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
         Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.5\r\nPragma: no-cache\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read_buf(&mut head).await.unwrap();
        assert!(read > 0, "the connection ended inside the handshake: {}", String::from_utf8_lossy(&head));
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

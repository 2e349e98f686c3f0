//! Bytes on the wire, built once.

use std::net::SocketAddr;

/// A client's small message: two bytes of header, four of mask.
pub(crate) const SMALL: usize = 64;

/// The key every client shows; what answers it is the backend's affair.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The longest payload with its length in the second byte.
const SHORT: usize = 125;

/// A client's Close with code 1000, under a mask of zeros.
pub(crate) const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

/// What comes back for it.
pub(crate) const CLOSE_ECHO: usize = 4;

/// What a client sends, and how much comes back.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) request: Vec<u8>,
    pub(crate) echo: usize,
}

impl Message {
    /// `count` binary frames of `payload` bytes in one piece. The mask is all zeros: masked once and for all.
    pub(crate) fn new(payload: usize, count: usize) -> Self {
        let mut frame = header(payload, 0x80);
        let echo = frame.len() + payload;
        frame.extend_from_slice(&[0; 4]);
        frame.resize(frame.len() + payload, b'x');
        Self { request: frame.repeat(count), echo: echo * count }
    }

    /// What comes back, to the byte.
    pub(crate) fn expected(&self, payload: usize) -> Vec<u8> {
        let mut frame = header(payload, 0);
        frame.resize(frame.len() + payload, b'x');
        frame.repeat(self.echo / frame.len())
    }
}

/// What a client asks for, and where.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'static str,
}

impl From<SocketAddr> for Place {
    /// Our own backend takes every path.
    fn from(address: SocketAddr) -> Self {
        Self { address, path: "/ws" }
    }
}

/// A browser's handshake, more or less.
pub(crate) fn handshake(to: Place) -> Vec<u8> {
    let Place { address, path } = to;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
         Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.5\r\nPragma: no-cache\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    request.into_bytes()
}

fn header(payload: usize, mask: u8) -> Vec<u8> {
    let mut header = vec![0x82];
    if payload <= SHORT {
        header.push(mask | u8::try_from(payload).unwrap());
    } else if let Ok(length) = u16::try_from(payload) {
        header.push(mask | 126);
        header.extend_from_slice(&length.to_be_bytes());
    } else {
        header.push(mask | 127);
        header.extend_from_slice(&(payload as u64).to_be_bytes());
    }
    header
}

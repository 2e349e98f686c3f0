//! One type for every connection, so that whoever moves bytes need not care who encrypted them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsStream;

/// A byte stream to a client or to an upstream.
#[derive(Debug)]
pub enum Stream {
    /// As the kernel gives it.
    Tcp(TcpStream),
    /// Encrypted, whichever end began; boxed because its state is some 1 KiB.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A stream whose other end may be seen to end it before all that it sent has been read.
pub trait Hangup {
    /// It has: nothing will follow what there is to read. A stream that cannot tell says no.
    fn has_hung_up(&self) -> bool {
        false
    }
}

impl Hangup for Stream {
    fn has_hung_up(&self) -> bool {
        let tcp = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        };
        let ready = tcp.ready(Interest::READABLE).now_or_never();
        ready.is_some_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
impl Hangup for tokio::io::DuplexStream {}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Until a loopback hangup is certainly here.
    const LONG: std::time::Duration = std::time::Duration::from_secs(20);

    #[tokio::test]
    async fn a_hangup_is_seen_before_all_that_was_sent_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (near, mut far) = (near.unwrap(), far.unwrap().0);
        far.write_all(b"last words").await.unwrap();
        near.readable().await.unwrap();
        let mut near = Stream::Tcp(near);
        assert!(!near.has_hung_up());
        drop(far);
        let hangup = async {
            while !near.has_hung_up() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, hangup).await.expect("a hangup");
        let mut words = String::new();
        near.read_to_string(&mut words).await.unwrap();
        assert_eq!(words, "last words");
    }
}

//! A connection whose request has been sent and whose answer has begun, for whoever would send the one and read the other
//! from the beginning.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Swallows what is written, and then tells what was heard before it goes on with the stream.
#[derive(Debug)]
pub(super) struct Retold<S> {
    stream: S,
    heard: Bytes,
    /// Something was written. An answer before that would be one to nothing.
    asked: bool,
    waker: Option<Waker>,
}

impl<S> Retold<S> {
    /// `stream`, of which `heard` has been read.
    pub(super) fn new(stream: S, heard: Bytes) -> Self {
        Self { stream, heard, asked: false, waker: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Retold<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.asked {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.heard.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.heard.len().min(buf.remaining());
        buf.put_slice(&self.heard[..count]);
        self.heard.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Retold<S> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.asked = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_was_heard_is_told_after_the_question_and_nothing_is_asked_twice() {
        let (near, mut far) = duplex(64);
        let mut retold = Retold::new(near, Bytes::from_static(b"heard, "));
        let mut read = [0; 12];
        assert!(retold.read(&mut read).now_or_never().is_none(), "an answer to nothing");
        retold.write_all(b"asked again").await.unwrap();
        far.write_all(b"and more").await.unwrap();
        retold.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"heard, and m");
        retold.shutdown().await.unwrap();
        let mut asked = Vec::new();
        far.read_to_end(&mut asked).await.unwrap();
        assert!(asked.is_empty());
    }
}

//! One attempt to reach one address, and the first words that go along with it.
//!
//! A connection to a server on the same machine stands as soon as the kernel has been asked for it. What its client has to
//! say can then be said at once: neither end need wake up once only to learn that it is connected, which spares a short
//! connection 3 % of its CPU time (`cargo bench --bench peers -- connections`).

use std::{io, net::SocketAddr, os::fd::OwnedFd};

use rustix::io::{Errno, write};
use tokio::net::TcpStream;

/// A connection to `address`, and how many of the first bytes of `words` have been sent over it: 0 if it took its time.
///
/// # Errors
/// What the kernel said. Nothing was sent then.
pub(super) async fn attempt(address: SocketAddr, words: &[u8]) -> io::Result<(TcpStream, usize)> {
    let begun = mio::net::TcpStream::connect(address)?;
    // A latency hint only: a connection without it works all the same.
    let _ = begun.set_nodelay(true);
    let stream = TcpStream::from_std(OwnedFd::from(begun).into())?;
    let sent = if words.is_empty() { Err(Errno::AGAIN) } else { write(&stream, words) };
    match sent {
        Ok(count) => Ok((stream, count)),
        // Not connected yet: in the words of Linux, and of others.
        Err(Errno::AGAIN | Errno::NOTCONN) => {
            stream.writable().await?;
            stream.take_error()?.map_or(Ok((stream, 0)), Err)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::dial::tests::bound;

    const WORDS: &[u8] = b"first words";

    async fn heard(mut stream: TcpStream) -> Vec<u8> {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        all
    }

    #[tokio::test]
    async fn first_words_go_along_on_the_same_machine() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).await.unwrap();
            let (stream, sent) = attempt(listener.local_addr().unwrap(), WORDS).await.unwrap();
            assert_eq!(sent, WORDS.len(), "{host}");
            drop(stream);
            assert_eq!(heard(listener.accept().await.unwrap().0).await, WORDS);
        }
    }

    #[tokio::test]
    async fn whoever_has_nothing_to_say_is_connected_all_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (mut stream, sent) = attempt(listener.local_addr().unwrap(), &[]).await.unwrap();
        assert_eq!(sent, 0);
        stream.write_all(WORDS).await.unwrap();
        drop(stream);
        assert_eq!(heard(listener.accept().await.unwrap().0).await, WORDS);
    }

    #[tokio::test]
    async fn more_words_than_the_kernel_takes_are_sent_in_part() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let words: Vec<u8> = (0..64 << 20).map(|place: u32| place.to_le_bytes()[1]).collect();
        let (mut stream, sent) = attempt(listener.local_addr().unwrap(), &words).await.unwrap();
        assert!((1..words.len()).contains(&sent), "{sent}");
        let rest = async move { stream.write_all(&words[sent..]).await.map(|()| words).unwrap() };
        let (words, heard) = tokio::join!(rest, async { heard(listener.accept().await.unwrap().0).await });
        assert!(heard == words, "{} of {} bytes", heard.len(), words.len());
    }

    /// Linux drops the SYN of whoever finds the queue full; the client sends another after a second.
    #[tokio::test]
    async fn a_server_that_takes_its_time_is_told_nothing_before_it_is_connected() {
        let listener = bound().listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let _first_in_the_queue = attempt(address, WORDS).await.unwrap();
        let late = async {
            let (mut stream, sent) = attempt(address, WORDS).await.unwrap();
            assert_eq!(sent, 0);
            stream.write_all(WORDS).await.unwrap();
        };
        let server = async {
            let _first = listener.accept().await.unwrap();
            heard(listener.accept().await.unwrap().0).await
        };
        assert_eq!(tokio::join!(late, server).1, WORDS);
    }

    #[tokio::test]
    async fn a_refusal_is_told_whatever_there_was_to_say() {
        let reserved = bound();
        for words in [WORDS, &[]] {
            let error = attempt(reserved.local_addr().unwrap(), words).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{words:?}");
        }
    }
}

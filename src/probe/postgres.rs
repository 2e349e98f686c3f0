//! With a password: a login and `SELECT 1`. Without one: the start-up exchange of pg_isready, which takes a request for
//! credentials for the answer that the server accepts connections.
//!
//! The server's log gains no line from a check that passes: an established session ends with Terminate; one that was
//! asked for credentials ends by closing, as psql's do, because anything else there is logged as a broken password
//! message (<https://www.postgresql.org/docs/current/protocol-flow.html>).

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod session;

use std::{io, time::Duration};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::session::Session;
use super::{Checking, Probe, ProbeError, brief, http::closed};
use crate::{
    config::PostgresCheck,
    dial::{Dialer, Stream},
    gate::{Class, Failure},
};

/// The protocol by its ALPN name, which servers from version 17 on insist on where a client offers any.
const POSTGRESQL: &[u8] = b"postgresql";

pub(super) struct Postgres {
    dialer: Dialer,
    asked: PostgresCheck,
}

impl Postgres {
    pub(super) fn new(asked: &PostgresCheck, limit: Duration) -> Result<Self, ProbeError> {
        Ok(Self { dialer: Dialer::speaking(&asked.target, limit, Some(POSTGRESQL))?, asked: asked.clone() })
    }

    async fn ask(&self) -> Result<(), Failure> {
        let mut session = Session::new(self.open().await?);
        let outcome = session.run(&self.asked).await;
        session.end().await;
        outcome
    }

    async fn open(&self) -> Result<Stream, Failure> {
        let mut tcp = self.dialer.connect_plain().await?;
        if self.asked.target.tls.is_none() {
            return Ok(Stream::Tcp(tcp));
        }
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        tcp.write_all(&request).await.map_err(lost)?;
        match tcp.read_u8().await.map_err(lost)? {
            b'S' => Ok(self.dialer.secure(tcp).await?),
            b'N' if self.asked.prefer_tls => Ok(Stream::Tcp(tcp)),
            b'N' => Err(no_tls()),
            _ => Err(garbage("no answer to the request for TLS")),
        }
    }
}

impl Probe for Postgres {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn check(&self) -> Checking<'_> {
        Box::pin(self.ask())
    }
}

fn no_tls() -> Failure {
    let hint = Some("turn ssl on in the server, or put sslmode=disable into the URL");
    Failure { class: Class::Tls, reason: "the server speaks no TLS".to_owned(), hint }
}

fn lost(_: io::Error) -> Failure {
    closed()
}

fn garbage(detail: impl std::fmt::Display) -> Failure {
    let reason = brief(&format!("the answer is not PostgreSQL's: {detail}"));
    Failure { class: Class::Protocol, reason, hint: Some("is the port right?") }
}

/// What the server's error is called, by its SQLSTATE
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn refusal(code: &str, message: &str) -> Failure {
    let (class, hint) = match code {
        // Starting up, shutting down, in recovery without hot standby; about to shut down; after a crash.
        "57P03" | "57P01" | "57P02" => (Class::NotReady, None),
        "53300" => (Class::NotReady, Some("too many connections: raise max_connections, or find who holds them")),
        "28P01" => (Class::Auth, Some("check user and password in the URL")),
        "28000" => (Class::Auth, Some("does the role exist, and does pg_hba.conf let it in from here?")),
        "42501" => (Class::Auth, Some("grant the role CONNECT on the database")),
        "3D000" => (Class::Unexpected, Some("is the database's name right?")),
        // Out of disk, out of memory, too many of something.
        _ if code.starts_with("53") => (Class::NotReady, None),
        _ => (Class::Unexpected, None),
    };
    Failure { class, reason: brief(&format!("{code} {message}")), hint }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::{
        config::{CheckKind, ClientTls},
        probe::fixture::{hear, local, run_once, say},
    };

    fn asked(port: u16) -> PostgresCheck {
        let (user, database) = ("app".to_owned(), "shop".to_owned());
        PostgresCheck { target: local(port), prefer_tls: false, user, password: None, database }
    }

    fn over_tls(port: u16) -> PostgresCheck {
        let mut check = asked(port);
        check.target.tls = Some(ClientTls::default());
        check
    }

    async fn run(asked: PostgresCheck) -> Result<(), Failure> {
        run_once(CheckKind::Postgres(asked)).await
    }

    #[tokio::test]
    async fn a_request_for_a_password_passes_a_check_that_has_none() {
        let (port, sent) = hear(b"R\0\0\0\x0c\0\0\0\x05salt").await;
        assert_eq!(run(asked(port)).await, Ok(()));
        let sent = sent.await.unwrap();
        assert!(sent.contains("user\0app\0database\0shop\0"), "{sent:?}");
    }

    #[tokio::test]
    async fn what_is_not_the_protocol_is_a_protocol_failure_and_an_end_without_an_answer_counts_as_refused() {
        for (bytes, class) in [
            (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Class::Protocol),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", Class::Protocol),
            (b"-ERR unknown command\r\n", Class::Protocol),
            (b"R\0\0\0\x08\0\0\x01\0", Class::Protocol),
            (b"", Class::Refused),
            (b"R\0\0", Class::Refused),
        ] {
            assert_eq!(run(asked(say(bytes).await)).await.unwrap_err().class, class, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn a_server_without_tls_fails_where_tls_is_required_and_is_spoken_to_in_the_clear_where_it_is_preferred() {
        let failure = run(over_tls(say(b"N").await)).await.unwrap_err();
        assert_eq!((failure.class, failure.reason.as_str()), (Class::Tls, "the server speaks no TLS"));
        let port = say(b"NR\0\0\0\x08\0\0\0\x03").await;
        assert_eq!(run(PostgresCheck { prefer_tls: true, ..over_tls(port) }).await, Ok(()));
    }

    #[tokio::test]
    async fn an_error_in_place_of_the_answer_about_tls_is_not_believed() {
        let failure = run(over_tls(say(b"E\0\0\0\x04").await)).await.unwrap_err();
        assert_eq!(failure.class, Class::Protocol);
    }

    #[test]
    fn the_sqlstate_tells_what_kind_of_failure_it_is() {
        for (code, class) in [
            ("57P03", Class::NotReady),
            ("57P01", Class::NotReady),
            ("53300", Class::NotReady),
            ("53200", Class::NotReady),
            ("28P01", Class::Auth),
            ("28000", Class::Auth),
            ("42501", Class::Auth),
            ("3D000", Class::Unexpected),
            ("XX000", Class::Unexpected),
        ] {
            assert_eq!(refusal(code, "as told").class, class, "{code}");
        }
        assert_eq!(
            refusal("57P03", "the database system is starting up").reason,
            "57P03 the database system is starting up"
        );
    }
}

//! One session with a server: start-up, login, one query, end.

use std::io;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    },
    message::{
        backend::{AuthenticationSaslBody, ErrorResponseBody, Header, Message},
        frontend,
    },
};
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{closed, garbage, lost, refusal};
use crate::{
    config::PostgresCheck,
    gate::{Class, Failure},
};

/// Longest message that is taken: above every start-up message and error, and far below the length that another
/// protocol's text reads as.
const MESSAGE_LIMIT: i32 = 64 * 1024;

/// What the server's administrators see in `pg_stat_activity`.
const APPLICATION: &str = "readygate";

pub(super) struct Session<S> {
    stream: S,
    read: BytesMut,
    /// The server is ready for queries, and for Terminate.
    established: bool,
    scram: Option<ScramSha256>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, read: BytesMut::new(), established: false, scram: None }
    }

    pub(super) async fn run(&mut self, asked: &PostgresCheck) -> Result<(), Failure> {
        self.send(|buffer| {
            let of = [("user", &*asked.user), ("database", &*asked.database), ("application_name", APPLICATION)];
            frontend::startup_message(of, buffer)
        })
        .await?;
        self.start(asked).await?;
        if asked.password.is_none() {
            return Ok(());
        }
        self.send(|buffer| frontend::query("SELECT 1", buffer)).await?;
        self.result().await
    }

    /// How it ends says nothing about the server: a failure to say goodbye is none of the check.
    pub(super) async fn end(&mut self) {
        if self.established {
            let _ = self
                .send(|buffer| {
                    frontend::terminate(buffer);
                    Ok(())
                })
                .await;
        }
        let _ = self.stream.shutdown().await;
    }

    /// Until the server is ready for queries, or has asked for credentials that the check does not have.
    async fn start(&mut self, asked: &PostgresCheck) -> Result<(), Failure> {
        loop {
            let message = self.next().await?;
            if asked.password.is_none() && asks_for_credentials(&message) {
                return Ok(());
            }
            match message {
                Message::ReadyForQuery(_) => {
                    self.established = true;
                    return Ok(());
                }
                Message::ErrorResponse(body) => return Err(told(&body)),
                Message::AuthenticationOk
                | Message::ParameterStatus(_)
                | Message::BackendKeyData(_)
                | Message::NoticeResponse(_) => {}
                message => self.answer(&message, asked).await?,
            }
        }
    }

    async fn answer(&mut self, message: &Message, asked: &PostgresCheck) -> Result<(), Failure> {
        let password = asked.password.as_ref().map_or("", |password| password.expose_secret()).as_bytes();
        match message {
            Message::AuthenticationCleartextPassword => {
                self.send(|buffer| frontend::password_message(password, buffer)).await
            }
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(asked.user.as_bytes(), password, body.salt());
                self.send(|buffer| frontend::password_message(hash.as_bytes(), buffer)).await
            }
            Message::AuthenticationSasl(body) => self.begin_scram(body, password).await,
            Message::AuthenticationSaslContinue(body) => self.continue_scram(body.data()).await,
            Message::AuthenticationSaslFinal(body) => self.scram()?.finish(body.data()).map_err(unproven),
            message if asks_for_credentials(message) => Err(unsupported()),
            _ => Err(garbage("a message out of turn")),
        }
    }

    /// Without channel binding, which the name in a verified certificate makes up for.
    async fn begin_scram(&mut self, body: &AuthenticationSaslBody, password: &[u8]) -> Result<(), Failure> {
        if !body.mechanisms().any(|mechanism| Ok(mechanism == SCRAM_SHA_256)).map_err(garbage)? {
            return Err(unsupported());
        }
        let scram = ScramSha256::new(password, ChannelBinding::unsupported());
        self.send(|buffer| frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), buffer)).await?;
        self.scram = Some(scram);
        Ok(())
    }

    async fn continue_scram(&mut self, data: &[u8]) -> Result<(), Failure> {
        let scram = self.scram()?;
        scram.update(data).map_err(garbage)?;
        let response = scram.message().to_owned();
        self.send(|buffer| frontend::sasl_response(&response, buffer)).await
    }

    fn scram(&mut self) -> Result<&mut ScramSha256, Failure> {
        self.scram.as_mut().ok_or_else(|| garbage("a message out of turn"))
    }

    /// Reads to the end of the query's answer, so that nothing is left unread when the connection closes.
    async fn result(&mut self) -> Result<(), Failure> {
        let mut outcome = Err(garbage("no row for SELECT 1"));
        loop {
            match self.next().await? {
                Message::DataRow(_) => outcome = Ok(()),
                Message::ErrorResponse(body) => outcome = Err(told(&body)),
                Message::ReadyForQuery(_) => return outcome,
                _ => {}
            }
        }
    }

    async fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), Failure> {
        let mut buffer = BytesMut::new();
        write(&mut buffer).map_err(unsendable)?;
        self.stream.write_all(&buffer).await.map_err(lost)?;
        self.stream.flush().await.map_err(lost)
    }

    async fn next(&mut self) -> Result<Message, Failure> {
        loop {
            if Header::parse(&self.read).map_err(garbage)?.is_some_and(|header| header.len() > MESSAGE_LIMIT) {
                return Err(garbage("a message of impossible length"));
            }
            if let Some(message) = Message::parse(&mut self.read).map_err(garbage)? {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.read).await.map_err(lost)? == 0 {
                return Err(closed());
            }
        }
    }
}

fn asks_for_credentials(message: &Message) -> bool {
    matches!(
        message,
        Message::AuthenticationCleartextPassword
            | Message::AuthenticationMd5Password(_)
            | Message::AuthenticationSasl(_)
            | Message::AuthenticationKerberosV5
            | Message::AuthenticationScmCredential
            | Message::AuthenticationGss
            | Message::AuthenticationSspi
    )
}

fn told(body: &ErrorResponseBody) -> Failure {
    let (mut code, mut message) = (String::new(), String::new());
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        match field.type_() {
            b'C' => code = String::from_utf8_lossy(field.value_bytes()).into_owned(),
            b'M' => message = String::from_utf8_lossy(field.value_bytes()).into_owned(),
            _ => {}
        }
    }
    refusal(&code, &message)
}

fn unsupported() -> Failure {
    let reason = "the server wants a login other than by password".to_owned();
    Failure { class: Class::Auth, reason, hint: Some("leave the password out of the URL to check without a login") }
}

fn unproven(_: io::Error) -> Failure {
    let reason = "the server did not prove that it knows the password".to_owned();
    Failure { class: Class::Auth, reason, hint: Some("is this the right server?") }
}

fn unsendable(error: io::Error) -> Failure {
    let reason = format!("user, database or password cannot be sent: {error}");
    Failure { class: Class::Unexpected, reason, hint: None }
}

//! PING is answered, after AUTH and SELECT where the check has them, and ROLE says `master` where it asks for the
//! primary. All of it is sent in one piece: one round trip.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::time::Duration;

use ::redis::{Cmd, ErrorKind, RedisError, ServerError, Value, cmd, parse_redis_value_async};
use combine::stream::Decoder;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Take};

use super::{Checking, Probe, ProbeError, brief, http::closed};
use crate::{
    config::RedisCheck,
    dial::Dialer,
    gate::{Class, Failure},
};

/// How the answers to AUTH begin that servers are known to give. An unknown command comes back with its arguments, so
/// anything else in an answer to AUTH may hold the password and is not shown.
const AUTH_ANSWERS: [&str; 6] = [
    "invalid username-password pair or user is disabled",
    "invalid username-password pair",
    "invalid password",
    "AUTH <password> called without any password configured",
    "Client sent AUTH, but no password is set",
    "max number of clients reached",
];

/// The codes that answers to AUTH are known to have; another first word may be part of the password.
const AUTH_CODES: [&str; 7] = ["ERR", "WRONGPASS", "NOAUTH", "NOPERM", "DENIED", "LOADING", "MASTERDOWN"];

/// Most bytes of all answers together: above a primary's list of a thousand replicas, far below what would hurt.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// How an answer begins (<https://redis.io/docs/latest/develop/reference/protocol-spec/>). Looked at apart, for the parser
/// takes another protocol that comes in pieces for an answer that was cut short.
const TYPES: &[u8] = b"+-:$*_#,(!=%~>|";

pub(super) struct Redis {
    dialer: Dialer,
    asked: RedisCheck,
}

/// What is sent, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Auth,
    Select,
    Ping,
    Role,
}

impl Redis {
    pub(super) fn new(asked: &RedisCheck, limit: Duration) -> Result<Self, ProbeError> {
        Ok(Self { dialer: Dialer::speaking(&asked.target, limit, None)?, asked: asked.clone() })
    }

    async fn ask(&self) -> Result<(), Failure> {
        let mut stream = self.dialer.connect().await?;
        let outcome = self.exchange(&mut stream).await;
        // The check is over: a server that does not take the end of the stream changes nothing.
        let _ = stream.shutdown().await;
        outcome
    }

    /// The first answer that is none tells the cause: what follows a refused AUTH is refused for want of it.
    async fn exchange(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin + Send)) -> Result<(), Failure> {
        let steps = self.steps();
        let mut commands = Vec::new();
        steps.iter().for_each(|step| self.command(*step).write_packed_command(&mut commands));
        // A server that is full answers before it is asked, and hangs up: what it said is still to be read.
        let _ = stream.write_all(&commands).await;
        let _ = stream.flush().await;
        let (mut decoder, mut stream) = (Decoder::new(), stream.take(ANSWER_LIMIT));
        for step in steps {
            let (read, unread) = match decoder.buffer().first() {
                Some(kind) => (*kind, None),
                None => stream.read_u8().await.map(|kind| (kind, Some(kind))).map_err(|_| ended(&stream, closed()))?,
            };
            if !TYPES.contains(&read) {
                return Err(garbage());
            }
            let answer = parse_redis_value_async(&mut decoder, &mut unread.as_slice().chain(&mut stream)).await;
            judge(step, &answer.map_err(|error| ended(&stream, fault(&error)))?)?;
        }
        Ok(())
    }

    fn steps(&self) -> Vec<Step> {
        let RedisCheck { user, password, db, primary, .. } = &self.asked;
        let auth = (user.is_some() || password.is_some()).then_some(Step::Auth);
        let select = (*db != 0).then_some(Step::Select);
        let role = primary.then_some(Step::Role);
        [auth, select, Some(Step::Ping), role].into_iter().flatten().collect()
    }

    fn command(&self, step: Step) -> Cmd {
        match step {
            Step::Auth => self.auth(),
            Step::Select => cmd("SELECT").arg(self.asked.db).take(),
            Step::Ping => cmd("PING"),
            Step::Role => cmd("ROLE"),
        }
    }

    /// With a user and no password an empty one is sent: the user may have been made with `nopass`.
    fn auth(&self) -> Cmd {
        let mut auth = cmd("AUTH");
        if let Some(user) = &self.asked.user {
            auth.arg(user);
        }
        auth.arg(self.asked.password.as_ref().map_or("", |password| password.expose_secret()));
        auth
    }
}

impl Probe for Redis {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn check(&self) -> Checking<'_> {
        Box::pin(self.ask())
    }
}

fn judge(step: Step, answer: &Value) -> Result<(), Failure> {
    if let Value::ServerError(error) = answer {
        return Err(refusal(step, error));
    }
    match step {
        Step::Auth | Step::Select => Ok(()),
        Step::Ping => judge_pong(answer),
        Step::Role => judge_role(answer),
    }
}

fn judge_pong(answer: &Value) -> Result<(), Failure> {
    match answer {
        Value::SimpleString(word) if word == "PONG" => Ok(()),
        _ => Err(failure(Class::Unexpected, "answered PING with something else than PONG", None)),
    }
}

/// <https://redis.io/docs/latest/commands/role/>: an array that begins with the role.
fn judge_role(answer: &Value) -> Result<(), Failure> {
    let first = match answer {
        Value::Array(parts) => parts.first(),
        _ => None,
    };
    match first {
        Some(Value::BulkString(role)) if role == b"master" => Ok(()),
        Some(Value::BulkString(role)) if role == b"slave" => {
            Err(failure(Class::NotReady, "is a replica", Some("role = \"primary\" waits for its promotion")))
        }
        _ => Err(failure(Class::Unexpected, "answered ROLE with neither master nor slave", None)),
    }
}

fn refusal(step: Step, error: &ServerError) -> Failure {
    let detail = error.details().unwrap_or_default();
    let (class, hint) = meaning(step, error.code(), detail);
    let reason = if step == Step::Auth { shown(error.code(), detail) } else { format!("{} {detail}", error.code()) };
    failure(class, &reason, hint)
}

/// What may be told of a refused AUTH.
fn shown(code: &str, detail: &str) -> String {
    let code = if AUTH_CODES.contains(&code) { code } else { "an error" };
    match AUTH_ANSWERS.iter().find(|answer| detail.starts_with(**answer)) {
        Some(answer) => format!("{code} {answer}"),
        None => format!("{code} to AUTH"),
    }
}

fn meaning(step: Step, code: &str, detail: &str) -> (Class, Option<&'static str>) {
    match code {
        "NOAUTH" => (Class::Auth, Some("put the password into the URL")),
        "WRONGPASS" => (Class::Auth, Some("check user and password in the URL")),
        "NOPERM" => (Class::Auth, Some("allow the user +ping, +select and +role in the ACL")),
        "DENIED" => (Class::Auth, Some("protected mode: set a password in the server, and put it into the URL")),
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" => (Class::NotReady, None),
        "MISCONF" => (Class::NotReady, Some("the server cannot save to its disk: see its log")),
        "ERR" if detail.starts_with("max number of clients") => {
            (Class::NotReady, Some("raise maxclients, or find who holds them"))
        }
        "ERR" if detail.contains("without any password") || detail.contains("no password is set") => {
            (Class::Auth, Some("the server wants no password: take it out of the URL"))
        }
        "ERR" if step == Step::Auth => (Class::Auth, Some("check user and password in the URL")),
        "ERR" if step == Step::Select => (Class::Unexpected, Some("is the database's number right?")),
        _ => (Class::Unexpected, None),
    }
}

fn fault(error: &RedisError) -> Failure {
    let cut_short = error.detail().is_some_and(|detail| detail.contains("end of input"));
    match error.kind() {
        ErrorKind::Parse if cut_short => closed(),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => garbage(),
        _ => closed(),
    }
}

fn garbage() -> Failure {
    failure(Class::Protocol, "the answer is not RESP", Some("is the port right, and the scheme (TLS or not)?"))
}

/// Why there is no answer, unless it was cut here.
fn ended(stream: &Take<impl AsyncRead>, why: Failure) -> Failure {
    if stream.limit() == 0 { endless() } else { why }
}

fn endless() -> Failure {
    failure(Class::Protocol, "the answer is larger than 64 KiB", Some("is the port right?"))
}

fn failure(class: Class, reason: &str, hint: Option<&'static str>) -> Failure {
    Failure { class, reason: brief(reason), hint }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::{
        config::CheckKind,
        probe::fixture::{hear, local, run_once, say},
    };

    fn asked(port: u16) -> RedisCheck {
        RedisCheck { target: local(port), user: None, password: None, db: 0, primary: false }
    }

    fn with_password(port: u16) -> RedisCheck {
        RedisCheck { password: Some("hush-hush".into()), ..asked(port) }
    }

    async fn run(asked: RedisCheck) -> Result<(), Failure> {
        run_once(CheckKind::Redis(asked)).await
    }

    #[tokio::test]
    async fn everything_is_sent_at_once_and_in_order() {
        let (port, sent) = hear(b"+OK\r\n+OK\r\n+PONG\r\n*1\r\n$6\r\nmaster\r\n").await;
        let check = RedisCheck { user: Some("app".to_owned()), db: 3, primary: true, ..with_password(port) };
        assert_eq!(run(check).await, Ok(()));
        let sent = sent.await.unwrap();
        let words: Vec<&str> = sent.split("\r\n").filter(|part| !part.starts_with(['*', '$'])).collect();
        assert_eq!(words, ["AUTH", "app", "hush-hush", "SELECT", "3", "PING", "ROLE", ""]);
    }

    #[tokio::test]
    async fn the_first_refusal_is_told_even_when_the_server_hangs_up_on_it() {
        let failure = run(with_password(say(b"-ERR max number of clients reached\r\n").await)).await.unwrap_err();
        assert_eq!((failure.class, failure.reason.as_str()), (Class::NotReady, "ERR max number of clients reached"));
    }

    #[tokio::test]
    async fn a_refusal_that_came_before_the_question_is_told_even_when_nobody_takes_the_question() {
        let probe = Redis::new(&asked(1), Duration::from_secs(1)).unwrap();
        let (mut near, mut far) = tokio::io::duplex(64);
        far.write_all(b"-ERR max number of clients reached\r\n").await.unwrap();
        drop(far);
        let failure = probe.exchange(&mut near).await.unwrap_err();
        assert_eq!((failure.class, failure.reason.as_str()), (Class::NotReady, "ERR max number of clients reached"));
    }

    #[tokio::test]
    async fn an_answer_to_auth_that_repeats_the_password_is_not_shown() {
        for (answer, class, reason) in [
            (
                &b"-ERR unknown command 'AUTH', with args beginning with: 'hush-hush'\r\n"[..],
                Class::Auth,
                "ERR to AUTH",
            ),
            (b"-WRONGPASS invalid password hush-hush\r\n", Class::Auth, "WRONGPASS invalid password"),
            (b"-hush-hush is no password\r\n", Class::Unexpected, "an error to AUTH"),
        ] {
            let failure = run(with_password(say(answer).await)).await.unwrap_err();
            assert_eq!((failure.class, failure.reason.as_str()), (class, reason));
        }
    }

    #[tokio::test]
    async fn an_answer_without_an_end_is_not_waited_for() {
        let probe = Redis::new(&asked(1), Duration::from_secs(1)).unwrap();
        let mut endless = tokio::io::join(tokio::io::repeat(b'+'), tokio::io::sink());
        let failure = probe.exchange(&mut endless).await.unwrap_err();
        assert_eq!((failure.class, failure.reason.as_str()), (Class::Protocol, "the answer is larger than 64 KiB"));
    }

    #[tokio::test]
    async fn what_is_no_resp_is_a_protocol_failure_and_an_end_without_an_answer_counts_as_refused() {
        for (bytes, class) in [
            (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Class::Protocol),
            (b"\x15\x03\x01\x00\x02\x02\x46", Class::Protocol),
            (b"", Class::Refused),
            (b"+PO", Class::Refused),
        ] {
            assert_eq!(run(asked(say(bytes).await)).await.unwrap_err().class, class, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn refusals_are_told_apart_by_their_code() {
        for (answer, class) in [
            (&b"-MASTERDOWN Link with MASTER is down\r\n"[..], Class::NotReady),
            (b"-MISCONF Redis is configured to save RDB snapshots\r\n", Class::NotReady),
            (b"-BUSY Redis is busy running a script\r\n", Class::NotReady),
            (b"-DENIED Redis is running in protected mode\r\n", Class::Auth),
            (b"-NOPERM this user has no permissions\r\n", Class::Auth),
            (b"-ERR unknown command\r\n", Class::Unexpected),
            (b"+OK\r\n", Class::Unexpected),
        ] {
            assert_eq!(run(asked(say(answer).await)).await.unwrap_err().class, class, "{answer:?}");
        }
    }
}

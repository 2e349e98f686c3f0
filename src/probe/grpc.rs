//! grpc.health.v1.Health/Check says SERVING (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod opening;

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use ::http::{HeaderValue, Request, Response, Uri, header};
use futures_util::future::join;
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tonic::{Code, Status, body::Body};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tower_service::Service;

use self::opening::{Opening, Watched};
use super::{Checking, Probe, ProbeError, USER_AGENT, brief, http::closed};
use crate::{
    config::GrpcCheck,
    dial::Dialer,
    gate::{Class, Failure},
};

/// HTTP/2 over TLS by its ALPN name (RFC 9113 §3.2).
const HTTP_2: &[u8] = b"h2";

/// Most bytes of an answer: a health report has two.
const ANSWER_LIMIT: usize = 1024;

/// How long a connection may take to part once its check has ended; the verdict does not wait for it.
const PARTING: Duration = Duration::from_secs(1);

/// Most characters of a service's name that a reason shows.
const SHOWN_NAME: usize = 60;

pub(super) struct Grpc {
    dialer: Dialer,
    origin: Uri,
    service: String,
    limit: Duration,
}

impl Grpc {
    pub(super) fn new(asked: &GrpcCheck, limit: Duration) -> Result<Self, ProbeError> {
        let dialer = Dialer::speaking(&asked.target, limit, Some(HTTP_2))?;
        Ok(Self { dialer, origin: origin(asked)?, service: asked.service.clone(), limit })
    }

    async fn ask(&self) -> Result<(), Failure> {
        self.converse(self.dialer.connect().await?).await
    }

    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<(), Failure> {
        let (stream, opening) = Watched::new(stream);
        let limited = Limited(self.limit + PARTING);
        let made = http2::handshake(limited, TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| fault(&error, &opening))?;
        let (outcome, _) = join(self.call(sender, &opening), connection).await;
        outcome
    }

    /// Takes the sender: once nobody holds it, the connection parts with GOAWAY.
    async fn call(&self, sender: SendRequest<Body>, opening: &Opening) -> Result<(), Failure> {
        let client = HealthClient::with_origin(Conduit(sender), self.origin.clone());
        let request = HealthCheckRequest { service: self.service.clone() };
        match client.max_decoding_message_size(ANSWER_LIMIT).check(request).await {
            Ok(answer) => self.judge(answer.get_ref().status()),
            Err(status) => match cause(&status) {
                Some(error) => Err(fault(error, opening)),
                None => Err(self.refusal(&status)),
            },
        }
    }

    fn judge(&self, status: ServingStatus) -> Result<(), Failure> {
        match status {
            ServingStatus::Serving => Ok(()),
            ServingStatus::NotServing | ServingStatus::Unknown => {
                Err(Failure { class: Class::NotReady, reason: status.as_str_name().to_owned(), hint: None })
            }
            ServingStatus::ServiceUnknown => Err(self.unknown_service()),
        }
    }

    fn refusal(&self, status: &Status) -> Failure {
        let (class, hint) = match status.code() {
            Code::NotFound => return self.unknown_service(),
            Code::Unimplemented => (Class::Protocol, Some("does the server offer grpc.health.v1.Health?")),
            Code::Unauthenticated | Code::PermissionDenied => {
                (Class::Auth, Some("let the health service be asked without credentials"))
            }
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled => {
                (Class::NotReady, None)
            }
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Internal
            | Code::DataLoss => (Class::Unexpected, None),
        };
        Failure { class, reason: brief(&format!("{:?}: {}", status.code(), status.message())), hint }
    }

    fn unknown_service(&self) -> Failure {
        let name: String = self.service.chars().take(SHOWN_NAME).collect();
        let hint = Some("is the service's name right? Without one the whole server is asked");
        Failure { class: Class::Unexpected, reason: format!("NOT_FOUND: no service {name:?}"), hint }
    }
}

impl Probe for Grpc {
    fn kind(&self) -> &'static str {
        "grpc"
    }

    fn check(&self) -> Checking<'_> {
        Box::pin(self.ask())
    }
}

fn origin(asked: &GrpcCheck) -> Result<Uri, ProbeError> {
    let scheme = if asked.target.tls.is_some() { "https" } else { "http" };
    let authority = asked.target.authority();
    let built = Uri::builder().scheme(scheme).authority(authority.as_str()).path_and_query("/").build();
    built.map_err(|_| ProbeError::Path(authority))
}

/// The client's way into one connection.
struct Conduit(SendRequest<Body>);

impl Service<Request<Body>> for Conduit {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        Box::pin(self.0.send_request(request))
    }
}

/// Runs what a connection leaves to tasks of its own, each for no longer than this: a check that was cut off by its
/// limit leaves nothing behind.
#[derive(Clone, Copy)]
struct Limited(Duration);

impl<F> hyper::rt::Executor<F> for Limited
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        tokio::spawn(timeout(self.0, future));
    }
}

/// The connection's own error behind a status that the client made up.
fn cause(status: &Status) -> Option<&hyper::Error> {
    let mut error: &(dyn Error + 'static) = status.source()?;
    loop {
        if let Some(found) = error.downcast_ref::<hyper::Error>() {
            return Some(found);
        }
        error = error.source()?;
    }
}

/// What ended a connection: a server of another protocol hangs up on HTTP/2, so what it said first tells more than that
/// the connection was lost.
fn fault(error: &hyper::Error, opening: &Opening) -> Failure {
    if opening.is_silent() || (opening.is_http_2() && !is_breach(error)) {
        return closed();
    }
    let reason = "the answer is not gRPC".to_owned();
    Failure { class: Class::Protocol, reason, hint: Some("is the port right, and the scheme (TLS or not)?") }
}

/// The server speaks HTTP/2 and breaks its rules.
fn is_breach(error: &hyper::Error) -> bool {
    let lost = error.is_closed() || error.is_canceled() || error.is_incomplete_message();
    !lost && error.source().is_none_or(|source| !source.is::<std::io::Error>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::{
        config::CheckKind,
        probe::fixture::{local, run_once, say},
    };

    fn asked(port: u16) -> GrpcCheck {
        GrpcCheck { target: local(port), service: "a.Service".to_owned() }
    }

    fn refused(code: Code) -> Failure {
        let probe = Grpc::new(&asked(1), Duration::from_secs(1)).unwrap();
        probe.refusal(&Status::new(code, "as told"))
    }

    #[tokio::test]
    async fn an_answer_that_is_no_http_2_is_a_protocol_failure_and_none_counts_as_refused() {
        for (bytes, class) in [
            (&b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"[..], Class::Protocol),
            (b"-ERR unknown command 'PRI'\r\n", Class::Protocol),
            (b"", Class::Refused),
        ] {
            let failure = run_once(CheckKind::Grpc(asked(say(bytes).await))).await.unwrap_err();
            assert_eq!(failure.class, class, "{failure:?}");
        }
    }

    #[test]
    fn a_status_tells_what_kind_of_failure_it_is() {
        for (code, class) in [
            (Code::NotFound, Class::Unexpected),
            (Code::Unimplemented, Class::Protocol),
            (Code::Unauthenticated, Class::Auth),
            (Code::PermissionDenied, Class::Auth),
            (Code::Unavailable, Class::NotReady),
            (Code::ResourceExhausted, Class::NotReady),
            (Code::Internal, Class::Unexpected),
        ] {
            assert_eq!(refused(code).class, class, "{code:?}");
        }
        assert_eq!(refused(Code::Unavailable).reason, "Unavailable: as told");
        assert_eq!(refused(Code::NotFound).reason, "NOT_FOUND: no service \"a.Service\"");
    }

    #[test]
    fn the_origin_has_scheme_host_and_port() {
        assert_eq!(origin(&asked(50051)).unwrap().to_string(), "http://127.0.0.1:50051/");
    }
}

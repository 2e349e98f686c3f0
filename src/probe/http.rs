//! A GET answers as expected: by its status, by text in its body, and by values in its JSON body.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::{error::Error, future::Future, io, pin::pin, time::Duration};

use ::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, uri::PathAndQuery};
use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Checking, Probe, ProbeError, USER_AGENT};
use crate::{
    config::HttpCheck,
    dial::Dialer,
    gate::{Class, Failure},
};

/// Most bytes of an answer that are read: far above any health report, far below what would hurt.
const BODY_LIMIT: usize = 64 * 1024;

/// Most characters of a found JSON value that a reason shows: enough for a state's name.
const SHOWN_VALUE: usize = 40;

pub(super) struct Http {
    dialer: Dialer,
    path: PathAndQuery,
    headers: HeaderMap,
    status: Vec<u16>,
    json: Vec<(String, Value)>,
    text: Option<String>,
}

impl Http {
    pub(super) fn new(asked: &HttpCheck, limit: Duration) -> Result<Self, ProbeError> {
        let mut headers = request_headers(asked)?;
        headers.entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
        let (status, json, text) = (asked.status.clone(), asked.json.clone(), asked.text.clone());
        Ok(Self { dialer: Dialer::new(&asked.target, limit)?, path: path(asked)?, headers, status, json, text })
    }

    async fn ask(&self) -> Result<(), Failure> {
        self.converse(self.dialer.connect().await?).await
    }

    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Failure> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| fault(&error))?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = self.path.clone().into();
        *request.headers_mut() = self.headers.clone();
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| fault(&error))?;
            self.judge(answer).await
        };
        beside(exchange, connection).await
    }

    async fn judge(&self, answer: Response<Incoming>) -> Result<(), Failure> {
        self.judge_status(answer.status())?;
        if self.json.is_empty() && self.text.is_none() {
            return Ok(());
        }
        let body = body(answer.into_body()).await?;
        if let Some(text) = &self.text {
            contain(&body, text)?;
        }
        if self.json.is_empty() {
            return Ok(());
        }
        let document = serde_json::from_slice(&body).map_err(|_| unexpected("the answer is not JSON"))?;
        self.json.iter().try_for_each(|(pointer, wanted)| compare(&document, pointer, wanted))
    }

    fn judge_status(&self, status: StatusCode) -> Result<(), Failure> {
        let accepted =
            if self.status.is_empty() { status.is_success() } else { self.status.contains(&status.as_u16()) };
        if accepted { Ok(()) } else { Err(refusal(status)) }
    }
}

impl Probe for Http {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn check(&self) -> Checking<'_> {
        Box::pin(self.ask())
    }
}

/// The path and query of `asked`.
pub(super) fn path(asked: &HttpCheck) -> Result<PathAndQuery, ProbeError> {
    asked.path.parse().map_err(|_| ProbeError::Path(asked.path.clone()))
}

/// Host, user agent, and what the check adds or puts in their place.
pub(super) fn request_headers(asked: &HttpCheck) -> Result<HeaderMap, ProbeError> {
    let mut headers = HeaderMap::new();
    let host = asked.target.authority();
    headers.insert(header::HOST, HeaderValue::try_from(&host).map_err(|_| ProbeError::Header("host".to_owned()))?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    for (name, value) in &asked.headers {
        let value = HeaderValue::try_from(value.expose_secret());
        let mut value = value.map_err(|_| ProbeError::Header(name.to_string()))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// What an answer with a status that was not wanted is called.
pub(super) fn refusal(status: StatusCode) -> Failure {
    let (class, hint) = match status.as_u16() {
        401 | 403 => (Class::Auth, Some("put credentials into the check's headers")),
        404 => (Class::Unexpected, Some("is the path right?")),
        429 | 500..=599 => (Class::NotReady, None),
        300..=399 => (Class::Unexpected, Some("redirects are not followed: give the final address")),
        200..=299 => (Class::Unexpected, Some("is this status missing from the check's list?")),
        _ => (Class::Unexpected, None),
    };
    Failure { class, reason: format!("answered {status}"), hint }
}

/// A connection that was taken and then closed without an answer. Forwarders do so while nothing listens behind them,
/// so it is called what it means.
pub(super) fn closed() -> Failure {
    let reason = "connection closed before an answer".to_owned();
    Failure { class: Class::Refused, reason, hint: Some("does anything listen behind this port?") }
}

/// An answer that is no HTTP.
pub(super) fn garbage(detail: &dyn std::fmt::Display) -> Failure {
    let reason = format!("the answer is not HTTP/1: {detail}");
    Failure { class: Class::Protocol, reason, hint: Some("is the port right, and the scheme (TLS or not)?") }
}

/// Drives the connection for as long as the exchange needs it.
async fn beside<T>(exchange: impl Future<Output = T>, connection: impl Future) -> T {
    match select(pin!(exchange), pin!(connection)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right((_, exchange)) => exchange.await,
    }
}

async fn body(body: Incoming) -> Result<Bytes, Failure> {
    let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { unexpected("the answer is larger than 64 KiB") } else { closed() }
    })?;
    Ok(body.to_bytes())
}

fn contain(body: &[u8], text: &str) -> Result<(), Failure> {
    if body.windows(text.len().max(1)).any(|window| window == text.as_bytes()) {
        return Ok(());
    }
    let reason = format!("the body does not contain {:?}", text.chars().take(SHOWN_VALUE).collect::<String>());
    Err(Failure { class: Class::NotReady, reason, hint: None })
}

fn unexpected(reason: &str) -> Failure {
    Failure { class: Class::Unexpected, reason: reason.to_owned(), hint: Some("is the path right?") }
}

fn compare(document: &Value, pointer: &str, wanted: &Value) -> Result<(), Failure> {
    let reason = match document.pointer(pointer) {
        Some(found) if found == wanted => return Ok(()),
        Some(found) => format!("{pointer} is {}, not yet {wanted}", brief(found)),
        None => format!("{pointer} is missing, not yet {wanted}"),
    };
    Err(Failure { class: Class::NotReady, reason, hint: None })
}

fn brief(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => value.to_string().chars().take(SHOWN_VALUE).collect(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// What cancelled a request says more than that it was cancelled; what is neither a lost connection nor a limit of ours
/// is an answer that is no HTTP, such as a banner sent before any request.
fn fault(error: &hyper::Error) -> Failure {
    let cause = error.source();
    if let Some(inner) = cause.and_then(|cause| cause.downcast_ref::<hyper::Error>()) {
        return fault(inner);
    }
    let io = cause.is_some_and(|cause| cause.is::<io::Error>());
    let lost = io || error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    if lost { closed() } else { garbage(error) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        config::{CheckKind, Target},
        probe::fixture::{answer, get, hear, run_once, say},
    };

    async fn ask(port: u16, change: impl FnOnce(&mut HttpCheck)) -> Result<(), Failure> {
        let mut asked = get(port, "/health?deep=1");
        change(&mut asked);
        run_once(CheckKind::Http(asked)).await
    }

    async fn class_of(bytes: &'static [u8]) -> Class {
        ask(say(bytes).await, |_| ()).await.unwrap_err().class
    }

    async fn json_check(body: &str, wanted: &[(&str, Value)]) -> Result<(), Failure> {
        let port = say(answer(200, body).leak()).await;
        let wanted = wanted.iter().map(|(pointer, value)| ((*pointer).to_owned(), value.clone())).collect();
        ask(port, |asked| asked.json = wanted).await
    }

    #[tokio::test]
    async fn any_2xx_passes_unless_statuses_are_listed() {
        let port = say(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(ask(port, |_| ()).await, Ok(()));
        assert_eq!(ask(port, |asked| asked.status = vec![200, 204]).await, Ok(()));
        let failure = ask(port, |asked| asked.status = vec![200]).await.unwrap_err();
        assert_eq!((failure.class, failure.reason.as_str()), (Class::Unexpected, "answered 204 No Content"));
    }

    #[tokio::test]
    async fn a_status_tells_what_kind_of_failure_it_is() {
        for (status, class) in [
            (401, Class::Auth),
            (403, Class::Auth),
            (404, Class::Unexpected),
            (302, Class::Unexpected),
            (429, Class::NotReady),
            (500, Class::NotReady),
            (503, Class::NotReady),
        ] {
            let port = say(answer(status, "").leak()).await;
            assert_eq!(ask(port, |_| ()).await.unwrap_err().class, class, "{status}");
            assert_eq!(ask(port, |asked| asked.status = vec![status]).await, Ok(()), "{status} is listed");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_no_http_is_a_protocol_failure() {
        assert_eq!(class_of(b"-ERR unknown command\r\n").await, Class::Protocol);
        assert_eq!(class_of(b"\x15\x03\x01\x00\x02\x02\x46").await, Class::Protocol);
    }

    #[tokio::test]
    async fn a_banner_before_the_request_is_a_protocol_failure_too() {
        let (request, banner) = tokio::io::duplex(1024);
        tokio::io::AsyncWriteExt::write_all(&mut { banner }, b"SSH-2.0-OpenSSH\r\n").await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(request)).await.unwrap();
        let sent = sender.send_request(Request::new(Empty::<Bytes>::new()));
        let error = beside(sent, connection).await.unwrap_err();
        assert_eq!(fault(&error).class, Class::Protocol, "{error:?}");
    }

    #[tokio::test]
    async fn a_connection_closed_without_an_answer_counts_as_refused() {
        assert_eq!(class_of(b"").await, Class::Refused);
        let failure = json_check_of(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;
        assert_eq!(failure.class, Class::Refused);
    }

    async fn json_check_of(bytes: &'static [u8]) -> Failure {
        let wanted = vec![("/ok".to_owned(), json!(true))];
        ask(say(bytes).await, |asked| asked.json = wanted).await.unwrap_err()
    }

    #[tokio::test]
    async fn every_json_value_must_be_reached() {
        let wanted = [("/status", json!("ok")), ("/parts/1/up", json!(true))];
        assert_eq!(json_check(r#"{"status":"ok","parts":[{},{"up":true}]}"#, &wanted).await, Ok(()));
        for (body, reason) in [
            (r#"{"status":"boot","parts":[{},{"up":true}]}"#, r#"/status is "boot", not yet "ok""#),
            (r#"{"status":"ok","parts":[{},{"up":false}]}"#, "/parts/1/up is false, not yet true"),
            (r#"{"status":"ok"}"#, "/parts/1/up is missing, not yet true"),
        ] {
            let failure = json_check(body, &wanted).await.unwrap_err();
            assert_eq!((failure.class, failure.reason.as_str()), (Class::NotReady, reason));
        }
    }

    #[tokio::test]
    async fn a_text_must_be_in_the_body_beside_every_json_value() {
        let asks = async |body: &str, text: &str| {
            let port = say(answer(200, body).leak()).await;
            let wanted = vec![("/ok".to_owned(), json!(true))];
            ask(port, |asked| (asked.text, asked.json) = (Some(text.to_owned()), wanted)).await
        };
        assert_eq!(asks(r#"{"ok":true,"pool":"warm"}"#, "warm").await, Ok(()));
        let failure = asks(r#"{"ok":true,"pool":"cold"}"#, "warm").await.unwrap_err();
        assert_eq!((failure.class, failure.reason.as_str()), (Class::NotReady, r#"the body does not contain "warm""#));
        let failure = asks(r#"{"ok":false,"pool":"warm"}"#, "warm").await.unwrap_err();
        assert_eq!(failure.reason, "/ok is false, not yet true");
    }

    #[tokio::test]
    async fn a_body_that_is_no_json_or_too_large_is_unexpected() {
        let wanted = [("/ok", json!(true))];
        for body in ["<html>", &" ".repeat(BODY_LIMIT + 1)] {
            assert_eq!(json_check(body, &wanted).await.unwrap_err().class, Class::Unexpected);
        }
    }

    #[tokio::test]
    async fn the_request_names_host_and_readygate_and_carries_the_headers_of_the_check() {
        let (port, request) = hear(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let secret = (header::AUTHORIZATION, "Bearer hush".into());
        assert_eq!(ask(port, |asked| asked.headers.push(secret)).await, Ok(()));
        let request = request.await.unwrap();
        assert!(request.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{request}");
        for line in [&format!("host: 127.0.0.1:{port}"), "connection: close", "authorization: Bearer hush", USER_AGENT]
        {
            assert!(request.contains(line), "{line:?} is missing in {request}");
        }
    }

    #[test]
    fn the_host_leaves_out_the_port_of_its_scheme_and_brackets_ipv6() {
        let target =
            |host: &str, port, tls: bool| Target { host: host.to_owned(), port, tls: tls.then(Default::default) };
        assert_eq!(target("a.example", 80, false).authority(), "a.example");
        assert_eq!(target("a.example", 443, true).authority(), "a.example");
        assert_eq!(target("a.example", 443, false).authority(), "a.example:443");
        assert_eq!(target("::1", 8080, false).authority(), "[::1]:8080");
    }
}

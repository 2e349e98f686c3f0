//! The line on a plain request, where `log.requests` asks for one. A WebSocket's handshake has those of its session.

use std::{net::IpAddr, time::Instant};

use http::{Method, StatusCode, Version, request};
use tracing::Level;

use crate::telemetry::{
    floods::{Floods, REQUEST},
    millis,
    request::{HttpRequest, shown},
    trace::Trace,
};

/// What the line says of a request, kept until it is answered.
#[derive(Debug)]
pub(super) struct Asked {
    method: Method,
    path: String,
    version: Version,
    peer: IpAddr,
    trace: Option<Trace>,
    began: Instant,
}

impl Asked {
    /// A request that was just read.
    pub(super) fn new(head: &request::Parts, peer: IpAddr) -> Self {
        let path = shown(head.uri.path()).to_owned();
        let (method, trace) = (head.method.clone(), Trace::of(&head.headers));
        Self { method, path, version: head.version, peer, trace, began: Instant::now() }
    }

    /// It has its answer, or the head of it. Not written where too many came at once.
    pub(super) fn answered(&self, status: StatusCode, floods: &Floods) {
        if !floods.admits(REQUEST, Level::INFO, Instant::now()) {
            return;
        }
        let lasted = self.began.elapsed();
        let (method, path, spent_ms) = (self.method.as_str(), self.path.as_str(), millis(lasted));
        let request =
            HttpRequest { method, path, status: Some(status), peer: self.peer, lasted, version: self.version };
        let _request = Trace::span(self.trace, Some(&request.to_json())).entered();
        tracing::info!(method, path, status = status.as_u16(), spent_ms, "request answered");
    }
}

//! A real, small WebSocket server that starts as slowly as it was told: its port is reserved and refuses, then takes
//! connections whose messages go nowhere, then is ready and answers.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
    upgrade::{self, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::sleep_until,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{column::Column, ledger::Phase, plan::Plan};

/// Where the backend says whether it is ready.
pub(super) const HEALTH: &str = "/health/ready";

/// Where its WebSockets are.
pub(super) const SOCKETS: &str = "/ws";

/// Connections that may wait to be taken: all clients at once.
const BACKLOG: u32 = 4096;

/// Bytes of each buffer of a WebSocket. Messages of the demo have about ten; the default would take 128 KiB a socket.
const BUFFER: usize = 1024;

/// A backend that has yet to start.
pub(super) struct Backend {
    port: Port,
    column: Arc<Column>,
    sessions: TaskTracker,
}

enum Port {
    /// Bound, so that nobody else gets it, and refusing every connection.
    Reserved(TcpSocket),
    Open(TcpListener),
}

impl Backend {
    /// Reserves a port of the loopback. Without a delay the backend is ready from here on.
    pub(super) fn reserve(column: Arc<Column>, plan: Plan) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let port = if plan.delay.is_zero() {
            column.enter(Phase::Ready);
            Port::Open(socket.listen(BACKLOG)?)
        } else {
            Port::Reserved(socket)
        };
        Ok(Self { port, column, sessions: TaskTracker::new() })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        match &self.port {
            Port::Reserved(socket) => socket.local_addr(),
            Port::Open(listener) => listener.local_addr(),
        }
    }

    /// The connections it will take; empty once all have ended.
    pub(super) fn sessions(&self) -> TaskTracker {
        self.sessions.clone()
    }

    /// Starts as slowly as planned, and serves until told to stop.
    pub(super) async fn run(self, plan: Plan, start: Instant, stop: CancellationToken) -> io::Result<()> {
        let Self { port, column, sessions } = self;
        let listener = match port {
            Port::Open(listener) => listener,
            Port::Reserved(socket) => {
                sleep_until((start + plan.listening()).into()).await;
                let listener = socket.listen(BACKLOG)?;
                column.enter(Phase::Listening);
                listener
            }
        };
        let ready = async {
            sleep_until((start + plan.delay).into()).await;
            column.enter(Phase::Ready);
            std::future::pending().await
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            () = ready => Ok(()),
            error = accept(listener, &column, &sessions) => Err(error),
        }
    }
}

pub(super) fn small_buffers() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(BUFFER).write_buffer_size(0)
}

async fn accept(listener: TcpListener, column: &Arc<Column>, sessions: &TaskTracker) -> io::Error {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                sessions.spawn(serve(stream, Arc::clone(column), sessions.clone()));
            }
            Err(error) => return error,
        }
    }
}

async fn serve(stream: TcpStream, column: Arc<Column>, sessions: TaskTracker) {
    // Answers must not wait for an acknowledgement; a socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let response = answer(request, &column, &sessions);
        async move { Ok::<_, Infallible>(response) }
    });
    // A connection that fails is the other end's to report.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

fn answer(mut request: Request<Incoming>, column: &Arc<Column>, sessions: &TaskTracker) -> Response<Empty<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, HEALTH) if column.is_ready() => status(StatusCode::OK),
        (&Method::GET, HEALTH) => status(StatusCode::SERVICE_UNAVAILABLE),
        (&Method::GET, SOCKETS) => {
            let Some(response) = switch(&request) else { return status(StatusCode::BAD_REQUEST) };
            sessions.spawn(upgraded(upgrade::on(&mut request), Arc::clone(column)));
            response
        }
        _ => status(StatusCode::NOT_FOUND),
    }
}

/// The 101 for a handshake with a key (RFC 6455 §4.2.2).
fn switch(request: &Request<Incoming>) -> Option<Response<Empty<Bytes>>> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY)?;
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()?;
    let mut response = status(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Some(response)
}

fn status(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

async fn upgraded(upgrade: upgrade::OnUpgrade, column: Arc<Column>) {
    let Ok(upgraded) = upgrade.await else { return };
    let stream = TokioIo::new(upgraded);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(small_buffers())).await;
    // What fails here shows in the ledger, as messages that did not arrive or were not answered.
    let _ = echo(socket, &column).await;
}

/// Sends each message back if it came when the backend was ready; one that came before is taken and forgotten.
async fn echo(
    mut socket: WebSocketStream<TokioIo<Upgraded>>,
    column: &Column,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if let Message::Text(text) = &message
            && column.arrived(text)
        {
            socket.send(message).await?;
        }
    }
    Ok(())
}

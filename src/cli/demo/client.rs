//! A plain client, the same in both columns: it connects at once when it arrives, sends its numbered messages, counts
//! the answers. It does not try again, neither a connection nor a message.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    time::{sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, Message},
};
use tokio_util::sync::CancellationToken;

use super::{
    backend::{SOCKETS, small_buffers},
    column::Column,
    ledger::{Stage, write},
    plan::Plan,
};

/// For the other end to answer the Close: loopback needs none of it, a starved machine some.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A client that has yet to come.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) address: SocketAddr,
    pub(super) plan: Plan,
    pub(super) column: Arc<Column>,
    /// It leaves when told, and when it has sent everything.
    pub(super) leave: CancellationToken,
}

type Socket = WebSocketStream<TcpStream>;

impl Client {
    /// Comes, does all it has to do, and leaves.
    pub(super) async fn run(self, start: Instant) {
        sleep_until((start + self.plan.arrival(self.number)).into()).await;
        self.column.stage(self.number, Stage::Connecting);
        let began = Instant::now();
        match self.connect().await {
            Ok(socket) => {
                self.column.connected(self.number, began.elapsed());
                if self.talk(socket).await.is_err() {
                    self.column.stage(self.number, Stage::Cut);
                }
            }
            Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                self.column.stage(self.number, Stage::Refused);
            }
            Err(_) => self.column.stage(self.number, Stage::Cut),
        }
    }

    async fn connect(&self) -> Result<Socket, Error> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{}{SOCKETS}", self.address);
        Ok(client_async_with_config(url, stream, Some(small_buffers())).await?.0)
    }

    /// Sends at its own pace whatever comes back, until told to leave.
    async fn talk(&self, mut socket: Socket) -> Result<(), Error> {
        let (began, mut sent) = (Instant::now(), 0);
        loop {
            let all_sent = sent == self.plan.frames;
            tokio::select! {
                biased;
                () = self.leave.cancelled(), if all_sent => return self.leave(socket).await,
                answer = socket.next() => self.take(answer.ok_or(Error::ConnectionClosed)??)?,
                () = sleep_until((began + self.plan.sending(sent)).into()), if !all_sent => {
                    self.column.sent(self.number);
                    socket.send(Message::text(write(self.number, sent))).await?;
                    sent += 1;
                }
            }
        }
    }

    fn take(&self, message: Message) -> Result<(), Error> {
        match message {
            Message::Text(answer) => self.column.answered(self.number, &answer),
            Message::Close(_) => return Err(Error::ConnectionClosed),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
        Ok(())
    }

    /// Closes, and still counts what comes until the other end has closed too: a doubled answer would come here.
    async fn leave(&self, mut socket: Socket) -> Result<(), Error> {
        socket.close(None).await?;
        let rest = async {
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Text(answer) = message {
                    self.column.answered(self.number, &answer);
                }
            }
        };
        // Without the other end's Close, everything was answered all the same.
        let _ = timeout(CLOSE_TIMEOUT, rest).await;
        Ok(())
    }
}

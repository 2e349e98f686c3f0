//! The floor: tokio's own copy on one thread, and nothing else. A process of its own (the word `relay`).

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpSocket, TcpStream},
};

/// The word that makes this program the relay.
pub(crate) const ROLE: &str = "relay";

const BACKLOG: u32 = 4096;

/// Relays what comes to `listen` until it is ended.
pub(crate) fn serve(listen: SocketAddr, to: SocketAddr) {
    super::machine::raise_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(listen).unwrap();
        let listener = socket.listen(BACKLOG).unwrap();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(join(client, to));
        }
    });
}

async fn join(mut client: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut upstream).await.map(drop)
}

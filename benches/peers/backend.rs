//! The backend: one thread, one epoll, an echo that unmasks nothing for there is nothing to unmask.
//!
//! A process of its own (the word `backend`). It names its address at once, and connections are refused there until the
//! line `listen` comes; then it tells the moment at which they are taken. It ends with its standard input.

use std::{
    env,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    mem,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{
    machine::{self, Nanos},
    poll::{Poll, Ready},
    scan::Scanner,
};

/// The word that makes this program the backend.
pub(crate) const ROLE: &str = "backend";

/// All clients of a part may come at once.
const BACKLOG: i32 = 4096;

/// Read at a time: much, so that bulk costs few calls.
const READ: usize = 256 * 1024;

/// The listener's key; connections come after it.
const LISTENER: usize = usize::MAX;

/// Clients end before that, and the backend with them.
const FOREVER: Duration = Duration::from_secs(3600);

const KEY: &str = "sec-websocket-key:";

/// A running backend; ended with its handle.
pub(crate) struct Backend {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where it listens, or will.
    pub(crate) address: SocketAddr,
}

impl Backend {
    /// One that refuses connections.
    pub(crate) fn cold() -> Self {
        let program = env::current_exe().unwrap();
        let mut command = Command::new(program);
        let mut child = command.arg(ROLE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut answers = BufReader::new(answers);
        let address = line(&mut answers).parse().unwrap();
        Self { child, orders, answers, address }
    }

    /// One that takes them.
    pub(crate) fn warm() -> Self {
        let mut backend = Self::cold();
        backend.listen();
        backend
    }

    /// Takes connections from here on; tells since when.
    pub(crate) fn listen(&mut self) -> Nanos {
        writeln!(self.orders, "listen").unwrap();
        line(&mut self.answers).parse().unwrap()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// What the process does.
pub(crate) fn serve() {
    machine::raise_descriptors();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    println!("{}", socket.local_addr().unwrap().as_socket().unwrap());
    assert_eq!(line(&mut io::stdin().lock()), "listen");
    socket.listen(BACKLOG).unwrap();
    println!("{}", machine::now());
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true).unwrap();
    Server { poll: Poll::new(), listener, connections: Vec::new(), free: Vec::new() }.run();
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
}

struct Connection {
    stream: TcpStream,
    stage: Stage,
    /// What the socket would not take yet.
    rest: Vec<u8>,
}

enum Stage {
    /// A request up to here.
    Head(Vec<u8>),
    Open(Scanner),
}

/// Used by every connection in turn, so that a silent one has none.
struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Server {
    fn run(mut self) {
        self.poll.add(&self.listener, LISTENER);
        let mut buffers = Buffers { input: vec![0; READ], output: Vec::with_capacity(READ) };
        loop {
            for ready in self.poll.wait_at_most(FOREVER) {
                if ready.key == LISTENER {
                    self.accept(&mut buffers);
                } else {
                    self.turn(ready, &mut buffers);
                }
            }
        }
    }

    fn accept(&mut self, buffers: &mut Buffers) {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            let key = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.poll.add(&stream, key);
            self.connections[key] = Some(Connection { stream, stage: Stage::Head(Vec::new()), rest: Vec::new() });
            self.turn(Ready { key, ended: false }, buffers);
        }
    }

    /// A connection that is gone may have left an event behind.
    fn turn(&mut self, ready: Ready, buffers: &mut Buffers) {
        let Some(connection) = &mut self.connections[ready.key] else { return };
        if !connection.turn(ready.ended, buffers).unwrap_or(false) {
            self.connections[ready.key] = None;
            self.free.push(ready.key);
        }
    }
}

impl Connection {
    /// Reads and answers until there is nothing to read or no room to write; whether the connection goes on.
    fn turn(&mut self, ended: bool, buffers: &mut Buffers) -> io::Result<bool> {
        loop {
            if !self.flush()? {
                return Ok(true);
            }
            if matches!(&self.stage, Stage::Open(scanner) if scanner.closed()) {
                return Ok(false);
            }
            let read = match self.stream.read(&mut buffers.input) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            buffers.output.clear();
            self.take(&buffers.input[..read], &mut buffers.output);
            self.send(&buffers.output)?;
            if read < buffers.input.len() && !ended && self.rest.is_empty() && !self.is_closed() {
                return Ok(true);
            }
        }
    }

    fn is_closed(&self) -> bool {
        matches!(&self.stage, Stage::Open(scanner) if scanner.closed())
    }

    fn take(&mut self, input: &[u8], output: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::Open(scanner) => scanner.echo(input, output),
            Stage::Head(head) => {
                head.extend_from_slice(input);
                if head.ends_with(b"\r\n\r\n") {
                    let head = mem::take(head);
                    self.answer(&String::from_utf8(head).unwrap(), output);
                }
            }
        }
    }

    /// Whoever asks for anything but an upgrade asks whether this is ready. It is.
    fn answer(&mut self, head: &str, output: &mut Vec<u8>) {
        let key =
            head.lines().find_map(|line| line.to_ascii_lowercase().starts_with(KEY).then(|| line[KEY.len()..].trim()));
        let Some(key) = key else {
            output.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            return;
        };
        let accept = derive_accept_key(key.as_bytes());
        output.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
        output.extend_from_slice(format!("Sec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes());
        self.stage = Stage::Open(Scanner::default());
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = write_some(&self.stream, bytes)?;
        self.rest.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Whether everything is sent.
    fn flush(&mut self) -> io::Result<bool> {
        if self.rest.is_empty() {
            return Ok(true);
        }
        let sent = write_some(&self.stream, &self.rest)?;
        self.rest.drain(..sent);
        if self.rest.is_empty() {
            // A thousand silent connections keep no room.
            self.rest = Vec::new();
        }
        Ok(self.rest.is_empty())
    }
}

/// As much as the socket takes.
pub(crate) fn write_some(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

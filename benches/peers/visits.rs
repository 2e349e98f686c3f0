//! Clients that come: connect, shake hands, and what a part wants them to do next.
//!
//! One thread, one epoll. Every client has a source address of its own in 127.0.0.0/8, so that neither the 28,000 ports of
//! one address nor a limit per address stands in the way.

use std::{
    io::{ErrorKind, Read},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicU32, Ordering},
};

use socket2::{Domain, Socket, Type};

use super::{
    backend::write_some,
    frames::{self, CLOSE, CLOSE_ECHO, Message, Place},
    machine::{self, Nanos},
    poll::{Poll, Ready},
};

/// The first source address, and how many come after it before the first is used again.
const SOURCES: (u32, u32) = (0x7f01_0001, 0x00fd_0000);

/// Longest answer to a handshake.
const HEAD: usize = 4096;

const ACCEPTED: &[u8] = b"HTTP/1.1 101";

/// What every client does.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'plan> {
    pub(crate) to: Place,
    pub(crate) clients: usize,
    /// Under way at a time.
    pub(crate) at_once: usize,
    /// Sent as soon as the handshake is over.
    pub(crate) first: Option<&'plan Message>,
    pub(crate) then: Then,
}

/// When a client is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Once its first message is sent.
    Stay,
    /// Once its echo is there.
    Echoed,
    /// Once a Close has been sent and answered after that.
    Closed,
}

/// How it went.
#[derive(Default)]
pub(crate) struct Visits {
    /// Open sessions, unless they were closed.
    pub(crate) streams: Vec<TcpStream>,
    /// When each was done.
    pub(crate) done: Vec<Nanos>,
    /// Clients that did not get there.
    pub(crate) failed: usize,
}

struct Client {
    stream: TcpStream,
    stage: Stage,
}

enum Stage {
    Head(Vec<u8>),
    /// So many bytes of the echo are missing.
    Echo(usize),
    Closing(usize),
}

enum Next {
    Wait,
    Done,
    Failed,
}

/// All clients of `plan`, which must all succeed; their open sessions.
pub(crate) fn open(to: Place, clients: usize, at_once: usize) -> Vec<TcpStream> {
    visit(Plan { to, clients, at_once, first: None, then: Then::Stay }).all()
}

/// All clients of `plan`, those that fail included.
pub(crate) fn visit(plan: Plan) -> Visits {
    let mut visits = Visits::default();
    let mut poll = Poll::new();
    let mut clients: Vec<Option<Client>> = Vec::with_capacity(plan.clients);
    let request = frames::handshake(plan.to);
    let come = |clients: &mut Vec<Option<Client>>, poll: &Poll| {
        let stream = connect(plan.to.address);
        poll.add(&stream, clients.len());
        assert_eq!(write_some(&stream, &request).unwrap(), request.len());
        clients.push(Some(Client { stream, stage: Stage::Head(Vec::new()) }));
    };
    for _ in 0..plan.at_once.min(plan.clients) {
        come(&mut clients, &poll);
    }
    while visits.done.len() + visits.failed < plan.clients {
        for ready in poll.wait() {
            let Some(client) = &mut clients[ready.key] else { continue };
            match client.turn(&plan, ready) {
                Next::Wait => continue,
                Next::Done => visits.done.push(machine::now()),
                Next::Failed => visits.failed += 1,
            }
            let client = clients[ready.key].take().unwrap();
            if plan.then != Then::Closed {
                visits.streams.push(client.stream);
            }
            if clients.len() < plan.clients {
                come(&mut clients, &poll);
            }
        }
    }
    visits
}

/// Waits until each has got `bytes`; tells when each had them.
pub(crate) fn receive(streams: &[TcpStream], bytes: usize) -> Vec<Nanos> {
    let mut poll = Poll::new();
    let mut missing = vec![bytes; streams.len()];
    let mut done = Vec::with_capacity(streams.len());
    streams.iter().enumerate().for_each(|(key, stream)| poll.add(stream, key));
    while done.len() < streams.len() {
        for ready in poll.wait() {
            let missing = &mut missing[ready.key];
            if *missing == 0 {
                continue;
            }
            *missing = read_up_to(&streams[ready.key], *missing).expect("a held session lives");
            if *missing == 0 {
                done.push(machine::now());
            }
        }
    }
    done
}

impl Visits {
    /// The sessions, when nobody failed.
    pub(crate) fn all(self) -> Vec<TcpStream> {
        assert_eq!(self.failed, 0, "clients were turned away");
        self.streams
    }
}

impl Client {
    fn turn(&mut self, plan: &Plan, ready: Ready) -> Next {
        match &mut self.stage {
            Stage::Head(head) => match read_head(&self.stream, head) {
                Ok(true) if head.starts_with(ACCEPTED) => self.accepted(plan),
                Ok(true) => Next::Failed,
                Ok(false) if ready.ended => Next::Failed,
                Ok(false) => Next::Wait,
                Err(_) => Next::Failed,
            },
            Stage::Echo(missing) => match read_up_to(&self.stream, *missing) {
                Ok(0) => self.echoed(plan),
                Ok(rest) => {
                    *missing = rest;
                    Next::Wait
                }
                Err(_) => Next::Failed,
            },
            Stage::Closing(missing) => match read_up_to(&self.stream, *missing) {
                Ok(0) => Next::Done,
                Ok(rest) => {
                    *missing = rest;
                    Next::Wait
                }
                Err(_) => Next::Failed,
            },
        }
    }

    fn accepted(&mut self, plan: &Plan) -> Next {
        let Some(first) = plan.first else { return Next::Done };
        if !matches!(write_some(&self.stream, &first.request), Ok(sent) if sent == first.request.len()) {
            return Next::Failed;
        }
        self.stage = Stage::Echo(first.echo);
        if plan.then == Then::Stay { Next::Done } else { Next::Wait }
    }

    fn echoed(&mut self, plan: &Plan) -> Next {
        if plan.then == Then::Echoed {
            return Next::Done;
        }
        self.stage = Stage::Closing(CLOSE_ECHO);
        if matches!(write_some(&self.stream, &CLOSE), Ok(sent) if sent == CLOSE.len()) {
            Next::Wait
        } else {
            Next::Failed
        }
    }
}

/// On the loopback from an address that the next clients do not use.
fn connect(to: SocketAddr) -> TcpStream {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    if to.is_ipv4() && to.ip().is_loopback() {
        let (first, count) = SOURCES;
        let source = Ipv4Addr::from_bits(first + NUMBER.fetch_add(1, Ordering::Relaxed) % count);
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    }
    socket.connect(&to.into()).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

/// Whether the head is whole. Nobody sends anything after it unasked.
fn read_head(mut stream: &TcpStream, head: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut buffer = [0; HEAD];
    match stream.read(&mut buffer) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(count) => {
            head.extend_from_slice(&buffer[..count]);
            Ok(head.windows(4).any(|end| end == b"\r\n\r\n"))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads what is there of `missing` bytes; tells how many are missing then.
fn read_up_to(mut stream: &TcpStream, mut missing: usize) -> std::io::Result<usize> {
    let mut buffer = [0; HEAD];
    while missing > 0 {
        let most = missing.min(buffer.len());
        match stream.read(&mut buffer[..most]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => missing -= count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

//! What a client receives behind readygate is what it receives from the server itself, frame by frame: a table of cases
//! after the sections of RFC 6455 and RFC 7692, against other people's servers.
//!
//! Each case is tried direct, through an open gate, held without a 101, and accepted early. The first three must agree to
//! the byte. What an early accept may change is named by each case ([`Held`]), and then asserted too.

mod case;
mod closing;
mod compression;
mod framing;
mod leg;
mod text;

use std::fmt::Write;

use self::{
    case::{Case, Held},
    leg::Seen,
};
use crate::harness::{frame::Frame, programs::Server};

/// Fewer cases mean that a table is not read.
const CASES_AT_LEAST: usize = 400;

/// Fewer mean that the servers' answers are not read: messages that came back, and closes with 1002 and with 1007.
const ECHOED_AT_LEAST: usize = 150;
/// See [`ECHOED_AT_LEAST`].
const JUDGED_AT_LEAST: [(u16, usize); 2] = [(1002, 150), (1007, 40)];

#[tokio::test]
async fn a_client_of_pythons_websockets_receives_the_same_direct_open_held_and_accepted_early() {
    agrees(&Server::echo(&[]).await).await;
}

#[tokio::test]
async fn a_client_of_nodes_ws_receives_the_same_direct_open_held_and_accepted_early() {
    agrees(&Server::node_echo().await).await;
}

async fn agrees(server: &Server) {
    let cases = [framing::cases(), closing::cases(), text::cases(), compression::cases()].concat();
    assert!(cases.len() >= CASES_AT_LEAST, "{} cases", cases.len());
    let direct = leg::direct(server, &cases).await;
    is_meaningful(&direct);
    let open = leg::open(server, &cases).await;
    let deferred = leg::deferred(server, &cases).await;
    let (early, all_held) = leg::early(server, &cases).await;
    let mut table = String::new();
    for (at, case) in cases.iter().enumerate() {
        let (direct, open, deferred, early) = (&direct[at], &open[at], &deferred[at], &early[at]);
        if direct == open && direct == deferred && may_be_held(case, direct, early) {
            continue;
        }
        writeln!(table, "{}\n    direct {direct}\n    open   {open}\n    held   {deferred}", case.name).unwrap();
        writeln!(table, "    early  {early}\n    which should be {:?}", case.held).unwrap();
    }
    assert!(table.is_empty(), "\n{table}");
    assert!(all_held, "the gate opened before all was held");
    println!("{} cases, four ways each", cases.len());
}

/// Agreement about nothing would be none.
fn is_meaningful(direct: &[Seen]) {
    let echoed: usize = direct.iter().map(|seen| seen.messages.len()).sum();
    assert!(echoed >= ECHOED_AT_LEAST, "{echoed} messages came back");
    for (code, least) in JUDGED_AT_LEAST {
        let judged = direct.iter().filter(|seen| closing(seen) == Some(code)).count();
        assert!(judged >= least, "{judged} closes with {code}");
    }
}

/// Whether a client that was accepted early may receive `early` where another receives `direct`.
fn may_be_held(case: &Case, direct: &Seen, early: &Seen) -> bool {
    let told = |code: u16| {
        let lone = Seen { handshake: "101 ".to_owned(), pongs: early.pongs.clone(), ..Seen::default() };
        closing(early) == Some(code) && *early == Seen { close: early.close.clone(), ..lone }
    };
    match case.held {
        Held::Same | Held::Echoed => early == direct,
        Held::Judged(code) => closing(direct) == Some(code) && told(code),
        Held::Stricter(code) => told(code),
        Held::Plain => {
            let plain = Seen { handshake: "101 ".to_owned(), messages: case.messages(), ..Seen::default() };
            *early == Seen { close: Some(Frame::close(1000, "done")), ..plain }
        }
    }
}

fn closing(seen: &Seen) -> Option<u16> {
    let code = seen.close.as_ref()?.payload.first_chunk()?;
    Some(u16::from_be_bytes(*code))
}

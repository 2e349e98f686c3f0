//! RFC 6455 §5.5.1 and §7.4: what a Close may carry.

use super::case::{Case, FIN, Held};
use crate::harness::frame::{CLOSE, Frame, TEXT};

const LEGAL: [u16; 16] =
    [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
const ILLEGAL: [u16; 15] = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 32_768, 65_535];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for code in LEGAL {
        cases.extend(closed(&format!("§7.4 code {code}"), &Frame::close(code, "")));
    }
    for code in ILLEGAL {
        cases.extend(Case::broken(&format!("§7.4 code {code}"), &Frame::close(code, "").masked(), Held::Judged(1002)));
    }
    cases.extend(closed("§5.5.1 an empty Close", &Frame::new(FIN | CLOSE, [])));
    cases.extend(closed("§5.5.1 a short reason", &Frame::close(1000, "bye")));
    cases.extend(closed("§5.5.1 a reason in UTF-8", &Frame::close(4001, "門 😀")));
    cases.extend(closed("§5.5.1 the longest reason", &Frame::close(1001, &"r".repeat(123))));
    let byte = Frame::new(FIN | CLOSE, [3]).masked();
    cases.extend(Case::broken("§5.5.1 a Close of one byte", &byte, Held::Judged(1002)));
    for reason in [&[0xff][..], &[b'a', 0xc3], &[0xed, 0xa0, 0x80], b"\xf0\x9f\x98"] {
        let frame = Frame::new(FIN | CLOSE, [&[0x03, 0xe8], reason].concat());
        let name = format!("§8.1 a reason that is no UTF-8: {reason:02x?}");
        cases.extend(Case::broken(&name, &frame.masked(), Held::Judged(1007)));
    }
    cases.extend(among_messages());
    cases
}

/// A Close at once, where readygate holds nothing and answers it, and in an open session, where the server does.
fn closed(name: &str, close: &Frame) -> [Case; 2] {
    let later = Case::echoed(format!("{name}, later"), &[Frame::text("before")], 1);
    [Case::new(name, close.masked()).held(Held::Echoed), later.then(close.masked())].map(Case::closing)
}

fn among_messages() -> [Case; 3] {
    let close = Frame::close(1000, "").masked();
    let behind = [close.clone(), Frame::text("behind it").masked(), Frame::close(1001, "").masked()].concat();
    let inside = [Frame::new(TEXT, "unfinished").masked(), close].concat();
    [
        Case::new("§5.5.1 nothing counts behind a Close", behind.clone()).held(Held::Echoed),
        Case::echoed("§5.5.1 nothing counts behind a Close, later", &[Frame::text("before")], 1).then(behind),
        Case::new("§5.5.1 a Close inside a message", inside),
    ]
    .map(Case::closing)
}

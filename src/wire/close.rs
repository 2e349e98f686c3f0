//! Close codes (RFC 6455 §7.4 and the IANA registry) and the control frames that readygate itself sends. PURE.

use super::header::{Header, MAX_CONTROL, Opcode, apply_mask};

/// Orderly end.
pub const NORMAL: u16 = 1000;
/// This end leaves.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke RFC 6455.
pub const PROTOCOL_ERROR: u16 = 1002;
/// A text message, or a Close reason, is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// The peer broke a rule of ours that is not RFC 6455's.
pub const POLICY: u16 = 1008;
/// A message is larger than may ever be held.
pub const TOO_BIG: u16 = 1009;
/// readygate's own fault.
pub const INTERNAL: u16 = 1011;
/// The service restarts: reconnect soon (IANA).
pub const RESTART: u16 = 1012;
/// Not at this moment: try again later (IANA).
pub const TRY_AGAIN: u16 = 1013;
/// The upstream's answer was unusable (IANA).
pub const BAD_GATEWAY: u16 = 1014;
/// Unauthorized (IANA).
pub const UNAUTHORIZED: u16 = 3000;
/// Forbidden (IANA).
pub const FORBIDDEN: u16 = 3003;

/// A code at the beginning of a Close's payload (RFC 6455 §5.5.1).
pub const CODE_BYTES: usize = 2;

/// Longest reason beside the code.
const MAX_REASON: usize = MAX_CONTROL as usize - CODE_BYTES;

/// Whether a Close frame may carry `code` (RFC 6455 §7.4.1 and §7.4.2; 1012 to 1014 are IANA's).
#[must_use]
pub fn is_legal(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A Close frame from server to client. A reason that is too long is cut at a character.
#[must_use]
pub fn frame(code: u16, reason: &str) -> Vec<u8> {
    control(Opcode::Close, &payload(code, reason), None)
}

/// A Close frame from client to server, masked as §5.3 asks.
#[must_use]
pub fn masked_frame(code: u16, reason: &str, key: [u8; 4]) -> Vec<u8> {
    control(Opcode::Close, &payload(code, reason), Some(key))
}

/// A control frame; `payload` is cut at 125 bytes.
#[must_use]
pub fn control(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let payload = &payload[..payload.len().min(MAX_CONTROL as usize)];
    let mut bytes = Vec::with_capacity(6 + payload.len());
    Header { fin: true, rsv: 0, opcode, mask, payload: payload.len() as u64 }.write(&mut bytes);
    let start = bytes.len();
    bytes.extend(payload);
    if let Some(key) = mask {
        apply_mask(&mut bytes[start..], key, 0);
    }
    bytes
}

fn payload(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend(&reason.as_bytes()[..reason.floor_char_boundary(MAX_REASON)]);
    payload
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_that_must_never_be_on_the_wire_are_not_legal() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            assert!(!is_legal(code), "{code}");
        }
    }

    #[test]
    fn every_code_of_ours_is_legal() {
        let ours = [NORMAL, PROTOCOL_ERROR, INVALID_PAYLOAD, TOO_BIG, INTERNAL, RESTART, TRY_AGAIN, BAD_GATEWAY];
        for code in ours.into_iter().chain([UNAUTHORIZED, FORBIDDEN]) {
            assert!(is_legal(code), "{code}");
        }
    }

    #[test]
    fn a_close_carries_code_and_reason() {
        assert_eq!(frame(1013, "later"), [&[0x88, 7, 0x03, 0xf5], b"later".as_slice()].concat());
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let bytes = frame(1013, &"ä".repeat(100));
        assert_eq!(bytes[1], 124);
        assert!(std::str::from_utf8(&bytes[4..]).is_ok());
    }

    #[test]
    fn a_masked_close_unmasks_to_the_plain_one() {
        let mut masked = masked_frame(1012, "restart", [9, 8, 7, 6]);
        apply_mask(&mut masked[6..], [9, 8, 7, 6], 0);
        assert_eq!(masked[6..], frame(1012, "restart")[2..]);
    }
}

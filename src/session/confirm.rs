//! The upstream's stream while it has to confirm: finds the message that does. PURE.
//!
//! Nothing is judged and nothing is changed, for the bytes go to the client as they are. Whole text messages are
//! compared with the rule: fragments are put together, control frames between them passed over, and compressed ones
//! inflated where the handshake agreed on permessage-deflate (`inflate`). A binary message, one longer than the rule
//! allows, one under bits of an unknown extension, or one that breaks RFC 6455 never confirms.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod inflate;

use std::sync::Arc;

use self::inflate::Inflate;
pub(super) use self::inflate::agreed;
use crate::{
    config::Confirm,
    wire::{
        close,
        header::{Header, MAX_HEADER, Opcode},
    },
};

/// RSV1, which marks a compressed message (RFC 7692 §6), among the three reserved bits.
const COMPRESSED: u8 = 4;

/// Follows one upstream's stream until its confirmation.
#[derive(Debug)]
pub(super) struct Watch {
    rule: Arc<Confirm>,
    /// Absent without permessage-deflate, and after a message that could not be inflated.
    inflate: Option<Inflate>,
    partial: [u8; MAX_HEADER],
    partial_len: usize,
    frame: Option<Frame>,
    message: Option<Message>,
    /// The first bytes of its Close.
    closing: Vec<u8>,
    /// The stream is no WebSocket's; nothing in it can be understood any more.
    lost: bool,
}

#[derive(Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    left: u64,
}

#[derive(Debug)]
struct Message {
    /// It may confirm, as far as it has come.
    may_confirm: bool,
    is_compressed: bool,
    text: Vec<u8>,
}

impl Watch {
    /// Waits for what `rule` says, in a stream whose handshake agreed on `compression`.
    pub(super) fn new(rule: Arc<Confirm>, compression: Option<inflate::Agreed>) -> Self {
        Self {
            rule,
            inflate: compression.map(Inflate::new),
            partial: [0; MAX_HEADER],
            partial_len: 0,
            frame: None,
            message: None,
            closing: Vec::new(),
            lost: false,
        }
    }

    /// Looks at the next bytes. Returns how many of them there are up to the end of the message that confirms.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut left = bytes;
        while !left.is_empty() && !self.lost {
            left = match self.frame.take() {
                Some(frame) => self.take_payload(frame, left),
                None => self.take_header(left),
            };
            let ended = self.frame.take_if(|frame| frame.left == 0);
            if ended.is_some_and(|frame| !frame.opcode.is_control() && frame.fin) && self.end_message() {
                return Some(bytes.len() - left.len());
            }
        }
        None
    }

    /// No frame and no message is under way.
    pub(super) fn is_between_messages(&self) -> bool {
        !self.lost && self.partial_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// The code of the upstream's Close, if it carries one that may stand on the wire.
    pub(super) fn close_code(&self) -> Option<u16> {
        let code = self.closing.first_chunk::<{ close::CODE_BYTES }>().map(|code| u16::from_be_bytes(*code));
        code.filter(|code| close::is_legal(*code))
    }

    fn take_header<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let before = self.partial_len;
        let taken = bytes.len().min(MAX_HEADER - before);
        self.partial[before..before + taken].copy_from_slice(&bytes[..taken]);
        match Header::parse(&self.partial[..before + taken]) {
            Err(_) => self.lost = true,
            Ok(None) => self.partial_len += taken,
            Ok(Some((header, length))) => {
                self.partial_len = 0;
                self.begin_frame(&header);
                return &bytes[length - before..];
            }
        }
        &bytes[taken..]
    }

    fn begin_frame(&mut self, header: &Header) {
        self.frame = Some(Frame { opcode: header.opcode, fin: header.fin, left: header.payload });
        match header.opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong => {}
            Opcode::Continuation => self.continue_message(header),
            Opcode::Text | Opcode::Binary | Opcode::Reserved(_) => self.begin_message(header),
        }
    }

    fn begin_message(&mut self, header: &Header) {
        let known_bits = if self.inflate.is_some() { COMPRESSED } else { 0 };
        let is_legal = self.message.is_none() && header.mask.is_none() && header.rsv & !known_bits == 0;
        let (is_compressed, is_text) = (header.rsv & COMPRESSED != 0, header.opcode == Opcode::Text);
        self.message = Some(Message { may_confirm: is_legal && is_text, is_compressed, text: Vec::new() });
    }

    fn continue_message(&mut self, header: &Header) {
        let is_legal = header.mask.is_none() && header.rsv == 0;
        match &mut self.message {
            Some(message) => message.may_confirm &= is_legal,
            None => self.message = Some(Message { may_confirm: false, is_compressed: false, text: Vec::new() }),
        }
    }

    fn take_payload<'b>(&mut self, mut frame: Frame, bytes: &'b [u8]) -> &'b [u8] {
        let length = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
        let (piece, rest) = bytes.split_at(length);
        match frame.opcode {
            Opcode::Close => {
                self.closing.extend(piece.iter().take(close::CODE_BYTES.saturating_sub(self.closing.len())))
            }
            opcode if opcode.is_control() => {}
            _ => self.take_text(piece),
        }
        frame.left -= length as u64;
        self.frame = Some(frame);
        rest
    }

    fn take_text(&mut self, piece: &[u8]) {
        let Some(message) = &mut self.message else { return };
        let most = self.rule.message_bytes;
        if !message.is_compressed {
            return message.extend(piece, most);
        }
        // What cannot confirm is inflated all the same: later messages may refer to it.
        let Some(inflate) = &mut self.inflate else { return };
        if !inflate.feed(piece, |text| message.extend(text, most)) {
            self.give_up_on_compressed_messages();
        }
    }

    /// The message is whole; says whether it confirms.
    fn end_message(&mut self) -> bool {
        if self.message.as_ref().is_some_and(|message| message.is_compressed) {
            self.end_inflating();
        }
        self.message.take().is_some_and(|message| message.may_confirm && self.rule.accepts(&message.text))
    }

    fn end_inflating(&mut self) {
        let (Some(message), Some(inflate)) = (&mut self.message, &mut self.inflate) else { return };
        let most = self.rule.message_bytes;
        if !inflate.end(|text| message.extend(text, most)) {
            self.give_up_on_compressed_messages();
        }
    }

    fn give_up_on_compressed_messages(&mut self) {
        self.inflate = None;
        if let Some(message) = &mut self.message {
            message.give_up();
        }
    }
}

impl Message {
    fn extend(&mut self, piece: &[u8], most: usize) {
        if !self.may_confirm {
            return;
        }
        if self.text.len() + piece.len() > most {
            return self.give_up();
        }
        self.text.extend(piece);
    }

    fn give_up(&mut self) {
        (self.may_confirm, self.text) = (false, Vec::new());
    }
}

#[cfg(test)]
#[path = "confirm_tests.rs"]
mod tests;

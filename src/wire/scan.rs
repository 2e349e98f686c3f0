//! Walks the bytes of a held client. PURE.
//!
//! Payloads are not decoded: headers are read, RFC 6455 is enforced, and what a backend should see is kept as it
//! came, masks included. Pings are answered here and pongs are dropped, for they concern this connection and not the
//! backend's. A Close is kept as the last thing.

use super::{
    close,
    header::{Header, MAX_CONTROL, MAX_HEADER, Malformed, Opcode, apply_mask},
    utf8::Utf8,
};

/// Bytes unmasked at a time to check text. On the stack, so small.
const UNMASK_CHUNK: usize = 512;

/// How a client broke RFC 6455, or a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// 1002, 1007 or 1009.
    pub code: u16,
    /// A lower-case fragment, fit for a Close reason and a log line.
    pub what: &'static str,
}

/// A client's Close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientClose {
    /// Its code, if it carries one.
    pub code: Option<u16>,
}

/// One client's stream while it is held.
#[derive(Debug)]
pub struct Scanner {
    most_message: u64,
    partial: [u8; MAX_HEADER],
    partial_len: u8,
    frame: Option<Frame>,
    message: Option<Message>,
    frames: usize,
    closed: Option<ClientClose>,
    /// Payload of the client's Close.
    farewell: Vec<u8>,
    keeps_pongs: bool,
    has_extensions: bool,
}

#[derive(Debug)]
struct Frame {
    header: Header,
    /// Of the header.
    length: usize,
    /// Payload bytes seen so far.
    seen: u64,
    /// Payload of a control frame, unmasked.
    control: Vec<u8>,
}

#[derive(Debug)]
struct Message {
    /// Bytes on the wire so far, headers included.
    bytes: u64,
    /// Present for text.
    utf8: Option<Utf8>,
}

impl Scanner {
    /// A scanner for a fresh connection. A message that takes more than `most_message` bytes on the wire is too big.
    #[must_use]
    pub fn new(most_message: usize) -> Self {
        Self {
            most_message: most_message as u64,
            partial: [0; MAX_HEADER],
            partial_len: 0,
            frame: None,
            message: None,
            frames: 0,
            closed: None,
            farewell: Vec::new(),
            keeps_pongs: false,
            has_extensions: false,
        }
    }

    /// The client hears the upstream from here on: its pongs may be answers to the upstream's pings, and are kept.
    /// `has_extensions`: the two agreed on some, so that reserved bits and the text under them are their business.
    pub fn hear_upstream(&mut self, has_extensions: bool) {
        (self.keeps_pongs, self.has_extensions) = (true, has_extensions);
    }

    /// Takes the next bytes: appends to `keep` what the backend should get and to `answers` the pongs that are due. Returns
    /// the client's Close once it is there; nothing counts after it.
    ///
    /// # Errors
    /// The first violation. The stream is of no use after it.
    pub fn scan(
        &mut self,
        mut bytes: &[u8],
        keep: &mut Vec<u8>,
        answers: &mut Vec<u8>,
    ) -> Result<Option<ClientClose>, Violation> {
        while !bytes.is_empty() && self.closed.is_none() {
            bytes = match self.frame.take() {
                None => self.take_header(bytes, keep)?,
                Some(frame) => self.take_payload(frame, bytes, keep)?,
            };
            if let Some(frame) = self.frame.take_if(|frame| frame.seen == frame.header.payload) {
                self.end_frame(&frame, keep, answers)?;
            }
        }
        Ok(self.closed)
    }

    /// Data frames that became whole so far.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// What the client's Close carries, code and reason; nothing before it is there.
    #[must_use]
    pub fn farewell(&self) -> &[u8] {
        &self.farewell
    }

    /// A frame has begun and is not whole.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.partial_len > 0 || self.frame.is_some()
    }

    /// How many bytes [`Self::finish`] would return.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        match &self.frame {
            Some(frame) if frame.header.opcode.is_control() => frame.length + frame.control.len(),
            Some(_) | None => usize::from(self.partial_len),
        }
    }

    /// Ends the scan: the bytes that were read but neither kept nor answered (a header in pieces, an unfinished
    /// control frame), to go after what was kept.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        match self.frame {
            Some(frame) if frame.header.opcode.is_control() => frame.to_wire(),
            Some(_) | None => self.partial[..usize::from(self.partial_len)].to_vec(),
        }
    }

    fn take_header<'b>(&mut self, bytes: &'b [u8], keep: &mut Vec<u8>) -> Result<&'b [u8], Violation> {
        let before = usize::from(self.partial_len);
        let taken = bytes.len().min(MAX_HEADER - before);
        self.partial[before..before + taken].copy_from_slice(&bytes[..taken]);
        let Some((header, length)) = Header::parse(&self.partial[..before + taken])? else {
            self.partial_len += u8::try_from(taken).unwrap_or_default();
            return Ok(&bytes[taken..]);
        };
        self.partial_len = 0;
        self.begin_frame(&header, length)?;
        if !header.opcode.is_control() {
            keep.extend(&self.partial[..length]);
        }
        self.frame = Some(Frame { header, length, seen: 0, control: Vec::new() });
        Ok(&bytes[length - before..])
    }

    fn begin_frame(&mut self, header: &Header, length: usize) -> Result<(), Violation> {
        if header.rsv != 0 && !self.has_extensions {
            return Err(protocol("reserved bits set without an extension"));
        }
        if header.mask.is_none() {
            return Err(protocol("client frame without a mask"));
        }
        match header.opcode {
            Opcode::Reserved(_) => Err(protocol("reserved opcode")),
            Opcode::Close | Opcode::Ping | Opcode::Pong => check_control(header),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => self.begin_data(header, length),
        }
    }

    fn begin_data(&mut self, header: &Header, length: usize) -> Result<(), Violation> {
        match (&self.message, header.opcode) {
            (None, Opcode::Continuation) => return Err(protocol("continuation without a message")),
            (Some(_), Opcode::Text | Opcode::Binary) => return Err(protocol("new message inside a message")),
            _ => {}
        }
        let message =
            self.message.get_or_insert_with(|| Message { bytes: 0, utf8: is_plain_text(header).then(Utf8::default) });
        message.bytes = message.bytes.saturating_add(header.payload).saturating_add(length as u64);
        if message.bytes > self.most_message {
            return Err(Violation { code: close::TOO_BIG, what: "message larger than may be held" });
        }
        Ok(())
    }

    fn take_payload<'b>(
        &mut self,
        mut frame: Frame,
        bytes: &'b [u8],
        keep: &mut Vec<u8>,
    ) -> Result<&'b [u8], Violation> {
        let left = usize::try_from(frame.header.payload - frame.seen).unwrap_or(usize::MAX);
        let (piece, rest) = bytes.split_at(left.min(bytes.len()));
        if frame.header.opcode.is_control() {
            let (key, start) = (frame.key(), frame.control.len());
            frame.control.extend(piece);
            apply_mask(&mut frame.control[start..], key, frame.seen);
        } else {
            self.check_text(&frame, piece)?;
            keep.extend(piece);
        }
        frame.seen += piece.len() as u64;
        self.frame = Some(frame);
        Ok(rest)
    }

    fn check_text(&mut self, frame: &Frame, piece: &[u8]) -> Result<(), Violation> {
        let Some(utf8) = self.message.as_mut().and_then(|message| message.utf8.as_mut()) else { return Ok(()) };
        let mut clear = [0; UNMASK_CHUNK];
        let mut offset = frame.seen;
        for chunk in piece.chunks(UNMASK_CHUNK) {
            let clear = &mut clear[..chunk.len()];
            clear.copy_from_slice(chunk);
            apply_mask(clear, frame.key(), offset);
            if !utf8.accept(clear) {
                return Err(NOT_UTF8);
            }
            offset += chunk.len() as u64;
        }
        Ok(())
    }

    fn end_frame(&mut self, frame: &Frame, keep: &mut Vec<u8>, answers: &mut Vec<u8>) -> Result<(), Violation> {
        match frame.header.opcode {
            Opcode::Ping => answers.extend(close::control(Opcode::Pong, &frame.control, None)),
            Opcode::Pong if self.keeps_pongs => keep.extend(frame.to_wire()),
            Opcode::Pong => {}
            Opcode::Close => {
                self.closed = Some(check_close(&frame.control)?);
                self.farewell.clone_from(&frame.control);
                keep.extend(frame.to_wire());
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary | Opcode::Reserved(_) => {
                self.frames += 1;
                if frame.header.fin {
                    self.end_message()?;
                }
            }
        }
        Ok(())
    }

    fn end_message(&mut self) -> Result<(), Violation> {
        let message = self.message.take();
        let is_whole = message.and_then(|message| message.utf8).is_none_or(|utf8| utf8.is_whole());
        if is_whole { Ok(()) } else { Err(NOT_UTF8) }
    }
}

impl Frame {
    fn key(&self) -> [u8; 4] {
        self.header.mask.unwrap_or_default()
    }

    /// A control frame as far as it has come, as it came.
    fn to_wire(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.header.write(&mut bytes);
        let start = bytes.len();
        bytes.extend(&self.control);
        apply_mask(&mut bytes[start..], self.key(), 0);
        bytes
    }
}

impl From<Malformed> for Violation {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::LengthTooLarge => protocol("frame length with its highest bit set"),
            Malformed::LengthNotMinimal => protocol("frame length not in its shortest form"),
        }
    }
}

/// Text that no extension has changed.
fn is_plain_text(header: &Header) -> bool {
    header.opcode == Opcode::Text && header.rsv == 0
}

const NOT_UTF8: Violation = Violation { code: close::INVALID_PAYLOAD, what: "text is not UTF-8" };

fn protocol(what: &'static str) -> Violation {
    Violation { code: close::PROTOCOL_ERROR, what }
}

/// RFC 6455 §5.5.
fn check_control(header: &Header) -> Result<(), Violation> {
    if !header.fin {
        return Err(protocol("fragmented control frame"));
    }
    if header.payload > MAX_CONTROL {
        return Err(protocol("control frame over 125 bytes"));
    }
    Ok(())
}

/// RFC 6455 §5.5.1: empty, or a legal code and a reason in UTF-8.
fn check_close(payload: &[u8]) -> Result<ClientClose, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() {
            Ok(ClientClose { code: None })
        } else {
            Err(protocol("close payload of one byte"))
        };
    };
    let code = u16::from_be_bytes(*code);
    if !close::is_legal(code) {
        return Err(protocol("illegal close code"));
    }
    if std::str::from_utf8(reason).is_err() { Err(NOT_UTF8) } else { Ok(ClientClose { code: Some(code) }) }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;

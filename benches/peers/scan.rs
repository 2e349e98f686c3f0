//! Turns a client's frames into a server's as they come, in pieces of any size.

/// Longest header of a client's frame.
const HEADER: usize = 14;

/// The bit of the second byte that says "masked".
const MASKED: u8 = 0x80;

/// Bytes of a mask.
const MASK: usize = 4;

const CLOSE: u8 = 0x8;

/// Where in a frame the stream stands.
#[derive(Default)]
pub(crate) struct Scanner {
    /// The beginning of a header that has not come whole.
    partial: Vec<u8>,
    /// Payload that is still to come.
    payload: u64,
    opcode: u8,
    closed: bool,
}

impl Scanner {
    /// A Close has been echoed whole: nothing follows.
    pub(crate) fn closed(&self) -> bool {
        self.closed
    }

    /// Appends the echo of `input` to `output`. The mask is all zeros, so the payload stands as it is.
    pub(crate) fn echo(&mut self, mut input: &[u8], output: &mut Vec<u8>) {
        while !input.is_empty() {
            if self.payload == 0 {
                input = self.header(input, output);
            }
            let take = usize::try_from(self.payload).unwrap().min(input.len());
            output.extend_from_slice(&input[..take]);
            input = &input[take..];
            self.payload -= take as u64;
            self.closed |= self.opcode == CLOSE && self.payload == 0 && self.partial.is_empty();
        }
    }

    /// Takes a header, or the part of it that is there; tells what follows.
    fn header<'input>(&mut self, input: &'input [u8], output: &mut Vec<u8>) -> &'input [u8] {
        if self.partial.is_empty() && input.len() >= HEADER {
            let length = self.begin(input, output);
            return &input[length..];
        }
        for (index, byte) in input.iter().enumerate() {
            self.partial.push(*byte);
            if self.partial.len() >= 2 && self.partial.len() == header_length(self.partial[1]) {
                let header = std::mem::take(&mut self.partial);
                self.begin(&header, output);
                return &input[index + 1..];
            }
        }
        &[]
    }

    /// Writes the server's header for the client's at the start of `header`; the length of the latter.
    fn begin(&mut self, header: &[u8], output: &mut Vec<u8>) -> usize {
        let length = header_length(header[1]);
        let bytes = &header[2..length - MASK];
        assert_eq!(header[length - MASK..length], [0; MASK], "the mask is all zeros");
        self.opcode = header[0] & 0x0f;
        self.payload = match header[1] & !MASKED {
            126 | 127 => bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
            short => u64::from(short),
        };
        output.extend_from_slice(&[header[0], header[1] & !MASKED]);
        output.extend_from_slice(bytes);
        length
    }
}

fn header_length(second: u8) -> usize {
    let extended = match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + extended + MASK
}

//! RFC 6455 frames as the tests see them, written apart from the code under test.

/// Opcodes (§11.8).
pub(crate) const TEXT: u8 = 1;
/// See [`TEXT`].
pub(crate) const BINARY: u8 = 2;
/// See [`TEXT`].
pub(crate) const CLOSE: u8 = 8;
/// See [`TEXT`].
pub(crate) const PING: u8 = 9;
/// See [`TEXT`].
pub(crate) const PONG: u8 = 10;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// FIN, RSV and opcode.
    pub(crate) first: u8,
    /// Unmasked.
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(first: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { first, payload: payload.into() }
    }

    pub(crate) fn text(payload: &str) -> Self {
        Self::new(FIN | TEXT, payload)
    }

    pub(crate) fn binary(payload: &[u8]) -> Self {
        Self::new(FIN | BINARY, payload)
    }

    pub(crate) fn ping(payload: &str) -> Self {
        Self::new(FIN | PING, payload)
    }

    pub(crate) fn pong(payload: &str) -> Self {
        Self::new(FIN | PONG, payload)
    }

    pub(crate) fn close(code: u16, reason: &str) -> Self {
        Self::new(FIN | CLOSE, [&code.to_be_bytes(), reason.as_bytes()].concat())
    }

    pub(crate) fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    /// Code and reason of a Close.
    pub(crate) fn closing(&self) -> (u16, String) {
        assert_eq!(self.opcode(), CLOSE, "not a Close: {self:?}");
        let (code, reason) = self.payload.split_first_chunk().expect("a Close with a code");
        (u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap())
    }

    /// As a server sends it.
    pub(crate) fn plain(&self) -> Vec<u8> {
        [self.header(0), self.payload.clone()].concat()
    }

    /// As a client sends it.
    pub(crate) fn masked(&self) -> Vec<u8> {
        [self.header(MASKED), KEY.to_vec(), apply(KEY, &self.payload)].concat()
    }

    /// The first frame of `bytes`, whether it was masked, and its length on the wire.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, bool, usize)> {
        let (&[first, second], mut rest) = bytes.split_first_chunk()?;
        let length = match second & !MASKED {
            126 => u64::from(u16::from_be_bytes(take(&mut rest)?)),
            127 => u64::from_be_bytes(take(&mut rest)?),
            short => u64::from(short),
        };
        let is_masked = second & MASKED != 0;
        let key = if is_masked { take(&mut rest)? } else { [0; 4] };
        let payload = rest.get(..usize::try_from(length).unwrap())?;
        let wire = bytes.len() - rest.len() + payload.len();
        Some((Self { first, payload: apply(key, payload) }, is_masked, wire))
    }

    fn header(&self, masked: u8) -> Vec<u8> {
        let mut header = vec![self.first];
        match self.payload.len() {
            length @ 0..126 => header.push(masked | u8::try_from(length).unwrap()),
            length @ 126..=0xffff => {
                header.push(masked | 126);
                header.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                header.push(masked | 127);
                header.extend((length as u64).to_be_bytes());
            }
        }
        header
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

fn apply(key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}

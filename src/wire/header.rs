//! The frame header of RFC 6455 §5.2. PURE.

/// Longest header: two bytes, eight of length, four of mask.
pub const MAX_HEADER: usize = 14;

/// Longest payload of a control frame (RFC 6455 §5.5).
pub const MAX_CONTROL: u64 = 125;

/// What a frame is for. Reserved opcodes keep their number: an extension may give them a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with a message (0).
    Continuation,
    /// Begins a text message (1).
    Text,
    /// Begins a binary message (2).
    Binary,
    /// 8
    Close,
    /// 9
    Ping,
    /// 10
    Pong,
    /// 3 to 7 and 11 to 15.
    Reserved(u8),
}

/// A frame header as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Last frame of its message.
    pub fin: bool,
    /// The three reserved bits, RSV1 highest: 0 to 7.
    pub rsv: u8,
    /// What the frame is for.
    pub opcode: Opcode,
    /// The masking key, if the payload is masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub payload: u64,
}

/// Why bytes are no frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The length's highest bit is set (§5.2).
    LengthTooLarge,
    /// The length could have been written in fewer bytes (§5.2).
    LengthNotMinimal,
}

impl Opcode {
    /// From the low four bits of the first byte.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        match bits & 0x0f {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => Self::Reserved(other),
        }
    }

    /// The four bits of the wire.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
            Self::Reserved(bits) => bits,
        }
    }

    /// Opcodes with the highest bit set are control frames (§5.5).
    #[must_use]
    pub fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}

impl Header {
    /// Reads the header at the start of `bytes` and says how long it is; none if it is not all there yet.
    ///
    /// # Errors
    /// The length field breaks §5.2.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let Some((payload, length_bytes)) = length(second & 0x7f, rest)? else { return Ok(None) };
        let masked = second & 0x80 != 0;
        let mask = if masked {
            let Some(key) = rest[length_bytes..].first_chunk::<4>() else { return Ok(None) };
            Some(*key)
        } else {
            None
        };
        let header =
            Self { fin: first & 0x80 != 0, rsv: first >> 4 & 0x7, opcode: Opcode::from_bits(first), mask, payload };
        Ok(Some((header, 2 + length_bytes + if masked { 4 } else { 0 })))
    }

    /// Appends the header in its shortest form.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode.bits());
        let masked = u8::from(self.mask.is_some()) << 7;
        match (u8::try_from(self.payload), u16::try_from(self.payload)) {
            (Ok(short @ 0..=125), _) => out.push(masked | short),
            (_, Ok(medium)) => {
                out.push(masked | 126);
                out.extend(medium.to_be_bytes());
            }
            (_, Err(_)) => {
                out.push(masked | 127);
                out.extend(self.payload.to_be_bytes());
            }
        }
        if let Some(key) = self.mask {
            out.extend(key);
        }
    }
}

/// The payload length and how many bytes of `rest` told it.
fn length(seven_bits: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    match seven_bits {
        126 => {
            let Some(field) = rest.first_chunk::<2>() else { return Ok(None) };
            let length = u64::from(u16::from_be_bytes(*field));
            if length < 126 { Err(Malformed::LengthNotMinimal) } else { Ok(Some((length, 2))) }
        }
        127 => {
            let Some(field) = rest.first_chunk::<8>() else { return Ok(None) };
            let length = u64::from_be_bytes(*field);
            if length >> 63 != 0 {
                return Err(Malformed::LengthTooLarge);
            }
            if u16::try_from(length).is_ok() { Err(Malformed::LengthNotMinimal) } else { Ok(Some((length, 8))) }
        }
        short => Ok(Some((u64::from(short), 0))),
    }
}

/// Masks or unmasks `payload`, whose first byte is number `offset` of its frame (RFC 6455 §5.3).
pub fn apply_mask(payload: &mut [u8], key: [u8; 4], offset: u64) {
    for (byte, index) in payload.iter_mut().zip(offset..) {
        *byte ^= key[(index % 4) as usize];
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers() -> impl Strategy<Value = Header> {
        let lengths = prop_oneof![0u64..130, 65_500u64..65_600, 1u64 << 40..1 << 62];
        (any::<bool>(), 0u8..8, 0u8..16, any::<Option<[u8; 4]>>(), lengths).prop_map(
            |(fin, rsv, opcode, mask, payload)| Header { fin, rsv, opcode: Opcode::from_bits(opcode), mask, payload },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_no_part_of_it_is_enough(header in headers()) {
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            prop_assert!(bytes.len() <= MAX_HEADER);
            prop_assert_eq!(Header::parse(&bytes), Ok(Some((header, bytes.len()))));
            for end in 0..bytes.len() {
                prop_assert_eq!(Header::parse(&bytes[..end]), Ok(None));
            }
        }
    }

    #[test]
    fn a_length_that_wastes_bytes_is_malformed() {
        assert_eq!(Header::parse(&[0x81, 126, 0, 125]), Err(Malformed::LengthNotMinimal));
        assert_eq!(Header::parse(&[0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), Err(Malformed::LengthNotMinimal));
    }

    #[test]
    fn a_length_with_its_highest_bit_set_is_malformed() {
        assert_eq!(Header::parse(&[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(Malformed::LengthTooLarge));
    }

    #[test]
    fn masking_in_pieces_is_masking_as_a_whole() {
        let key = [1, 2, 3, 4];
        let (mut whole, mut pieces) = (*b"abcdefghijk", *b"abcdefghijk");
        apply_mask(&mut whole, key, 0);
        apply_mask(&mut pieces[..3], key, 0);
        apply_mask(&mut pieces[3..], key, 3);
        assert_eq!(whole, pieces);
    }
}

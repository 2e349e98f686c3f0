//! RFC 6455 frames as bytes, and nothing else: no sockets, no sessions, no clock.
//!
//! `header` reads and writes the 2 to 14 bytes before a payload; `scan` walks a client's byte stream while it is
//! held; `boundary` follows a stream that merely passes; `close` knows the codes and makes control frames; `utf8` checks text that comes in pieces.

pub mod boundary;
pub mod close;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod header;
pub mod scan;
mod utf8;

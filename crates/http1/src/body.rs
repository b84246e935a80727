//! Where a body ends, and which of its bytes are payload (RFC 9112 §6).
//!
//! Laws:
//! 1. Every byte that is reported as consumed has been validated and belongs to the message; no byte beyond is touched.
//! 2. What is reported in sum does not depend on how the bytes were split.
//! 3. State is bounded; nothing is buffered.

use std::ops::Range;

use crate::chunked::{Chunked, Kind, Names};
use crate::{BodyError, Framing, Limits, Reason};

/// Reads one body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyReader(Mode);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    Length(u64),
    Chunked(Chunked),
    /// Bytes that may still come.
    UntilClose(u64),
    Closed,
}

/// What the front of a buffer is: framing, then payload or trailers; each may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyStep {
    /// Bytes of the buffer that belong to the message and were read by this step.
    pub consumed: usize,
    /// The payload among them.
    pub data: Range<usize>,
    /// The bytes among them that belong to the trailer section, with its line ends and the final empty line.
    pub trailers: Range<usize>,
    /// The message has ended.
    pub done: bool,
}

/// What a whole buffer is, for passing it on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyProgress {
    /// Bytes of the buffer that belong to the message.
    pub consumed: usize,
    /// Payload bytes among them.
    pub payload: u64,
    /// The message has ended; bytes beyond `consumed` are not part of it.
    pub done: bool,
}

impl BodyReader {
    /// A reader for a body of this framing; that of a message is made by its head. A declared length was checked against
    /// the limits with the head.
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        Self(match framing {
            Framing::None => Mode::Length(0),
            Framing::Length(length) => Mode::Length(length),
            Framing::Chunked => Mode::Chunked(Chunked::new(limits)),
            Framing::UntilClose => Mode::UntilClose(limits.max_body),
        })
    }

    /// The same for a message whose Connection names these.
    pub(crate) fn naming(self, named: Names) -> Self {
        match self.0 {
            Mode::Chunked(chunked) => Self(Mode::Chunked(chunked.naming(named))),
            _ => self,
        }
    }

    /// Whether the message has ended.
    pub fn is_done(&self) -> bool {
        match &self.0 {
            Mode::Length(left) => *left == 0,
            Mode::Chunked(chunked) => chunked.is_done(),
            Mode::UntilClose(_) => false,
            Mode::Closed => true,
        }
    }

    /// Reads the next piece of `buf`: at most one run of payload. Call again with the rest until it is empty or the
    /// message is done. After an error the reader is of no more use.
    pub fn read(&mut self, buf: &[u8]) -> Result<BodyStep, BodyError> {
        let plain = |len: usize, done: bool| BodyStep { consumed: len, data: 0..len, trailers: 0..0, done };
        match &mut self.0 {
            Mode::Length(left) => {
                let len = usize::try_from(*left).map_or(buf.len(), |left| left.min(buf.len()));
                *left -= len as u64;
                Ok(plain(len, *left == 0))
            }
            Mode::UntilClose(room) => {
                *room = room.checked_sub(buf.len() as u64).ok_or(BodyError(Reason::BodyTooLarge))?;
                Ok(plain(buf.len(), false))
            }
            Mode::Closed => Ok(plain(0, true)),
            Mode::Chunked(chunked) => {
                let piece = chunked.read(buf).map_err(BodyError)?;
                let (data, trailers) = match piece.kind {
                    Kind::Data => (piece.start..piece.end, 0..0),
                    Kind::Trailers => (0..0, piece.start..piece.end),
                };
                Ok(BodyStep { consumed: piece.end, data, trailers, done: chunked.is_done() })
            }
        }
    }

    /// Reads as much of `buf` as belongs to the message, to pass it on as it is.
    pub fn advance(&mut self, buf: &[u8]) -> Result<BodyProgress, BodyError> {
        let mut progress = BodyProgress { consumed: 0, payload: 0, done: self.is_done() };
        while !progress.done && progress.consumed < buf.len() {
            let step = self.read(&buf[progress.consumed..])?;
            progress.consumed += step.consumed;
            progress.payload += step.data.len() as u64;
            progress.done = step.done;
        }
        Ok(progress)
    }

    /// The connection ended: fine where that ends the body or the body had ended, else [`Reason::Truncated`].
    pub fn eof(&mut self) -> Result<(), BodyError> {
        if let Mode::UntilClose(_) = self.0 {
            self.0 = Mode::Closed;
        }
        if self.is_done() { Ok(()) } else { Err(BodyError(Reason::Truncated)) }
    }
}

/// What ends a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes the line in front of a chunk of `len` bytes, whose data CRLF follows. Nothing for `len` 0, which would end
/// the body.
pub fn write_chunk_head(out: &mut Vec<u8>, len: usize) {
    if len == 0 {
        return;
    }
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(len >> (4 * digit)) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(framing: Framing) -> BodyReader {
        BodyReader::new(framing, &Limits::RESPONSE)
    }

    #[test]
    fn a_length_ends_where_it_says_and_leaves_the_rest() {
        let mut body = reader(Framing::Length(5));
        let step = body.read(b"abc").unwrap();
        assert_eq!((step.consumed, step.data, step.done), (3, 0..3, false));
        assert_eq!(body.eof(), Err(BodyError(Reason::Truncated)));
        let progress = body.advance(b"deGET").unwrap();
        assert_eq!((progress.consumed, progress.payload, progress.done), (2, 2, true));
        assert_eq!(body.eof(), Ok(()));
    }

    #[test]
    fn no_body_is_done_at_once() {
        for framing in [Framing::None, Framing::Length(0)] {
            let mut body = reader(framing);
            assert!(body.is_done());
            assert_eq!(body.advance(b"GET").unwrap(), BodyProgress { consumed: 0, payload: 0, done: true });
        }
    }

    #[test]
    fn a_body_until_close_takes_all_and_ends_with_the_connection() {
        let mut body = BodyReader::new(Framing::UntilClose, &Limits { max_body: 4, ..Limits::RESPONSE });
        assert_eq!(body.advance(b"abc").unwrap(), BodyProgress { consumed: 3, payload: 3, done: false });
        assert_eq!(body.clone().advance(b"de"), Err(BodyError(Reason::BodyTooLarge)));
        assert_eq!(body.eof(), Ok(()));
        assert!(body.is_done());
    }

    #[test]
    fn chunks_that_are_written_are_read_back() {
        for len in [1usize, 15, 16, 255, 4096, 65_537] {
            let mut wire = Vec::new();
            write_chunk_head(&mut wire, len);
            wire.resize(wire.len() + len, b'x');
            wire.extend_from_slice(b"\r\n");
            wire.extend_from_slice(LAST_CHUNK);
            let progress = reader(Framing::Chunked).advance(&wire).unwrap();
            assert_eq!(progress, BodyProgress { consumed: wire.len(), payload: len as u64, done: true });
        }
        let mut none = Vec::new();
        write_chunk_head(&mut none, 0);
        assert!(none.is_empty());
    }
}

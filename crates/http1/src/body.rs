//! Where a body ends, and which of its bytes are payload.
//!
//! Laws:
//! 1. Every byte that is reported as consumed has been validated and belongs to the message; no byte beyond is touched.
//! 2. The sum of what is reported does not depend on how the bytes were split.
//! 3. State is bounded; nothing is buffered.

use std::ops::Range;

use crate::{BodyError, Framing, Limits, Reason};

/// Reads one body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyReader {
    left: u64,
    framing: Framing,
}

/// What the front of a buffer is, up to the first change of kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyStep {
    /// Bytes of the buffer that belong to the message and were read by this step.
    pub consumed: usize,
    /// The payload among them (may be empty: framing only).
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
    /// A reader for a body of this framing.
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        let _ = limits;
        Self { left: 0, framing }
    }

    /// Whether the message has ended.
    pub fn is_done(&self) -> bool {
        match self.framing {
            Framing::None => true,
            Framing::Length(_) => self.left == 0,
            _ => false,
        }
    }

    /// Reads the next piece of `buf`. Call again with the rest while it is not empty and `done` is false.
    pub fn read(&mut self, buf: &[u8]) -> Result<BodyStep, BodyError> {
        Ok(BodyStep { consumed: 0, data: 0..0, trailers: 0..0, done: self.is_done() })
    }

    /// Reads as much of `buf` as belongs to the message, to pass it on as it is.
    pub fn advance(&mut self, buf: &[u8]) -> Result<BodyProgress, BodyError> {
        let step = self.read(buf)?;
        Ok(BodyProgress { consumed: step.consumed, payload: 0, done: step.done })
    }

    /// The connection ended: fine where that ends the body or the body had ended, else [`Reason::Truncated`].
    pub fn eof(&mut self) -> Result<(), BodyError> {
        if self.is_done() || self.framing == Framing::UntilClose {
            Ok(())
        } else {
            Err(BodyError(Reason::Truncated))
        }
    }
}

/// Writes the line in front of a chunk of `len` bytes; CRLF follows the data. `len` 0 would end the body.
pub fn write_chunk_head(out: &mut Vec<u8>, len: usize) {
    let _ = (out, len);
}

/// What ends a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

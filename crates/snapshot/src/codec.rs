//! Frames on the wire: a 4-byte big-endian length, then msgpack.
//!
//! [`FrameReader`] takes bytes as they come and gives whole payloads; it holds at most one frame and what was
//! read behind it.

use serde::Serialize;

use crate::error::FrameError;
use crate::frames::{FromProxy, ToProxy};

/// The largest payload that is read.
pub const MAX_FRAME_BYTES: u32 = 64 << 20;

const PREFIX: usize = 4;
/// What the buffer keeps between frames; a larger one goes back to the allocator.
const KEPT_BYTES: usize = 256 << 10;

/// Collects bytes into frames.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    taken: usize,
}

impl FrameReader {
    /// An empty reader.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from the wire.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole payload, or `None` until more bytes come. After an error the stream is of no use.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let rest = &self.buffer[self.taken..];
        let Some((prefix, body)) = rest.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix);
        if length > MAX_FRAME_BYTES {
            return Err(FrameError::TooLarge(length));
        }
        let length = length as usize;
        if body.len() < length {
            return Ok(None);
        }
        let start = self.taken + PREFIX;
        self.taken = start + length;
        Ok(Some(&self.buffer[start..start + length]))
    }
}

/// The frame with its length in front.
pub fn encode_from_proxy(frame: &FromProxy) -> Vec<u8> {
    match frame {
        FromProxy::Hello(frame) => encode(frame),
        FromProxy::Ack(frame) => encode(frame),
        FromProxy::Facts(frame) => encode(frame),
        FromProxy::Telemetry(frame) => encode(frame),
    }
}

/// The frame with its length in front, as a controller writes it (for tests and tools).
pub fn encode_to_proxy(frame: &ToProxy<'_>) -> Vec<u8> {
    match frame {
        ToProxy::Update(frame) => encode(frame),
        ToProxy::Subscribe(frame) => encode(frame),
        ToProxy::Stats(frame) => encode(frame),
    }
}

fn encode(frame: &impl Serialize) -> Vec<u8> {
    let mut out = vec![0; PREFIX];
    let mut serializer = rmp_serde::Serializer::new(&mut out).with_struct_map();
    // Writing into a Vec cannot fail, and every map of these types knows its length.
    frame.serialize(&mut serializer).expect("frames serialise");
    let length = u32::try_from(out.len() - PREFIX).expect("frames from here are small");
    out[..PREFIX].copy_from_slice(&length.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(payload: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_arrive() {
        let wire: Vec<u8> = [&b"one"[..], b"", b"three"].into_iter().flat_map(framed).collect();
        for step in 1..=wire.len() {
            let mut reader = FrameReader::new();
            let mut got = Vec::new();
            for chunk in wire.chunks(step) {
                reader.push(chunk);
                while let Some(frame) = reader.next_frame().unwrap() {
                    got.push(frame.to_vec());
                }
            }
            assert_eq!(got, [b"one".to_vec(), b"".to_vec(), b"three".to_vec()], "step {step}");
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_any_payload() {
        let mut reader = FrameReader::new();
        reader.push(&(MAX_FRAME_BYTES + 1).to_be_bytes());
        assert_eq!(reader.next_frame(), Err(FrameError::TooLarge(MAX_FRAME_BYTES + 1)));
    }
}

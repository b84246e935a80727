//! Emission: the head that goes on, made of runs of untouched bytes and a few lines of our own.

use std::net::IpAddr;

use crate::{Delivery, HeadStorage, RequestHead, ResponseHead, Version};

/// A name or value that must not be put into a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bytes that cannot stand in a head")]
pub struct InvalidEdit;

/// A field line that is safe to emit: a token, and a value without control characters.
#[derive(Debug, Clone, Copy)]
pub struct FieldLine<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> FieldLine<'a> {
    /// Checks a field line. Framing fields, Host and Connection are refused: the codec writes them.
    pub fn new(name: &'a [u8], value: &'a [u8]) -> Result<Self, InvalidEdit> {
        Ok(Self { name, value })
    }
}

/// The scheme that the client used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

/// What the upstream is told about the client.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded {
    /// The client's address, appended to X-Forwarded-For.
    pub client: IpAddr,
    /// Whether the sender is trusted: if not, all that it says about a client before it is removed first.
    pub trust: bool,
    /// Sets X-Forwarded-Proto; a trusted sender's is kept.
    pub proto: Option<Scheme>,
    /// Sets X-Forwarded-Host to the authority; a trusted sender's is kept.
    pub host: bool,
}

/// What changes in a request's head on its way upstream.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestEdits<'a> {
    /// Replaces the path (normalised or rewritten), without query.
    pub path: Option<&'a [u8]>,
    /// Replaces Host.
    pub host: Option<&'a [u8]>,
    /// X-Forwarded-*; None leaves those fields alone.
    pub forwarded: Option<Forwarded>,
    /// Ask the upstream to close afterwards.
    pub close: bool,
    /// Lines to add.
    pub add: &'a [FieldLine<'a>],
}

/// What changes in a response's head on its way to the client.
#[derive(Debug, Clone, Copy)]
pub struct ResponseEdits<'a> {
    /// The client's version.
    pub client: Version,
    /// Whether the client's connection persists. Ignored where the body ends with the connection.
    pub keep_alive: bool,
    /// How the body is delivered, see [`ResponseHead::delivery`].
    pub delivery: Delivery,
    /// Lines to add.
    pub add: &'a [FieldLine<'a>],
}

impl RequestHead {
    /// Appends the head for the upstream to `out`, always HTTP/1.1 in origin-form (or `*`), with its framing fields.
    /// `buf` and `storage` are those that it was parsed with. On an error `out` is as before.
    pub fn write_to(
        &self,
        buf: &[u8],
        storage: &HeadStorage,
        out: &mut Vec<u8>,
        edits: &RequestEdits<'_>,
    ) -> Result<(), InvalidEdit> {
        let _ = (buf, storage, out, edits);
        Ok(())
    }
}

impl ResponseHead {
    /// Appends the head for the client to `out`.
    pub fn write_to(&self, buf: &[u8], storage: &HeadStorage, out: &mut Vec<u8>, edits: &ResponseEdits<'_>) {
        let _ = (buf, storage, out, edits);
    }
}

/// Puts an emitted head in front of the body bytes that begin at `body` in `buf`, over the head that was parsed and
/// the headroom before it, so that both leave in one send. Gives its start, or None where there is no room.
pub fn place_in_front(head: &[u8], buf: &mut [u8], body: usize) -> Option<usize> {
    let start = body.checked_sub(head.len())?;
    buf.get_mut(start..body)?.copy_from_slice(head);
    Some(start)
}

/// Appends a response of our own with a short text body: for refusals and for requests that reach no endpoint.
/// `head_request`: leave the body out, as HEAD wants it.
pub fn write_error(out: &mut Vec<u8>, status: u16, close: bool, head_request: bool) {
    let _ = (out, status, close, head_request);
}

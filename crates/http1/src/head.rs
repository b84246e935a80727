//! What requests' and responses' heads have in common: spans, classified fields, and their reusable storage.
//!
//! Laws:
//! 1. A span is an offset into the slice that was parsed; it is of use only with that slice.
//! 2. Field lines lie in the slice one after the other, so neighbours that stay are copied as one run.
//! 3. A [`HeadStorage`] belongs to a worker, not to a connection: it is filled by a parse, read until the head is
//!    emitted, and keeps its capacity, so that no message allocates in the long run.

/// Bytes `start..end` of the slice that was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes, or none where `buf` is not the slice that was parsed.
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Bytes in the span.
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// HTTP/1.0 or HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// No chunks, no 1xx, no Upgrade; closes unless `Connection: keep-alive`.
    Http10,
    /// Persistent unless `Connection: close`.
    Http11,
}

/// How a message's body ends (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes follow the head.
    Length(u64),
    /// Chunks follow the head.
    Chunked,
    /// All bytes until the connection ends; responses only.
    UntilClose,
}

/// What a field is to a proxy. Everything that it need not know is [`EndToEnd`](Self::EndToEnd).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldKind {
    /// Passed on untouched.
    EndToEnd,
    /// `Host`.
    Host,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Connection`.
    Connection,
    /// `Upgrade`: passed on only with a request that asks for it properly and with 101 or 426.
    Upgrade,
    /// `Expect`.
    Expect,
    /// `Trailer`: passed on unless the body is decoded.
    Trailer,
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `X-Forwarded-Proto`.
    XForwardedProto,
    /// `X-Forwarded-Host`.
    XForwardedHost,
    /// Other fields in which a hop tells about the client: `Forwarded`, `X-Forwarded-*`, `X-Real-Ip`, `X-Envoy-*`.
    Forwarding,
    /// Other hop-by-hop fields, and those that Connection names (RFC 9110 §7.6.1).
    HopByHop,
}

/// A field line of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name as sent.
    pub name: Span,
    /// The value without blanks around it.
    pub value: Span,
    /// What it is.
    pub kind: FieldKind,
}

/// Reusable storage for the fields of one head.
#[derive(Debug, Default)]
pub struct HeadStorage {
    pub(crate) fields: Vec<Field>,
}

impl HeadStorage {
    /// Empty storage; it grows with the first heads and then stays.
    pub fn new() -> Self {
        Self::default()
    }

    /// The fields of the head parsed last, in their order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The values of all fields called `name` (in any case), in their order.
    pub fn values<'a>(&'a self, buf: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.fields
            .iter()
            .filter(move |field| {
                field.name.len() == name.len() && field.name.of(buf).eq_ignore_ascii_case(name)
            })
            .map(move |field| field.value.of(buf))
    }

    /// The first value of a field called `name` (in any case).
    pub fn value<'a>(&'a self, buf: &'a [u8], name: &'a [u8]) -> Option<&'a [u8]> {
        self.values(buf, name).next()
    }
}

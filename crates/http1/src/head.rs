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

#[cfg(test)]
mod tests {
    use crate::{
        HeadCursor, HeadStorage, Limits, RequestContext, RequestEdits, RequestHead, ResponseEdits,
        ResponseHead, Version,
    };

    #[test]
    fn the_same_storage_serves_message_after_message_without_growth() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nConnection: keep-alive\r\n\r\n";
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nC: 3\r\n\r\n";
        let (mut storage, mut out) = (HeadStorage::new(), Vec::new());
        let mut capacities = Vec::new();
        for _ in 0..3 {
            out.clear();
            let mut cursor = HeadCursor::default();
            let head =
                RequestHead::parse(request, &mut cursor, &mut storage, &Limits::REQUEST).unwrap().unwrap();
            head.write_to(request, &storage, &mut out, &RequestEdits::default()).unwrap();
            assert_eq!(storage.fields().len(), 4);
            assert_eq!(storage.value(request, b"b"), Some(&b"2"[..]));
            out.clear();
            let context = RequestContext::of(&head);
            let head = ResponseHead::parse(answer, &mut cursor, &mut storage, context, &Limits::RESPONSE);
            let head = head.unwrap().unwrap();
            let delivery = head.delivery(Version::Http11);
            let edits = ResponseEdits { client: Version::Http11, keep_alive: true, delivery, add: &[] };
            head.write_to(answer, &storage, &mut out, &edits);
            assert_eq!(storage.fields().len(), 2);
            capacities.push((storage.fields.capacity(), out.capacity()));
        }
        assert_eq!(capacities[1], capacities[0]);
        assert_eq!(capacities[2], capacities[0]);
    }

    #[test]
    fn values_come_in_the_order_of_the_head_whatever_their_case() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nx-a: 1\r\nX-A:2\r\nX-a: \r\nx-ab: 3\r\n\r\n";
        let mut storage = HeadStorage::new();
        RequestHead::parse(request, &mut HeadCursor::default(), &mut storage, &Limits::REQUEST)
            .unwrap()
            .unwrap();
        let values: Vec<_> = storage.values(request, b"X-A").collect();
        assert_eq!(values, [&b"1"[..], b"2", b""]);
        assert_eq!(storage.value(request, b"missing"), None);
    }
}

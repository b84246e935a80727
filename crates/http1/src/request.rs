//! The head of a request (RFC 9112 §3).

use crate::chunked::Names;
use crate::field::{self, Facts};
use crate::head::{Framing, HeadStorage, Span, Version};
use crate::scan::{HeadCursor, Role};
use crate::target::{self, host_len};
use crate::{BodyReader, Limits, MAX_FIELDS, Reason, RequestError, lanes, table};

/// Longer than any registered method.
const MAX_METHOD: usize = 24;

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
    fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }

    /// Whether a request may be repeated after it was sent (GET, HEAD, OPTIONS, PUT, DELETE; RFC 9110 §9.2.2).
    /// TRACE is idempotent too, but nobody needs it repeated.
    pub const fn is_repeatable(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Put | Self::Delete)
    }
}

/// A request's head. Spans refer to the slice that was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, not states")]
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
    pub(crate) named: Names,
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
        // Nearly all heads are good and come whole: then one pass will do. What it refuses, and what is not whole,
        // goes to the scan, which alone says why, and whose word does not depend on the packets.
        if cursor.is_new()
            && let Ok(head) = Self::read(&buf[..buf.len().min(limits.max_head)], storage, limits)
        {
            return Ok(Some(head));
        }
        match cursor.advance(buf, Role::Request, limits) {
            Ok(None) => Ok(None),
            Ok(Some(end)) => Self::read(&buf[..end], storage, limits).map(Some).map_err(RequestError),
            Err(reason) => Err(RequestError(reason)),
        }
    }

    /// Reads the head at the start of `buf`. The reasons given are right where the scan has passed it.
    fn read(buf: &[u8], storage: &mut HeadStorage, limits: &Limits) -> Result<Self, Reason> {
        let start = Role::Request.first_line(buf);
        let line = RequestLine::read(buf, start).ok_or_else(|| explain(&buf[start..]))?;
        let (name, target, version) = (line.method.of(buf), line.target, line.version);
        check_method(name)?;
        if target.len() > limits.max_target {
            return Err(Reason::TargetTooLong);
        }
        let method = Method::of(name);
        let parts = target::parse(target.of(buf), target.start as usize, method)?;
        let most = limits.max_fields.min(MAX_FIELDS);
        let (facts, end) = field::read_fields(buf, line.end, storage, Role::Request, version, most)?;

        if facts.host.is_none() && version == Version::Http11 {
            return Err(Reason::MissingHost);
        }
        let mut authority = None;
        let mut host_end = 0;
        // Both are checked, and that of the target counts (RFC 9112 §3.2.2).
        for span in facts.host.into_iter().chain(parts.authority) {
            let len = host_len(span.of(buf)).ok_or(Reason::InvalidHost)?;
            (authority, host_end) = (Some(span), span.start + len as u32);
        }

        let framing = framing(&facts, limits)?;
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        if has_body && has_no_body(name) {
            return Err(Reason::UnexpectedBody);
        }
        Ok(Self {
            method,
            version,
            framing,
            keep_alive: facts.persists(version),
            expect_continue: facts.expect_continue && has_body,
            upgrade: facts.upgrade() && version == Version::Http11 && !has_body,
            len: end,
            method_name: line.method,
            target,
            path: parts.path,
            query: parts.query,
            authority,
            host_end,
            absolute: parts.authority.is_some(),
            named: facts.named,
        })
    }

    /// Whether the upstream's connection must end with this request: a body on a method for which RFC 9110 (§9.3.5,
    /// §9.3.7) gives it no general meaning. It is forwarded, since interfaces rely on it (Kubernetes deletes with
    /// options in the body), but an upstream that leaves it unread must not find it in front of a next request.
    pub fn is_last(&self) -> bool {
        matches!(self.method, Method::Delete | Method::Options)
            && !matches!(self.framing, Framing::None | Framing::Length(0))
    }

    /// A reader for the body, which refuses trailers that Connection names (RFC 9110 §7.6.1).
    pub fn body(&self, limits: &Limits) -> BodyReader {
        BodyReader::new(self.framing, limits).naming(self.named)
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
        if self.path.is_empty() {
            // An absolute-form target without path (RFC 9112 §3.2.1, §3.2.4).
            return if self.method == Method::Options && self.query.is_none() { b"*" } else { b"/" };
        }
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

/// The methods whose body is refused. The name counts in any case: who reads `get` as GET must not be misled either.
fn has_no_body(name: &[u8]) -> bool {
    [&b"GET"[..], b"HEAD", b"TRACE"].iter().any(|method| name.eq_ignore_ascii_case(method))
}

fn framing(facts: &Facts, limits: &Limits) -> Result<Framing, Reason> {
    match facts.length {
        _ if facts.chunked => Ok(Framing::Chunked),
        Some(length) if length > limits.max_body => Err(Reason::BodyTooLarge),
        Some(length) => Ok(Framing::Length(length)),
        None => Ok(Framing::None),
    }
}

/// `method SP target SP version CRLF`, each blank one byte (RFC 9112 §3).
struct RequestLine {
    method: Span,
    target: Span,
    version: Version,
    /// Where the next line begins.
    end: usize,
}

impl RequestLine {
    /// The line that begins at `start`; None where it is not complete or not sound.
    fn read(buf: &[u8], start: usize) -> Option<Self> {
        let method_end = start + buf[start..].iter().position(|&byte| !table::is_token(byte))?;
        let target_start = method_end + 1;
        let target_end = lanes::target_end(buf, target_start);
        let version = match buf.get(target_end..target_end + VERSION_END)? {
            b" HTTP/1.1\r\n" => Version::Http11,
            b" HTTP/1.0\r\n" => Version::Http10,
            _ => return None,
        };
        let sound = method_end > start && buf[method_end] == b' ' && target_end > target_start;
        sound.then(|| Self {
            method: Span::new(start, method_end),
            target: Span::new(target_start, target_end),
            version,
            end: target_end + VERSION_END,
        })
    }
}

/// Bytes of ` HTTP/1.1` with the end of its line.
const VERSION_END: usize = 11;

fn check_method(name: &[u8]) -> Result<(), Reason> {
    match name {
        b"CONNECT" => Err(Reason::ConnectRefused),
        b"PRI" => Err(Reason::ReservedMethod),
        _ if name.len() > MAX_METHOD => Err(Reason::MethodTooLong),
        _ => Ok(()),
    }
}

/// Names what is wrong with the request line that begins `head`.
#[cold]
fn explain(head: &[u8]) -> Reason {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Reason::InvalidRequestLine;
    };
    // A target outside Unicode is no text at all.
    if !table::all_token(method) || target.is_empty() || std::str::from_utf8(target).is_err() {
        return Reason::InvalidRequestLine;
    }
    if !matches!(version, b"HTTP/1.1" | b"HTTP/1.0") {
        return explain_version(version);
    }
    check_method(method).err().unwrap_or(Reason::InvalidTarget)
}

/// What is wrong with a version that is not supported.
pub(crate) fn explain_version(version: &[u8]) -> Reason {
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Reason::UnsupportedVersion
        }
        _ => Reason::InvalidVersion,
    }
}

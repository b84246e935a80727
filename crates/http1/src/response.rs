//! The head of a response (RFC 9112 §4) and how its body is framed (§6.3).

use crate::chunked::Names;
use crate::field::{self, Facts};
use crate::head::{Framing, HeadStorage, Span, Version};
use crate::request::{Method, RequestHead, explain_version};
use crate::scan::{HeadCursor, Role};
use crate::{BodyReader, Limits, MAX_FIELDS, Reason, ResponseError, lanes};

/// What must be known of the request to understand its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestContext {
    /// The request's method: a response to HEAD has no body.
    pub method: Method,
    /// Whether the request, as sent upstream, asks to switch protocols: else 101 is refused.
    pub upgrade: bool,
    /// Interim responses to this request so far.
    pub interim: u8,
}

impl RequestContext {
    /// The context of a request's first response.
    pub const fn of(request: &RequestHead) -> Self {
        Self { method: request.method, upgrade: request.upgrade, interim: 0 }
    }
}

/// A response's head. Spans refer to the slice that was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 599.
    pub status: u16,
    /// The version that the upstream speaks.
    pub version: Version,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the connection may be used again once the body is read to its end and no byte is left over.
    pub keep_alive: bool,
    /// Bytes of the head in the slice.
    pub len: usize,
    pub(crate) reason: Span,
    pub(crate) named: Names,
}

impl ResponseHead {
    /// Parses the head at the start of `buf`; `Ok(None)` as in [`RequestHead::parse`].
    pub fn parse(
        buf: &[u8],
        cursor: &mut HeadCursor,
        storage: &mut HeadStorage,
        request: RequestContext,
        limits: &Limits,
    ) -> Result<Option<Self>, ResponseError> {
        // As with requests: the scan is for heads that are broken or come in pieces.
        if cursor.is_new()
            && let Ok(head) = Self::read(&buf[..buf.len().min(limits.max_head)], storage, request, limits)
        {
            return Ok(Some(head));
        }
        match cursor.advance(buf, Role::Response, limits) {
            Ok(None) => Ok(None),
            Ok(Some(end)) => {
                Self::read(&buf[..end], storage, request, limits).map(Some).map_err(ResponseError)
            }
            Err(reason) => Err(ResponseError(reason)),
        }
    }

    /// Reads the head at the start of `buf`. The reasons given are right where the scan has passed it.
    fn read(
        buf: &[u8],
        storage: &mut HeadStorage,
        request: RequestContext,
        limits: &Limits,
    ) -> Result<Self, Reason> {
        let StatusLine { version, status, reason, end } =
            StatusLine::read(buf).ok_or_else(|| explain(buf))?;
        if !(100..=599).contains(&status) {
            return Err(Reason::InvalidStatus);
        }
        if status < 200 && status != 101 && request.interim >= limits.max_interim {
            return Err(Reason::TooManyInterim);
        }
        let most = limits.max_fields.min(MAX_FIELDS);
        let (facts, end) = field::read_fields(buf, end, storage, Role::Response, version, most)?;
        // Without a body by definition: an announced one has been sent for somebody else to read (RFC 9112 §6.1).
        if (status < 200 || status == 204) && (facts.chunked || facts.length.is_some_and(|length| length > 0))
        {
            return Err(Reason::BodyNotAllowed);
        }
        let switches = facts.upgrade() && version == Version::Http11 && request.upgrade;
        if status == 101 && !switches {
            return Err(Reason::UnexpectedUpgrade);
        }
        let to_head = request.method == Method::Head;
        let framing = framing(status, to_head, &facts, limits)?;
        Ok(Self {
            status,
            version,
            framing,
            keep_alive: framing != Framing::UntilClose && status != 101 && facts.persists(version),
            len: end,
            reason,
            named: facts.named,
        })
    }

    /// A reader for the body, which refuses trailers that Connection names (RFC 9110 §7.6.1).
    pub fn body(&self, limits: &Limits) -> BodyReader {
        BodyReader::new(self.framing, limits).naming(self.named)
    }

    /// 1xx other than 101: another response follows. It is passed on to HTTP/1.1 clients only (RFC 9110 §15.2).
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// 101: what follows the head is the tunnel.
    pub const fn is_switch(&self) -> bool {
        self.status == 101
    }

    /// The reason phrase as sent; may be empty.
    pub fn reason_phrase<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        self.reason.of(buf)
    }

    /// How the body has to reach a client of this version; the least work that is correct.
    pub const fn delivery(&self, client: Version) -> Delivery {
        match (self.framing, client) {
            (Framing::Chunked, Version::Http10) => Delivery::Decode,
            (Framing::UntilClose, Version::Http11) => Delivery::Encode,
            _ => Delivery::AsIs,
        }
    }

    /// Whether the client's connection can persist after this response, delivered so.
    pub const fn ends_without_close(&self, delivery: Delivery) -> bool {
        match delivery {
            Delivery::AsIs => !matches!(self.framing, Framing::UntilClose),
            Delivery::Decode => false,
            Delivery::Encode => true,
        }
    }
}

/// How a response's body reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The bytes that came, with their framing.
    AsIs,
    /// Chunks are decoded, and the end is the end of the connection.
    Decode,
    /// Bytes until close become chunks, see [`write_chunk_head`](crate::write_chunk_head).
    Encode,
}

/// RFC 9112 §6.3. A 304 and a response to HEAD may announce the body that they do not have.
fn framing(status: u16, to_head: bool, facts: &Facts, limits: &Limits) -> Result<Framing, Reason> {
    match facts.length {
        _ if to_head || status < 200 || matches!(status, 204 | 304) => Ok(Framing::None),
        _ if facts.chunked => Ok(Framing::Chunked),
        Some(length) if length > limits.max_body => Err(Reason::BodyTooLarge),
        Some(length) => Ok(Framing::Length(length)),
        None => Ok(Framing::UntilClose),
    }
}

/// `version SP 3DIGIT [SP reason] CRLF` (RFC 9112 §4). The blank behind the status may be missing, as it often is.
struct StatusLine {
    version: Version,
    status: u16,
    reason: Span,
    /// Where the next line begins.
    end: usize,
}

impl StatusLine {
    /// The line at the start of `buf`; None where it is not complete or not sound.
    fn read(buf: &[u8]) -> Option<Self> {
        let version = match buf.first_chunk::<9>()? {
            b"HTTP/1.1 " => Version::Http11,
            b"HTTP/1.0 " => Version::Http10,
            _ => return None,
        };
        let &[hundreds, tens, ones] = buf[9..].first_chunk::<3>()?;
        let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
        let status = digit(hundreds)? * 100 + digit(tens)? * 10 + digit(ones)?;
        let line_end = lanes::value_end(buf, 12);
        let sound = field::is_line_end(buf, line_end) && matches!(buf[12], b' ' | b'\r');
        let reason = Span::new(line_end.min(13), line_end);
        sound.then_some(Self { version, status, reason, end: line_end + 2 })
    }
}

/// Names what is wrong with the status line that begins `head`.
#[cold]
fn explain(head: &[u8]) -> Reason {
    match head.get(..8) {
        Some(b"HTTP/1.0" | b"HTTP/1.1") | None => Reason::InvalidStatusLine,
        Some(version) if explain_version(version) == Reason::UnsupportedVersion => Reason::UnsupportedVersion,
        Some(_) => Reason::InvalidStatusLine,
    }
}

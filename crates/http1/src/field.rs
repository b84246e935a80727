//! Classifies a head's fields and draws from them all that decides framing and persistence.
//!
//! Laws:
//! 1. Each framing field occurs once and has one reading (RFC 9112 §6): what could be read in two ways is refused.
//! 2. Connection can name any end-to-end field away, but no field that frames, routes, or tells about the client
//!    (RFC 9110 §7.6.1).

use httparse::Header;
use memchr::memchr;

use crate::head::{Field, FieldKind, HeadStorage, Span, Version};
use crate::scan::Role;
use crate::{Reason, table};

/// More connection options than any client has use for; it bounds the work of matching them with fields.
const MAX_OPTIONS: usize = 32;

/// What the fields of one head say together.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub(crate) struct Facts {
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
    pub(crate) host: Option<Span>,
    pub(crate) expect_continue: bool,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    /// `Connection: upgrade`.
    pub(crate) upgrade_option: bool,
    /// Upgrade is there and not empty.
    pub(crate) upgrade_field: bool,
    h2c: bool,
    options: usize,
    /// Connection names fields.
    names_fields: bool,
}

impl Facts {
    /// Both halves of a switch of protocols. Never to h2c: a tunnel of HTTP/2 would pass requests by unseen.
    pub(crate) const fn upgrade(&self) -> bool {
        self.upgrade_option && self.upgrade_field && !self.h2c
    }

    /// Whether the sender lets the connection persist (RFC 9112 §9.3).
    pub(crate) const fn persists(&self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }
}

/// Fills `storage` with the fields that httparse found in the head `buf`.
pub(crate) fn digest(
    buf: &[u8],
    headers: &[Header<'_>],
    storage: &mut HeadStorage,
    role: Role,
    version: Version,
) -> Result<Facts, Reason> {
    let mut facts = Facts::default();
    storage.fields.clear();
    // Underscores are few, so they are looked up in the whole head rather than in each name.
    let underscore_from = |at: usize| match role {
        Role::Request => memchr(b'_', &buf[at..]).map_or(buf.len(), |found| at + found),
        Role::Response => buf.len(),
    };
    let mut underscore = underscore_from(0);
    for header in headers {
        let (name, value) = (span(buf, header.name.as_bytes()), span(buf, header.value));
        let start = name.start as usize;
        // The one thing about line ends that httparse lets pass: LF alone. Here it would end the line before.
        if !matches!(&buf[..start], [.., b'\r', b'\n']) {
            return Err(Reason::BareLf);
        }
        if underscore < start {
            underscore = underscore_from(start);
        }
        if underscore < name.end as usize {
            return Err(Reason::UnderscoreInFieldName);
        }
        let kind = classify(header.name.as_bytes(), role);
        match kind {
            FieldKind::ContentLength => {
                if facts.length.is_some() {
                    return Err(Reason::DuplicateContentLength);
                }
                facts.length = Some(content_length(header.value)?);
            }
            FieldKind::TransferEncoding => {
                if facts.chunked {
                    return Err(Reason::InvalidTransferEncoding);
                }
                transfer_encoding(header.value)?;
                facts.chunked = true;
            }
            FieldKind::Connection => connection(header.value, &mut facts)?,
            FieldKind::Upgrade => {
                facts.upgrade_field |= !header.value.is_empty();
                facts.h2c |= list(header.value).any(|item| item.eq_ignore_ascii_case(b"h2c"));
            }
            FieldKind::Host => {
                if facts.host.is_some() {
                    return Err(Reason::DuplicateHost);
                }
                facts.host = Some(value);
            }
            // HTTP/1.0 knows no expectations, so they are dropped unread (RFC 9110 §10.1.1).
            FieldKind::Expect if version == Version::Http11 => {
                if facts.expect_continue || !header.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Reason::ExpectationFailed);
                }
                facts.expect_continue = true;
            }
            FieldKind::EndToEnd if role == Role::Request && is_lookalike(header.name.as_bytes()) => {
                return Err(Reason::LookalikeFieldName);
            }
            _ => {}
        }
        storage.fields.push(Field { name, value, kind });
    }
    if !buf.ends_with(b"\r\n\r\n") {
        return Err(Reason::BareLf);
    }
    if facts.chunked && version == Version::Http10 {
        return Err(Reason::TransferEncodingInHttp10);
    }
    if facts.chunked && facts.length.is_some() {
        return Err(Reason::AmbiguousFraming);
    }
    if facts.names_fields {
        strip_named(buf, storage);
    }
    Ok(facts)
}

/// Where `part`, a slice of `buf`, lies in it. An empty part may lie anywhere.
fn span(buf: &[u8], part: &[u8]) -> Span {
    let start = (part.as_ptr() as usize).wrapping_sub(buf.as_ptr() as usize);
    if part.is_empty() { Span::default() } else { Span::new(start, start + part.len()) }
}

fn classify(name: &[u8], role: Role) -> FieldKind {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    let request = role == Role::Request;
    let Some(first) = name.first() else { return FieldKind::EndToEnd };
    // Length and initial leave at most two names to compare.
    match (name.len(), first.to_ascii_lowercase()) {
        (2, b't') if is(b"te") => FieldKind::HopByHop,
        (4, b'h') if request && is(b"host") => FieldKind::Host,
        (6, b'e') if request && is(b"expect") => FieldKind::Expect,
        (7, b'u') if is(b"upgrade") => FieldKind::Upgrade,
        (7, b't') if is(b"trailer") => FieldKind::Trailer,
        (9, b'f') if request && is(b"forwarded") => FieldKind::Forwarding,
        (9, b'x') if request && is(b"x-real-ip") => FieldKind::Forwarding,
        (10, b'c') if is(b"connection") => FieldKind::Connection,
        (10, b'k') if is(b"keep-alive") => FieldKind::HopByHop,
        (14, b'c') if is(b"content-length") => FieldKind::ContentLength,
        (14, b'h') if is(b"http2-settings") => FieldKind::HopByHop,
        (15, b'x') if request && is(b"x-forwarded-for") => FieldKind::XForwardedFor,
        (16, b'x') if request && is(b"x-forwarded-host") => FieldKind::XForwardedHost,
        (16, b'p') if is(b"proxy-connection") => FieldKind::HopByHop,
        (17, b't') if is(b"transfer-encoding") => FieldKind::TransferEncoding,
        (17, b'x') if request && is(b"x-forwarded-proto") => FieldKind::XForwardedProto,
        (18, b'p') if is(b"proxy-authenticate") => FieldKind::HopByHop,
        (19, b'p') if is(b"proxy-authorization") => FieldKind::HopByHop,
        (_, b'x') if request && is_forwarding(name) => FieldKind::Forwarding,
        _ => FieldKind::EndToEnd,
    }
}

fn is_forwarding(name: &[u8]) -> bool {
    let begins =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    begins(b"x-forwarded-") || begins(b"x-envoy-")
}

/// Whether a name that is neither of the two could be taken for `content-length` or `transfer-encoding` all the same:
/// at least as long, and its letters and digits spell that name or its beginning, whatever stands for the hyphen.
/// Underscores have been refused before; here it is `Transfer--Encoding`, `~Content.Length`, `Content-Lengt!`.
fn is_lookalike(name: &[u8]) -> bool {
    const FRAMING: [(&[u8], &[u8]); 2] = [(b"content", b"length"), (b"transfer", b"encoding")];
    // What nearly all names fail: long enough, and the first letter.
    if name.len() < 14 || matches!(name[0] | 0x20, b'a'..=b'b' | b'd'..=b's' | b'u'..=b'z') {
        return false;
    }
    FRAMING.iter().any(|&(first, second)| {
        let spells = |hyphen: Option<usize>| {
            let mut expected = first.iter().chain(second);
            let spelt = name.iter().filter(|byte| byte.is_ascii_alphanumeric()).enumerate();
            let mut spelt = spelt.filter(|&(at, _)| Some(at) != hyphen).map(|(_, byte)| byte).peekable();
            spelt.peek().is_some()
                && spelt.all(|byte| expected.next().is_some_and(|known| byte.eq_ignore_ascii_case(known)))
        };
        name.len() > first.len() + second.len() && (spells(None) || spells(Some(first.len())))
    })
}

/// `1*DIGIT` below 2^63. No sign, list, blank, or leading zero: some implementation reads each of them otherwise.
fn content_length(value: &[u8]) -> Result<u64, Reason> {
    let plain = match value {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 19 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !plain {
        return Err(Reason::InvalidContentLength);
    }
    let length = value.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    if length > i64::MAX as u64 { Err(Reason::InvalidContentLength) } else { Ok(length) }
}

/// Only `chunked` is understood. 501 where what precedes it would be decoded by somebody else, 400 where the body
/// has no end that all would agree on.
fn transfer_encoding(value: &[u8]) -> Result<(), Reason> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if is_chunked(value) {
        return Ok(());
    }
    let mut codings = value.rsplit(|&byte| byte == b',').map(table::trim);
    let ends_in_chunked = codings.next().is_some_and(is_chunked);
    let mut others = codings.peekable();
    let plausible = others.peek().is_some()
        && others.all(|coding| {
            table::all_token(coding) && !is_chunked(coding) && !coding.eq_ignore_ascii_case(b"identity")
        });
    if ends_in_chunked && plausible {
        Err(Reason::UnknownTransferCoding)
    } else {
        Err(Reason::InvalidTransferEncoding)
    }
}

/// The elements of a list, without empty ones (RFC 9110 §5.6.1.2).
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(table::trim).filter(|item| !item.is_empty())
}

fn connection(value: &[u8], facts: &mut Facts) -> Result<(), Reason> {
    if facts.options < MAX_OPTIONS && value.eq_ignore_ascii_case(b"keep-alive") {
        // What most clients send.
        facts.options += 1;
        facts.keep_alive = true;
        return Ok(());
    }
    for option in value.split(|&byte| byte == b',').map(table::trim) {
        facts.options += 1;
        if facts.options > MAX_OPTIONS || !(option.is_empty() || table::all_token(option)) {
            return Err(Reason::InvalidConnection);
        }
        match option.len() {
            0 => {}
            5 if option.eq_ignore_ascii_case(b"close") => facts.close = true,
            10 if option.eq_ignore_ascii_case(b"keep-alive") => facts.keep_alive = true,
            7 if option.eq_ignore_ascii_case(b"upgrade") => facts.upgrade_option = true,
            _ => facts.names_fields = true,
        }
    }
    Ok(())
}

/// Marks the end-to-end fields that Connection names.
fn strip_named(buf: &[u8], storage: &mut HeadStorage) {
    for at in 0..storage.fields.len() {
        if storage.fields[at].kind != FieldKind::Connection {
            continue;
        }
        for option in list(storage.fields[at].value.of(buf)) {
            for field in &mut storage.fields {
                if field.kind == FieldKind::EndToEnd && field.name.of(buf).eq_ignore_ascii_case(option) {
                    field.kind = FieldKind::HopByHop;
                }
            }
        }
    }
}

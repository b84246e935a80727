//! Reads a head's fields and draws from them all that decides framing and persistence.
//!
//! Laws:
//! 1. Each framing field occurs once and has one reading (RFC 9112 §6): what could be read in two ways is refused.
//! 2. Connection can name any end-to-end field away, but no field that frames, routes, or tells about the client
//!    (RFC 9110 §7.6.1).

use crate::chunked::Names;
use crate::classify::{classify, is_lookalike, may_look_alike};
use crate::head::{Field, FieldKind, HeadStorage, Span, Version};
use crate::scan::Role;
use crate::{Reason, lanes, table};

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
    /// Names of fields that Connection gives.
    pub(crate) named: Names,
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

    /// Takes note of a field that is more than end-to-end.
    fn note(&mut self, field: &Field, buf: &[u8], version: Version) -> Result<(), Reason> {
        let value = field.value.of(buf);
        match field.kind {
            FieldKind::ContentLength => {
                if self.length.is_some() {
                    return Err(Reason::DuplicateContentLength);
                }
                self.length = Some(content_length(value)?);
            }
            FieldKind::TransferEncoding => {
                if self.chunked {
                    return Err(Reason::InvalidTransferEncoding);
                }
                transfer_encoding(value)?;
                self.chunked = true;
            }
            FieldKind::Connection => connection(value, self)?,
            FieldKind::Upgrade => {
                self.upgrade_field |= !value.is_empty();
                self.h2c |= list(value).any(|item| item.eq_ignore_ascii_case(b"h2c"));
            }
            FieldKind::Host => {
                if self.host.is_some() {
                    return Err(Reason::DuplicateHost);
                }
                self.host = Some(field.value);
            }
            // HTTP/1.0 knows no expectations, so they are dropped unread (RFC 9110 §10.1.1).
            FieldKind::Expect if version == Version::Http11 => {
                if self.expect_continue || !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Reason::ExpectationFailed);
                }
                self.expect_continue = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Reads the field lines of the head `buf` from `at` on into `storage`, at most `max` of them, up to the empty line
/// that ends the head. Gives what they say together, and the head's length.
pub(crate) fn read_fields(
    buf: &[u8],
    at: usize,
    storage: &mut HeadStorage,
    role: Role,
    version: Version,
    max: usize,
) -> Result<(Facts, usize), Reason> {
    let end = read_lines(buf, at, storage, role, max)?;
    let facts = digest(buf, storage, role, version)?;
    if !facts.named.is_empty() {
        strip_named(buf, storage);
    }
    Ok((facts, end))
}

/// Takes the lines apart, all as end-to-end fields. Gives the head's length.
fn read_lines(
    buf: &[u8],
    mut at: usize,
    storage: &mut HeadStorage,
    role: Role,
    max: usize,
) -> Result<usize, Reason> {
    storage.fields.clear();
    while !is_line_end(buf, at) {
        if storage.fields.len() == max {
            return Err(Reason::TooManyFields);
        }
        let name_end = name_end(buf, at, role)?;
        let (value, line_end) = value(buf, name_end + 1)?;
        storage.fields.push(Field { name: Span::new(at, name_end), value, kind: FieldKind::EndToEnd });
        at = line_end + 2;
    }
    Ok(at + 2)
}

/// Tells the fields' kinds, and what they say together.
fn digest(buf: &[u8], storage: &mut HeadStorage, role: Role, version: Version) -> Result<Facts, Reason> {
    let mut facts = Facts::default();
    for field in &mut storage.fields {
        let name = field.name.of(buf);
        field.kind = classify(name, role);
        if field.kind != FieldKind::EndToEnd {
            facts.note(field, buf, version)?;
        } else if role == Role::Request && may_look_alike(name) && is_lookalike(name) {
            return Err(Reason::LookalikeFieldName);
        }
    }
    if facts.chunked && version == Version::Http10 {
        return Err(Reason::TransferEncodingInHttp10);
    }
    if facts.chunked && facts.length.is_some() {
        return Err(Reason::AmbiguousFraming);
    }
    Ok(facts)
}

/// Whether CRLF stands at `at`; nothing else ends a line.
pub(crate) fn is_line_end(buf: &[u8], at: usize) -> bool {
    buf.get(at..).is_some_and(|rest| rest.starts_with(b"\r\n"))
}

/// Where the name that begins at `start` ends, which is at its colon.
fn name_end(buf: &[u8], start: usize, role: Role) -> Result<usize, Reason> {
    let end = lanes::plain_name_end(buf, start);
    if end > start && buf.get(end) == Some(&b':') { Ok(end) } else { odd_name_end(buf, start, role) }
}

/// The same for names with other characters in them, and for those that are none.
#[cold]
fn odd_name_end(buf: &[u8], start: usize, role: Role) -> Result<usize, Reason> {
    let len = buf[start..].iter().take_while(|&&byte| table::is_token(byte)).count();
    let end = start + len;
    if len == 0 || buf.get(end) != Some(&b':') {
        return Err(Reason::InvalidFieldName);
    }
    if role == Role::Request && buf[start..end].contains(&b'_') {
        return Err(Reason::UnderscoreInFieldName);
    }
    Ok(end)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The value of the line whose colon is in front of `start`, without the blanks around it, and where the line ends.
fn value(buf: &[u8], start: usize) -> Result<(Span, usize), Reason> {
    let line_end = lanes::value_end(buf, start);
    if !is_line_end(buf, line_end) {
        return Err(Reason::ControlCharacter);
    }
    // One space, as nearly everybody writes it; all else goes byte by byte.
    let start = start + usize::from(buf[start] == b' ');
    let tight = match &buf[start..line_end] {
        [] => true,
        [only] => !is_blank(*only),
        [first, .., last] => !is_blank(*first) && !is_blank(*last),
    };
    Ok((if tight { Span::new(start, line_end) } else { trimmed(buf, start, line_end) }, line_end))
}

#[cold]
fn trimmed(buf: &[u8], start: usize, end: usize) -> Span {
    let line = &buf[..end];
    let start = start + line[start..].iter().take_while(|byte| is_blank(**byte)).count();
    let blanks = line[start..].iter().rev().take_while(|byte| is_blank(**byte)).count();
    Span::new(start, end - blanks)
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
            _ => facts.named.add(option),
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

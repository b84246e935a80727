//! Finds the end of a head, line by line, and refuses what no line of it may hold. It serves heads that come in pieces,
//! which the reader would read from the start again at every packet, and heads that are refused, to say why.
//!
//! Laws:
//! 1. Each byte is looked at once, however many packets bring it.
//! 2. The first offence in the order of the bytes is the one that is reported, at the latest with its line; so it
//!    does not depend on how the bytes were cut.
//! 3. Bytes beyond the head, or beyond its limit, are not looked at.

use memchr::memchr;

use crate::{Limits, Reason, table};

/// Longest `method SP ... SP HTTP/1.1` around a target that is not too long itself.
const AROUND_TARGET: usize = 64;

/// How far the search for the end of a head has come, for one connection. It starts over by itself after a complete
/// or refused head; small enough to live in a connection's slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadCursor {
    /// Where the first line starts that has no end yet.
    line: u32,
    /// Bytes before this one are known to be good; a CR at the end waits for its LF.
    checked: u32,
}

/// Which head is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Request,
    Response,
}

impl HeadCursor {
    /// Whether nothing of a head was searched yet.
    pub(crate) fn is_new(self) -> bool {
        self == Self::default()
    }

    /// Goes on with the search in `buf`, which holds the head's bytes from the first. Gives the head's length.
    pub(crate) fn advance(
        &mut self,
        buf: &[u8],
        role: Role,
        limits: &Limits,
    ) -> Result<Option<usize>, Reason> {
        let found = self.search(buf, role, limits);
        if !matches!(found, Ok(None)) {
            *self = Self::default();
        }
        found
    }

    fn search(&mut self, buf: &[u8], role: Role, limits: &Limits) -> Result<Option<usize>, Reason> {
        let within = &buf[..buf.len().min(limits.max_head)];
        let start = role.first_line(within);
        let (mut line, mut checked) = (self.line as usize, self.checked as usize);
        if line > within.len() || checked > within.len() {
            // The caller gave fewer bytes than before: the cursor is not of this buffer.
            (line, checked) = (0, 0);
        }
        line = line.max(start);
        checked = checked.max(start);
        let first_line_limit = match role {
            Role::Request => limits.max_target.saturating_add(AROUND_TARGET),
            Role::Response => usize::MAX,
        };
        while let Some(lf) = memchr(b'\n', &within[checked..]).map(|at| checked + at) {
            let content = within[line..lf].strip_suffix(b"\r");
            // Without its CR the whole line is searched, for a control character comes before the bare LF.
            let content_end = line + content.map_or(lf - line, <[u8]>::len);
            check_line(within, line, checked, content_end, (line == start).then_some(first_line_limit))?;
            let Some(content) = content else { return Err(Reason::BareLf) };
            match content.first() {
                None if line == start => return Err(role.empty_first_line()),
                None => return Ok(Some(lf + 1)),
                Some(b' ' | b'\t') => return Err(Reason::FoldedLine),
                Some(_) => {}
            }
            line = lf + 1;
            checked = line;
        }
        let end = if within[checked..].ends_with(b"\r") { within.len() - 1 } else { within.len() };
        check_line(within, line, checked, end, (line == start).then_some(first_line_limit))?;
        if buf.len() >= limits.max_head {
            return Err(Reason::HeadTooLarge);
        }
        (self.line, self.checked) = (line as u32, end as u32);
        Ok(None)
    }
}

/// Checks `buf[checked..end]`, a piece of the line from `line`, up to the length that the line may have.
fn check_line(
    buf: &[u8],
    line: usize,
    checked: usize,
    end: usize,
    limit: Option<usize>,
) -> Result<(), Reason> {
    let allowed_end = limit.map_or(end, |limit| end.min(line.saturating_add(limit)));
    let piece = buf.get(checked..allowed_end).unwrap_or_default();
    if !table::all_value(piece) {
        let bare_cr = piece.iter().find(|&&byte| !table::is_value(byte)) == Some(&b'\r');
        return Err(if bare_cr { Reason::BareCr } else { Reason::ControlCharacter });
    }
    if allowed_end < end { Err(Reason::TargetTooLong) } else { Ok(()) }
}

impl Role {
    /// Where the first line begins: one empty line may precede a request (RFC 9112 §2.2).
    pub(crate) fn first_line(self, buf: &[u8]) -> usize {
        if self == Self::Request && buf.starts_with(b"\r\n") { 2 } else { 0 }
    }

    const fn empty_first_line(self) -> Reason {
        match self {
            Self::Request => Reason::InvalidRequestLine,
            Self::Response => Reason::InvalidStatusLine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(buf: &[u8]) -> Result<Option<usize>, Reason> {
        HeadCursor::default().advance(buf, Role::Request, &Limits::REQUEST)
    }

    #[test]
    fn ends_at_the_empty_line_and_looks_no_further() {
        assert_eq!(scan(b"GET / HTTP/1.1\r\na: b\r\n\r\n\0\n"), Ok(Some(24)));
    }

    #[test]
    fn one_empty_line_may_precede_a_request_but_not_two_nor_any_a_response() {
        assert_eq!(scan(b"\r\nA\r\n\r\n"), Ok(Some(7)));
        assert_eq!(scan(b"\r\n\r\nA\r\n\r\n"), Err(Reason::InvalidRequestLine));
        let response = HeadCursor::default().advance(b"\r\nA\r\n\r\n", Role::Response, &Limits::RESPONSE);
        assert_eq!(response, Err(Reason::InvalidStatusLine));
    }

    #[test]
    fn a_cr_at_the_end_of_a_packet_waits_for_its_lf() {
        let mut cursor = HeadCursor::default();
        assert_eq!(cursor.advance(b"A\r", Role::Request, &Limits::REQUEST), Ok(None));
        assert_eq!(cursor.advance(b"A\r\n\r", Role::Request, &Limits::REQUEST), Ok(None));
        let end = cursor.advance(b"A\r\n\r\n", Role::Request, &Limits::REQUEST);
        assert_eq!(end, Ok(Some(5)));
        assert_eq!(cursor, HeadCursor::default());
    }

    #[test]
    fn garbage_is_refused_before_its_line_ends() {
        assert_eq!(scan(b"\x16\x03\x01"), Err(Reason::ControlCharacter), "a TLS ClientHello");
        assert_eq!(scan(b"GET /\rx"), Err(Reason::BareCr));
        assert_eq!(scan(b"GET /\n"), Err(Reason::BareLf));
        assert_eq!(scan(b"GET /\0\n"), Err(Reason::ControlCharacter), "the first offence counts");
    }

    #[test]
    fn limits_hold_whether_or_not_the_head_is_complete() {
        let limits = Limits { max_head: 64, max_target: 8, ..Limits::REQUEST };
        let advance = |buf: &[u8]| HeadCursor::default().advance(buf, Role::Request, &limits);
        assert_eq!(advance(&[b"A\r\n".as_slice(), &[b'x'; 61]].concat()), Err(Reason::HeadTooLarge));
        assert_eq!(
            advance(&[b"A\r\n".as_slice(), &[b'x'; 57], b"\r\n\r\n"].concat()).map(|end| end.is_some()),
            Ok(true)
        );
        assert_eq!(
            advance(&[b"A\r\n".as_slice(), &[b'x'; 58], b"\r\n\r\n"].concat()),
            Err(Reason::HeadTooLarge)
        );
        let long = Limits { max_head: 1024, ..limits };
        let long_line = HeadCursor::default().advance(&[b'x'; 73], Role::Request, &long);
        assert_eq!(long_line, Err(Reason::TargetTooLong));
    }
}

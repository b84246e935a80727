//! Emission: the head that goes on, made of runs of untouched bytes and a few lines of our own.
//!
//! Laws:
//! 1. What is emitted parses again, to the same framing. Nothing that a caller adds can end a line.
//! 2. Hop-by-hop fields end here; Connection is always our own. Framing fields pass with their value as it came, since
//!    parsing has made sure that it has one reading; but all fields that are understood have one space around it.
//! 3. Nothing is allocated but growth of the output, whose capacity is reused.

mod canned;
mod request;
mod response;

pub use canned::{CONTINUE, write_error};
pub use request::{Forwarded, RequestEdits, Scheme, Trust};
pub use response::{ResponseEdits, place_in_front};

use crate::head::{Field, FieldKind};
use crate::table;

/// Bytes that must not be put into a head; nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bytes that cannot stand in a head")]
pub struct InvalidEdit;

/// A field line that is safe to emit: a token, and a value without control characters and outer blanks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldLine<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

/// What the codec alone writes, because it decides framing, routing or persistence.
const RESERVED: [&[u8]; 9] = [
    b"connection",
    b"content-length",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

impl<'a> FieldLine<'a> {
    /// Checks a field line. Names that frame, route or belong to one hop are refused: the codec writes those.
    pub fn new(name: &'a [u8], value: &'a [u8]) -> Result<Self, InvalidEdit> {
        let reserved = RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved));
        let sound =
            table::all_token(name) && table::all_value(value) && table::trim(value).len() == value.len();
        if sound && !reserved { Ok(Self { name, value }) } else { Err(InvalidEdit) }
    }
}

fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_added(out: &mut Vec<u8>, lines: &[FieldLine<'_>]) {
    for line in lines {
        write_line(out, line.name, line.value);
    }
}

/// A set of field kinds.
#[derive(Debug, Clone, Copy)]
struct Kinds(u32);

impl Kinds {
    const fn of(kind: FieldKind) -> Self {
        Self(1 << kind as u32)
    }

    fn with(self, kind: FieldKind, wanted: bool) -> Self {
        if wanted { Self(self.0 | Self::of(kind).0) } else { self }
    }

    const fn contains(self, kind: FieldKind) -> bool {
        self.0 & Self::of(kind).0 != 0
    }
}

/// Copies the lines of the kinds to keep, end-to-end fields always among them, neighbours in one go. `first` is where a
/// first line begins that goes with them as it is; `end`, where the empty line of the head begins.
fn write_kept(
    out: &mut Vec<u8>,
    buf: &[u8],
    first: Option<usize>,
    fields: &[Field],
    end: usize,
    keep: Kinds,
) {
    let line_of = |field: Option<&Field>| field.map_or(end, |field| field.name.start as usize);
    // Where begins what is still to be copied.
    let mut rest = first.unwrap_or_else(|| line_of(fields.first()));
    for (number, field) in fields.iter().enumerate() {
        if field.kind == FieldKind::EndToEnd {
            continue;
        }
        let kept = keep.contains(field.kind);
        if kept && is_plain(buf, field) {
            continue;
        }
        out.extend_from_slice(&buf[rest..line_of(Some(field))]);
        if kept {
            write_line(out, field.name.of(buf), field.value.of(buf));
        }
        rest = line_of(fields.get(number + 1));
    }
    out.extend_from_slice(&buf[rest..end]);
}

/// Whether one space and nothing else stands around the value. Who frames by a value is not left to trim it: llhttp
/// refuses `chunked` with a tab behind.
fn is_plain(buf: &[u8], field: &Field) -> bool {
    let (colon, value) = (field.name.end as usize, field.value);
    value.start as usize == colon + 2 && buf[colon + 1] == b' ' && buf.get(value.end as usize) == Some(&b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_line_cannot_end_early_nor_frame() {
        assert!(FieldLine::new(b"x-request-id", b"a b\tc").is_ok());
        assert!(FieldLine::new(b"x-empty", b"").is_ok());
        for (name, value) in [
            ("", "a"),
            ("a b", "a"),
            ("a:", "a"),
            ("a\r\nb", "a"),
            ("a", "b\r\nc: d"),
            ("a", "b\0"),
            ("a", "b\n"),
            ("a", " b"),
            ("a", "b\t"),
            ("Content-Length", "1"),
            ("transfer-encoding", "chunked"),
            ("HOST", "a"),
            ("Connection", "close"),
        ] {
            assert_eq!(
                FieldLine::new(name.as_bytes(), value.as_bytes()),
                Err(InvalidEdit),
                "{name:?}: {value:?}"
            );
        }
    }
}

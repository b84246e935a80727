//! The normal form of paths, in which they are matched, forwarded and configured.
//!
//! What two servers read differently lets a request past a rule that was written for it. So there is one
//! form, and what has none is refused instead of guessed.
//!
//! Laws
//! 1. The normal form of a normal form is itself.
//! 2. It starts with a slash and holds only slashes, unreserved characters, sub-delimiters, `:`, `@`, and
//!    escapes of other bytes in upper case (RFC 3986 sections 3.3, 6.2.2).
//! 3. No two slashes follow each other, and no segment is `.` or `..`, encoded or not.
//! 4. A path in normal form is told to be so; one without escapes and leading dots in one pass, without a copy.

use crate::predicate::hex;

/// Why a path is refused (400).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// Does not start with a slash.
    NotAbsolute,
    /// A raw control character, a blank, `?` or `#`.
    InvalidByte,
    /// A `%` without two hexadecimal digits.
    InvalidEscape,
    /// `%2F`.
    EncodedSlash,
    /// `%00`.
    Nul,
    /// A backslash, encoded or not.
    Backslash,
    /// `..` above the root.
    AboveRoot,
    /// A dot segment with a parameter (`/..;a/`), which some servers take for a plain one.
    DotParameter,
}

impl PathError {
    /// A stable reason code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::InvalidByte => "path_invalid_byte",
            Self::InvalidEscape => "path_invalid_escape",
            Self::EncodedSlash => "path_encoded_slash",
            Self::Nul => "path_nul",
            Self::Backslash => "path_backslash",
            Self::AboveRoot => "path_above_root",
            Self::DotParameter => "path_dot_parameter",
        }
    }
}

/// Where the normal form is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalised {
    /// The path is in normal form; what `out` holds does not matter.
    Unchanged,
    /// In `out`, and only that.
    Rewritten,
}

/// Brings a path (without query) into normal form.
///
/// Bytes that a path may not hold raw but browsers send (non-ASCII, quotes, angles, braces, `^`, `|`) are encoded.
/// The escapes of control characters other than NUL stay as they are.
pub fn normalise_path(path: &[u8], out: &mut Vec<u8>) -> Result<Normalised, PathError> {
    if path.first() != Some(&b'/') {
        return Err(PathError::NotAbsolute);
    }
    if is_plainly_normal(path) {
        return Ok(Normalised::Unchanged);
    }
    out.clear();
    let mut segments = path[1..].split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if segment.is_empty() && !is_last {
            continue;
        }
        let start = out.len();
        out.push(b'/');
        copy_segment(segment, out)?;
        match &out[start + 1..] {
            b"." => out.truncate(start),
            b".." => {
                out.truncate(start);
                let Some(parent) = out.iter().rposition(|&byte| byte == b'/') else {
                    return Err(PathError::AboveRoot);
                };
                out.truncate(parent);
            }
            [b'.', b';', ..] | [b'.', b'.', b';', ..] => return Err(PathError::DotParameter),
            _ => continue,
        }
        if is_last {
            out.push(b'/'); // what ends in a dot segment names a directory
        }
    }
    // Escapes and segments with a leading dot may be normal, which only the copy shows.
    Ok(if out == path { Normalised::Unchanged } else { Normalised::Rewritten })
}

/// Whether a path is in normal form because nothing in it is of interest, as in nearly all.
fn is_plainly_normal(path: &[u8]) -> bool {
    let mut before = b'a';
    for &byte in path {
        let after_slash = before == b'/' && (byte == b'/' || byte == b'.');
        if after_slash || !is_plain(byte) {
            return false;
        }
        before = byte;
    }
    true
}

fn copy_segment(segment: &[u8], out: &mut Vec<u8>) -> Result<(), PathError> {
    let mut bytes = segment.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = (bytes.next().and_then(hex), bytes.next().and_then(hex));
                let (Some(high), Some(low)) = digits else { return Err(PathError::InvalidEscape) };
                match high << 4 | low {
                    0 => return Err(PathError::Nul),
                    b'/' => return Err(PathError::EncodedSlash),
                    b'\\' => return Err(PathError::Backslash),
                    plain if is_unreserved(plain) => out.push(plain),
                    other => escape(other, out),
                }
            }
            b'\\' => return Err(PathError::Backslash),
            0..=b' ' | 0x7F | b'?' | b'#' => return Err(PathError::InvalidByte),
            plain if is_plain(plain) => out.push(plain),
            other => escape(other, out),
        }
    }
    Ok(())
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What stands for itself in a path: unreserved characters, sub-delimiters, `:`, `@` and the slash.
const fn is_plain(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            let b = byte as u8;
            table[byte] = is_unreserved(b)
                || matches!(b, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
                || matches!(b, b':' | b'@' | b'/');
            byte += 1;
        }
        table
    };
    TABLE[byte as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(path: &[u8]) -> Result<String, PathError> {
        let mut out = b"left over".to_vec();
        Ok(match normalise_path(path, &mut out)? {
            Normalised::Unchanged => String::from_utf8_lossy(path).into_owned(),
            Normalised::Rewritten => String::from_utf8_lossy(&out).into_owned(),
        })
    }

    #[test]
    fn normal_forms() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b;v=1/c:d@e", "/a/b;v=1/c:d@e"),
            ("//", "/"),
            ("///a//b///", "/a/b/"),
            ("/.", "/"),
            ("/./", "/"),
            ("/a/.", "/a/"),
            ("/a/./b", "/a/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/a/b/../c", "/a/c"),
            ("/a//../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a/%2e/b", "/a/b"),
            ("/api../x", "/api../x"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/%41%7e%2D", "/A~-"),
            ("/%c3%a4", "/%C3%A4"),
            ("/ä|{}", "/%C3%A4%7C%7B%7D"),
            ("/%252e%252e/", "/%252e%252e/"),
            ("/%0d%0a%01", "/%0D%0A%01"),
            ("/%3b%3F%23", "/%3B%3F%23"),
        ] {
            assert_eq!(normal(path.as_bytes()).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn refused_paths() {
        for (path, error) in [
            ("", PathError::NotAbsolute),
            ("a", PathError::NotAbsolute),
            ("*", PathError::NotAbsolute),
            ("/a%2fb", PathError::EncodedSlash),
            ("/a%2Fb", PathError::EncodedSlash),
            ("/a%5cb", PathError::Backslash),
            ("/a\\b", PathError::Backslash),
            ("/a%00", PathError::Nul),
            ("/a\0", PathError::InvalidByte),
            ("/a b", PathError::InvalidByte),
            ("/a\tb", PathError::InvalidByte),
            ("/a?b", PathError::InvalidByte),
            ("/a#b", PathError::InvalidByte),
            ("/a%", PathError::InvalidEscape),
            ("/a%4", PathError::InvalidEscape),
            ("/a%4/b", PathError::InvalidEscape),
            ("/a%zz", PathError::InvalidEscape),
            ("/..", PathError::AboveRoot),
            ("/a/../../b", PathError::AboveRoot),
            ("/%2e%2e/b", PathError::AboveRoot),
            ("/a/..;/b", PathError::DotParameter),
            ("/a/.;x=1/b", PathError::DotParameter),
            ("/a/%2e%2e;/b", PathError::DotParameter),
        ] {
            assert_eq!(normal(path.as_bytes()), Err(error), "{path:?}");
        }
    }

    /// What comes of each path: its normal form, or why it has none.
    #[track_caller]
    fn becomes(paths: &[(&str, Result<&str, PathError>)]) {
        for (path, expected) in paths {
            assert_eq!(normal(path.as_bytes()), expected.map(str::to_owned), "{path:?}");
        }
    }

    // The inputs of class D, one by one.

    #[test]
    fn d_api_dot_dot_slash() {
        becomes(&[
            ("/api../", Ok("/api../")),
            ("/api../admin", Ok("/api../admin")),
            ("/api/../admin", Ok("/admin")),
            ("/api/..", Ok("/")),
            ("/../admin", Err(PathError::AboveRoot)),
        ]);
    }

    #[test]
    fn d_percent_2e_percent_2e() {
        becomes(&[
            ("/api/%2e%2e/admin", Ok("/admin")),
            ("/api/.%2E/admin", Ok("/admin")),
            ("/api/%2E./admin", Ok("/admin")),
            ("/api%2e%2e/admin", Ok("/api../admin")),
            ("/%2e%2e/admin", Err(PathError::AboveRoot)),
            ("/%252e%252e/admin", Ok("/%252e%252e/admin")),
        ]);
    }

    #[test]
    fn d_percent_2f() {
        for path in ["/api%2fadmin", "/api%2Fadmin", "/api/..%2fadmin", "/%2f", "/%2e%2e%2f"] {
            becomes(&[(path, Err(PathError::EncodedSlash))]);
        }
        becomes(&[("/api%252fadmin", Ok("/api%252fadmin"))]);
    }

    #[test]
    fn d_percent_5c() {
        for path in ["/api%5cadmin", "/api/..%5Cadmin", "/api\\admin", "/\\"] {
            becomes(&[(path, Err(PathError::Backslash))]);
        }
    }

    #[test]
    fn d_double_slash() {
        becomes(&[
            ("//admin", Ok("/admin")),
            ("/api//admin", Ok("/api/admin")),
            ("/api//../admin", Ok("/admin")),
            ("/api//", Ok("/api/")),
            ("//../admin", Err(PathError::AboveRoot)),
        ]);
    }

    #[test]
    fn d_semicolon() {
        becomes(&[
            ("/api;v=1/x", Ok("/api;v=1/x")),
            ("/admin;x", Ok("/admin;x")),
            ("/api/%3b", Ok("/api/%3B")),
            ("/api/..;/admin", Err(PathError::DotParameter)),
            ("/api/.;x/admin", Err(PathError::DotParameter)),
            ("/api/%2e%2e;/admin", Err(PathError::DotParameter)),
        ]);
    }

    #[test]
    fn d_percent_00() {
        for path in ["/%00", "/admin%00", "/admin%00.html"] {
            becomes(&[(path, Err(PathError::Nul))]);
        }
    }

    #[test]
    fn d_hash() {
        becomes(&[
            ("/api#/../admin", Err(PathError::InvalidByte)),
            ("/#", Err(PathError::InvalidByte)),
            ("/api%23x", Ok("/api%23x")),
        ]);
    }

    /// Pieces that make trouble, in any order.
    fn paths() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just(b"/".to_vec()),
            2 => Just(b".".to_vec()),
            1 => Just(b"%2e".to_vec()),
            1 => Just(b";".to_vec()),
            2 => any::<u8>().prop_map(|byte| format!("%{byte:02x}").into_bytes()),
            2 => any::<u8>().prop_map(|byte| vec![byte]),
            2 => Just(b"a".to_vec()),
        ];
        prop::collection::vec(piece, 0..16).prop_map(|pieces| [&b"/"[..], &pieces.concat()].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn the_laws_hold(path in paths()) {
            let mut once = Vec::new();
            let Ok(first) = normalise_path(&path, &mut once) else { return Ok(()) };
            if first == Normalised::Unchanged {
                once.clone_from(&path);
            }
            let mut twice = Vec::new();
            let again = normalise_path(&once, &mut twice);
            prop_assert_eq!(again, Ok(Normalised::Unchanged));
            prop_assert!(once.starts_with(b"/"));
            prop_assert!(once.iter().all(|&byte| is_plain(byte) || byte == b'%'));
            prop_assert!(!once.windows(2).any(|pair| pair == b"//"));
            let mut segments = once.split(|&byte| byte == b'/');
            prop_assert!(segments.all(|segment| segment != b"." && segment != b".."));
        }
    }
}

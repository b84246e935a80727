//! Classes of bytes, as tables made at compile time.

const fn table(extra: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut i = 0;
    while i < extra.len() {
        table[extra[i] as usize] = true;
        i += 1;
    }
    table
}

/// `tchar` (RFC 9110 §5.6.2).
static TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");

/// What a path or a query may hold on the wire: RFC 3986's characters, and those that browsers send unencoded by the
/// URL standard (`[]{}|\^` and backtick). Not `#`, `"`, `<`, `>`, blanks, or anything outside ASCII. The path
/// normaliser is stricter with paths.
static TARGET: [bool; 256] = table(b"-._~!$&'()*+,;=:@/?%[]{}|\\^`");

/// A registered name as DNS has them, and the underscore that private zones use. No percent-encoding and none of the
/// characters that only RFC 3986 allows: two implementations may read them in two ways.
#[cfg(test)]
static HOST: [bool; 256] = table(b"-._");

pub(crate) fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

#[cfg(test)]
pub(crate) fn is_target(byte: u8) -> bool {
    TARGET[byte as usize]
}

#[cfg(test)]
pub(crate) fn is_host(byte: u8) -> bool {
    HOST[byte as usize]
}

/// HTAB, SP, VCHAR, obs-text (RFC 9110 §5.5).
pub(crate) const fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

pub(crate) fn all_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN[byte as usize])
}

pub(crate) fn all_target(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| TARGET[byte as usize])
}

/// Whether all bytes may stand in a value. Without an early exit, so that it is compiled to SIMD.
pub(crate) fn all_value(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |bad, &byte| bad | u8::from(!is_value(byte))) == 0
}

/// Without the optional whitespace around it (RFC 9110 §5.6.3).
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

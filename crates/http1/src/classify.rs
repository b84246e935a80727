//! What a field is, by its name.

use crate::head::FieldKind;
use crate::scan::Role;

/// The kind of a field called `name`, which is a token.
pub(crate) fn classify(name: &[u8], role: Role) -> FieldKind {
    let request = role == Role::Request;
    let Some(first) = name.first() else { return FieldKind::EndToEnd };
    // Length and initial leave at most two names to compare.
    match (name.len(), first | 0x20) {
        (2, b't') if is(name, b"te") => FieldKind::HopByHop,
        (4, b'h') if request && is(name, b"host") => FieldKind::Host,
        (6, b'e') if request && is(name, b"expect") => FieldKind::Expect,
        (7, b'u') if is(name, b"upgrade") => FieldKind::Upgrade,
        (7, b't') if is(name, b"trailer") => FieldKind::Trailer,
        (9, b'f') if request && is(name, b"forwarded") => FieldKind::Forwarding,
        (9, b'x') if request && is(name, b"x-real-ip") => FieldKind::Forwarding,
        (10, b'c') if is(name, b"connection") => FieldKind::Connection,
        (10, b'k') if is(name, b"keep-alive") => FieldKind::HopByHop,
        (14, b'c') if is(name, b"content-length") => FieldKind::ContentLength,
        (14, b'h') if is(name, b"http2-settings") => FieldKind::HopByHop,
        (15, b'x') if request && is(name, b"x-forwarded-for") => FieldKind::XForwardedFor,
        (16, b'x') if request && is(name, b"x-forwarded-host") => FieldKind::XForwardedHost,
        (16, b'p') if is(name, b"proxy-connection") => FieldKind::HopByHop,
        (17, b't') if is(name, b"transfer-encoding") => FieldKind::TransferEncoding,
        (17, b'x') if request && is(name, b"x-forwarded-proto") => FieldKind::XForwardedProto,
        (18, b'p') if is(name, b"proxy-authenticate") => FieldKind::HopByHop,
        (19, b'p') if is(name, b"proxy-authorization") => FieldKind::HopByHop,
        (_, b'x') if request && is_forwarding(name) => FieldKind::Forwarding,
        _ => FieldKind::EndToEnd,
    }
}

/// Whether `name` is `known`, which is lower case, in any case. Its length is known to the compiler, which makes a few
/// word comparisons of it. Only tokens may be asked for: setting the bit of lower case turns no other one of them into
/// a letter, a digit or a hyphen.
fn is<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    let Some(name) = name.first_chunk::<N>().filter(|_| name.len() == N) else { return false };
    name.iter().zip(known).fold(0, |difference, (byte, known)| difference | ((byte | 0x20) ^ known)) == 0
}

fn is_forwarding(name: &[u8]) -> bool {
    let begins =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    begins(b"x-forwarded-") || begins(b"x-envoy-")
}

/// What [`is_lookalike`] asks first, and nearly all names fail: long enough, and the first letter.
#[inline]
pub(crate) fn may_look_alike(name: &[u8]) -> bool {
    name.len() >= 14 && !matches!(name[0] | 0x20, b'a'..=b'b' | b'd'..=b's' | b'u'..=b'z')
}

/// Whether a name that is neither of the two could be taken for `content-length` or `transfer-encoding` all the same, see
/// [`Spelling`].
pub(crate) fn is_lookalike(name: &[u8]) -> bool {
    let spelling = name.iter().fold(Spelling::default(), |spelling, &byte| spelling.with(byte));
    spelling.is_lookalike()
}

/// A name while it passes: whether it is at least as long as `content-length` or `transfer-encoding`, and its letters and
/// digits spell that name or its beginning, whatever stands for the hyphen. Underscores have been refused before; here it
/// is `Transfer--Encoding`, `~Content.Length`, `Content-Lengt!`, `Content0Length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Spelling {
    /// Bytes of the name, as many as can matter.
    len: u8,
    /// Letters and digits among them.
    spelt: u8,
    /// A bit for each of [`Self::READINGS`] that it cannot be any more.
    lost: u8,
}

impl Spelling {
    const FRAMING: [(&[u8], usize); 2] = [(b"contentlength", 7), (b"transferencoding", 8)];
    /// Each name as it is, and with a letter or digit for its hyphen.
    const READINGS: [(usize, bool); 4] = [(0, false), (0, true), (1, false), (1, true)];

    pub(crate) fn with(self, byte: u8) -> Self {
        let len = self.len.saturating_add(1);
        if !byte.is_ascii_alphanumeric() {
            return Self { len, ..self };
        }
        let mut lost = self.lost;
        for (bit, (name, has_hyphen)) in Self::READINGS.into_iter().enumerate() {
            let ((known, hyphen), at) = (Self::FRAMING[name], usize::from(self.spelt));
            if has_hyphen && at == hyphen {
                continue;
            }
            let expected = at - usize::from(has_hyphen && at > hyphen);
            if !known.get(expected).is_some_and(|known| byte.eq_ignore_ascii_case(known)) {
                lost |= 1 << bit;
            }
        }
        Self { len, spelt: self.spelt.saturating_add(1), lost }
    }

    pub(crate) fn is_lookalike(self) -> bool {
        let mut readings = Self::READINGS.into_iter().enumerate();
        self.spelt > 0
            && readings.any(|(bit, (name, _))| {
                self.lost & (1 << bit) == 0 && usize::from(self.len) > Self::FRAMING[name].0.len()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_in_any_case_and_only_whole() {
        for name in ["transfer-encoding", "Transfer-Encoding", "TRANSFER-ENCODING"] {
            assert_eq!(classify(name.as_bytes(), Role::Request), FieldKind::TransferEncoding);
        }
        for name in ["transfer-encodin", "transfer-encoding1", "transfer.encoding", "tranSfer~encoding"] {
            assert_eq!(classify(name.as_bytes(), Role::Request), FieldKind::EndToEnd);
        }
    }

    #[test]
    fn no_other_token_becomes_a_known_name_by_the_bit_of_lower_case() {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        for byte in (0..=u8::MAX).filter(|&byte| crate::table::is_token(byte) && known(byte | 0x20)) {
            assert_eq!(byte | 0x20, byte.to_ascii_lowercase());
        }
    }

    #[test]
    fn what_spells_a_framing_field_looks_like_it() {
        for name in [
            "content--length",
            "Content.Length",
            "~content-length",
            "content-lengt!",
            "contentlength!",
            "content0length",
            "cONTENt|Length",
            "transfer--encoding",
            "Transfer.Encoding",
            "transferxencoding",
            "transfer-encodin!",
            "c-------------",
        ] {
            assert!(is_lookalike(name.as_bytes()), "{name}");
        }
        let long = "content-length".to_owned() + &"-".repeat(300);
        assert!(is_lookalike(long.as_bytes()));
        for name in [
            "contentlength",
            "content-lengths",
            "xcontent-length",
            "content-language",
            "content-disposition",
            "content00length",
            "transfer-encodings",
            "transfer-encodin",
            "t-------------",
            "--------------------",
        ] {
            assert!(!is_lookalike(name.as_bytes()), "{name}");
        }
    }
}

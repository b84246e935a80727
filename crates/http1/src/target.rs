//! Request-targets and authorities (RFC 9112 §3.2).

use std::net::Ipv6Addr;

use memchr::memchr;

use crate::head::Span;
use crate::{Method, Reason, lanes};

/// The longest host, a DNS name's 255 octets.
const MAX_HOST: usize = 255;

/// A request-target taken apart. Spans are relative to the same slice as the one that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// Empty for an absolute-form target without path.
    pub(crate) path: Span,
    pub(crate) query: Option<Span>,
    /// Of an absolute-form target.
    pub(crate) authority: Option<Span>,
}

/// Takes `bytes` apart, which a target may hold, and which begin at `at` in the slice that spans refer to.
pub(crate) fn parse(bytes: &[u8], at: usize, method: Method) -> Result<Target, Reason> {
    match bytes {
        [b'/', ..] => Ok(path_and_query(bytes, at, None)),
        b"*" if method == Method::Options => Ok(path_and_query(bytes, at, None)),
        _ => {
            let start = after_scheme(bytes).ok_or(Reason::InvalidTarget)?;
            let rest = &bytes[start..];
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            let authority = Span::new(at + start, at + start + end);
            Ok(path_and_query(&rest[end..], at + start + end, Some(authority)))
        }
    }
}

fn path_and_query(bytes: &[u8], at: usize, authority: Option<Span>) -> Target {
    let mark = lanes::find(bytes, 0, b'?');
    Target {
        path: Span::new(at, at + mark.unwrap_or(bytes.len())),
        query: mark.map(|mark| Span::new(at + mark + 1, at + bytes.len())),
        authority,
    }
}

fn after_scheme(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map(<[u8]>::len)
}

/// Checks `host [":" port]` and gives the host's length. The host is a DNS name, an IPv4 address, or an IPv6 address
/// in brackets; user information, empty labels, and an empty port are refused.
pub(crate) fn host_len(authority: &[u8]) -> Option<usize> {
    let len = if let Some(rest) = authority.strip_prefix(b"[") {
        let end = memchr(b']', rest)?;
        // The longest form is 45 characters; a longer one would cost time before it fails.
        let address = rest.get(..end).filter(|address| address.len() <= 45)?;
        std::str::from_utf8(address).ok()?.parse::<Ipv6Addr>().ok()?;
        end + 2
    } else {
        name_len(authority)?
    };
    match &authority[len..] {
        [] => Some(len),
        [b':', port @ ..] if is_port(port) => Some(len),
        _ => None,
    }
}

fn name_len(authority: &[u8]) -> Option<usize> {
    let name = &authority[..lanes::host_end(authority)];
    let empty_label = name.starts_with(b".") || name.windows(2).any(|pair| pair == b"..");
    (!empty_label && (1..=MAX_HOST).contains(&name.len())).then_some(name.len())
}

fn is_port(port: &[u8]) -> bool {
    (1..=5).contains(&port.len())
        && port.iter().all(u8::is_ascii_digit)
        && (1..=65535).contains(&port.iter().fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_taken() {
        for (authority, host) in [
            ("a", "a"),
            ("a.example:8080", "a.example"),
            ("A-b_c.example.", "A-b_c.example."),
            ("127.0.0.1:1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[2001:db8::1]:65535", "[2001:db8::1]"),
        ] {
            assert_eq!(host_len(authority.as_bytes()), Some(host.len()), "{authority}");
        }
    }

    #[test]
    fn hosts_that_are_refused() {
        for authority in [
            "",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:080000",
            "a b",
            "a,b",
            "a@b",
            "a/b",
            "a?b",
            "a%41",
            ".",
            ".a",
            "a..b",
            "[::1",
            "[]",
            "[::1]x",
            "[::1%eth0]",
            "[1.2.3.4]",
            "::1",
            "a;b",
            "\u{e9}",
            "a:80:80",
            "[::g]",
        ] {
            assert_eq!(host_len(authority.as_bytes()), None, "{authority}");
        }
        assert_eq!(host_len(&[b'a'; 256]), None);
        assert_eq!(host_len(&[b'a'; 255]), Some(255));
    }
}

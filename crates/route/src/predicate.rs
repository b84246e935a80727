//! What a match asks for besides host and path.

use crate::{MatchSpec, RequestView};

/// All hold. Headers and parameters are compared by value, method and parameters with case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Predicates {
    method: Option<Box<str>>,
    headers: Box<[(Box<str>, Box<str>)]>,
    query: Box<[(Box<str>, Box<str>)]>,
}

impl Predicates {
    pub(crate) fn new(spec: &MatchSpec) -> Self {
        let boxed = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect()
        };
        Self {
            method: spec.method.as_deref().map(Into::into),
            headers: boxed(&spec.headers),
            query: boxed(&spec.query),
        }
    }

    pub(crate) fn hold(&self, request: &RequestView<'_>) -> bool {
        self.method.as_ref().is_none_or(|method| method.as_bytes() == request.method)
            && self.headers.iter().all(|(name, value)| has_header(request, name, value.as_bytes()))
            && self.query.iter().all(|(name, value)| has_parameter(request.query, name, value))
    }
}

/// Whether the field has this value. Several lines count as one, joined by commas (RFC 9110 section 5.3): to take
/// one of them alone would let a client hide a value behind another.
fn has_header(request: &RequestView<'_>, name: &str, expected: &[u8]) -> bool {
    let mut rest = None;
    let mut lines = 0;
    request.headers.each_value(name, &mut |value| {
        rest = if lines == 0 {
            expected.strip_prefix(value)
        } else {
            rest.and_then(|rest| next_line(rest, value))
        };
        lines += 1;
    });
    rest == Some(&[])
}

fn next_line<'a>(rest: &'a [u8], value: &[u8]) -> Option<&'a [u8]> {
    let rest = rest.strip_prefix(b",")?;
    rest.strip_prefix(b" ").unwrap_or(rest).strip_prefix(value)
}

/// Whether the first parameter of this name has this value, both decoded.
fn has_parameter(query: Option<&[u8]>, name: &str, expected: &str) -> bool {
    let Some(query) = query else { return false };
    let parameters = query.split(|&byte| byte == b'&').map(|parameter| {
        let split = parameter.iter().position(|&byte| byte == b'=');
        split.map_or((parameter, &[][..]), |at| (&parameter[..at], &parameter[at + 1..]))
    });
    let mut named = parameters.filter(|(key, _)| decoded(key).eq(name.bytes()));
    named.next().is_some_and(|(_, value)| decoded(value).eq(expected.bytes()))
}

/// Bytes of a query component; what is no escape stands for itself.
fn decoded(component: &[u8]) -> impl Iterator<Item = u8> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *component.get(at)?;
        let (value, len) = match (byte, component.get(at + 1), component.get(at + 2)) {
            (b'+', _, _) => (b' ', 1),
            (b'%', Some(&high), Some(&low)) => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (byte, 1),
            },
            _ => (byte, 1),
        };
        at += len;
        Some(value)
    })
}

/// The value of a hexadecimal digit.
pub(crate) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeaderLookup;

    struct Fields(&'static [(&'static str, &'static str)]);

    impl HeaderLookup for Fields {
        fn each_value(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
            for (_, value) in self.0.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)) {
                visit(value.as_bytes());
            }
        }
    }

    fn header(fields: &'static [(&'static str, &'static str)], value: &str) -> bool {
        let request =
            RequestView { host: b"", path: b"/", query: None, method: b"GET", headers: &Fields(fields) };
        has_header(&request, "x-a", value.as_bytes())
    }

    #[test]
    fn a_header_has_one_exact_value() {
        assert!(header(&[("X-A", "one")], "one"));
        assert!(!header(&[("x-a", "one")], "One"));
        assert!(!header(&[("x-a", "one more")], "one"));
        assert!(!header(&[("x-a", "on")], "one"));
        assert!(!header(&[("x-b", "one")], "one"));
        assert!(!header(&[], ""));
    }

    #[test]
    fn several_lines_are_one_value() {
        const LINES: &[(&str, &str)] = &[("x-a", "one"), ("X-A", "two")];
        assert!(header(LINES, "one,two"));
        assert!(header(LINES, "one, two"));
        assert!(!header(LINES, "one"));
        assert!(!header(LINES, "two"));
        assert!(!header(LINES, "one,two,"));
        assert!(!header(&[("x-a", "one"), ("x-a", "one")], "one"));
    }

    #[test]
    fn a_parameter_counts_by_its_first_value() {
        let has = |query: &str, name, value| has_parameter(Some(query.as_bytes()), name, value);
        assert!(has("a=1&b=2", "b", "2"));
        assert!(!has("a=1&a=2", "a", "2"));
        assert!(!has("A=1", "a", "1"));
        assert!(!has("a=10", "a", "1"));
        assert!(has("a", "a", ""));
        assert!(has("a=b=c", "a", "b=c"));
        assert!(has("na%6De=v%20+w", "name", "v  w"));
        assert!(has("a=%zz%4", "a", "%zz%4"));
        assert!(!has_parameter(None, "a", ""));
    }
}

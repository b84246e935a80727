//! Random requests, good and broken, in which what makes or breaks framing comes often.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Tokens that make or break framing come often.
pub(crate) fn field() -> impl Strategy<Value = String> {
    let known = select(vec![
        "Content-Length: 5",
        "Content-Length: 0",
        "Content-Length: 05",
        "Transfer-Encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "Connection: close",
        "Connection: keep-alive, x-a",
        "Connection: upgrade",
        "Upgrade: websocket",
        "Expect: 100-continue",
        "Keep-Alive: 5",
        "TE: trailers",
        "Trailer: a",
        "x-a: b",
        "Host: b",
        "X-Forwarded-For: 1.1.1.1",
        "X-Forwarded-Proto: https",
        "Forwarded: for=a",
        "a:",
        "Connection: ,,close",
    ])
    .prop_map(str::to_owned);
    let any = "[a-zA-Z0-9!#$%&'*+.^`|~-]{1,12}:[ \t]{0,2}[ -~\t\u{80}-\u{ff}]{0,20}";
    prop_oneof![2 => known, 3 => any]
}

pub(crate) fn fields() -> impl Strategy<Value = String> {
    vec(field(), 0..8).prop_map(|lines| lines.iter().flat_map(|line| [line, "\r\n"]).collect())
}

prop_compose! {
    pub(crate) fn request_text()(
        method in select(vec!["GET", "POST", "HEAD", "OPTIONS", "DELETE", "PURGE", "CONNECT"]),
        target in prop_oneof![
            4 => "/[a-z0-9/._~%?=&;:@!$'()*+,|{}\\[\\]-]{0,20}".boxed(),
            1 => select(vec!["*", "http://b.example", "HTTPS://[::1]:8/x?y", "http://b?q"]).prop_map(str::to_owned).boxed(),
        ],
        version in select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
        host in select(vec!["Host: a.example\r\n", "host:b:80\r\n", "Host: [::1]\r\n", ""]),
        fields in fields(),
        behind in ".{0,10}",
    ) -> Vec<u8> {
        format!("{method} {target} {version}\r\n{host}{fields}\r\n{behind}").into_bytes()
    }
}

/// Up to three bytes changed, put in, or taken out.
pub(crate) fn broken(text: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let nasty =
        prop_oneof![4 => select(b"\r\n\0\t :,;=/?#_\\\"\x0b\x7f\x80\xff05aHx".to_vec()), 1 => any::<u8>()];
    (text, vec((any::<Index>(), nasty, 0u8..3), 0..4)).prop_map(|(mut bytes, changes)| {
        for (at, byte, how) in changes {
            let at = at.index(bytes.len().max(1));
            match how {
                0 => bytes.insert(at.min(bytes.len()), byte),
                1 if !bytes.is_empty() => bytes[at] = byte,
                _ if !bytes.is_empty() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}

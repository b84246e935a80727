//! Responses of our own: refusals, and requests that reach no endpoint.

/// Tells a client that waits with its body to send it.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Appends a response with a status of 400 to 599 (500 for any other) and a line of text as its body to `out`. `close`: the connection ends with it; always so for
/// HTTP/1.0 clients. `head_request`: the body is left out, as HEAD wants it (RFC 9110 §9.3.2).
pub fn write_error(out: &mut Vec<u8>, status: u16, close: bool, head_request: bool) {
    let status = if (400..=599).contains(&status) { status } else { 500 };
    let digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8);
    let phrase = phrase(status).as_bytes();
    // "NNN phrase\n"; phrases have 1 to 94 bytes, so the length has one or two digits.
    let length = 3 + 1 + phrase.len() + 1;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&digits);
    out.push(b' ');
    out.extend_from_slice(phrase);
    out.extend_from_slice(b"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ");
    if length >= 10 {
        out.push(b'0' + (length / 10) as u8);
    }
    out.push(b'0' + (length % 10) as u8);
    out.extend_from_slice(if close { b"\r\nConnection: close\r\n\r\n" } else { b"\r\n\r\n" });
    if !head_request {
        out.extend_from_slice(&digits);
        out.push(b' ');
        out.extend_from_slice(phrase);
        out.push(b'\n');
    }
}

const fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        0..=499 => "Client Error",
        _ => "Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BodyReader, Framing, HeadCursor, HeadStorage, Limits, Method, RequestContext, ResponseHead};

    #[test]
    fn our_own_responses_parse_and_their_length_is_true() {
        for status in 400..=599 {
            for (close, head_request) in [(true, false), (false, false), (true, true)] {
                let mut out = Vec::new();
                write_error(&mut out, status, close, head_request);
                let method = if head_request { Method::Head } else { Method::Get };
                let context = RequestContext { method, upgrade: false, interim: 0 };
                let mut storage = HeadStorage::new();
                let head = ResponseHead::parse(
                    &out,
                    &mut HeadCursor::default(),
                    &mut storage,
                    context,
                    &Limits::RESPONSE,
                )
                .unwrap()
                .unwrap();
                assert_eq!((head.status, head.keep_alive), (status, !close));
                let mut body = BodyReader::new(head.framing, &Limits::RESPONSE);
                let progress = body.advance(&out[head.len..]).unwrap();
                assert_eq!((progress.consumed, progress.done), (out.len() - head.len, true));
                assert_eq!(head.framing == Framing::None, head_request);
            }
        }
    }

    #[test]
    fn a_status_that_cannot_be_sent_becomes_500() {
        for status in [0, 101, 200, 204, 399, 600, u16::MAX] {
            let mut out = Vec::new();
            write_error(&mut out, status, true, false);
            assert!(out.starts_with(b"HTTP/1.1 500 "));
        }
    }
}

//! Responses: a table of framings and persistence (RFC 9112 §6.3, §9.3), and those that are refused (row A15).

mod common;

use common::{GET, response};
use fairlead_http1::{BodyReader, Delivery, Framing, Limits, Method, Reason, RequestContext, Version};

const HEAD: RequestContext = RequestContext { method: Method::Head, ..GET };
const UPGRADE: RequestContext = RequestContext { upgrade: true, ..GET };

fn refuses(head: &str, reason: Reason) {
    for context in [GET, HEAD] {
        assert_eq!(response(head.as_bytes(), context).err(), Some(reason), "{head:?}");
    }
}

#[test]
fn framing_and_persistence_as_the_rfc_has_them() {
    use Framing::{Chunked, Length, None, UntilClose};
    let keep = "Connection: keep-alive\r\n";
    let close = "Connection: close\r\n";
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (line, lines, get, head, persists) in [
        ("HTTP/1.1 200 OK", vec![length], Length(5), None, true),
        ("HTTP/1.1 200 OK", vec![length, close], Length(5), None, false),
        ("HTTP/1.1 200 OK", vec![length, keep, close], Length(5), None, false),
        ("HTTP/1.1 200 OK", vec![chunked], Chunked, None, true),
        ("HTTP/1.0 200 OK", vec![length], Length(5), None, false),
        ("HTTP/1.0 200 OK", vec![length, keep], Length(5), None, true),
        ("HTTP/1.1 204 No Content", vec![], None, None, true),
        ("HTTP/1.1 204 No Content", vec!["Content-Length: 0\r\n"], None, None, true),
        ("HTTP/1.1 304 Not Modified", vec![length], None, None, true),
        ("HTTP/1.1 304 Not Modified", vec![chunked, close], None, None, false),
        ("HTTP/1.1 100 Continue", vec![], None, None, true),
        ("HTTP/1.1 404", vec!["Content-Length: 0\r\n"], Length(0), None, true),
        ("HTTP/1.1 599 ", vec![length], Length(5), None, true),
    ] {
        let text = format!("{line}\r\n{}\r\n", lines.concat());
        for (context, framing) in [(GET, get), (HEAD, head)] {
            let (parsed, _) = response(text.as_bytes(), context).unwrap();
            assert_eq!((parsed.framing, parsed.keep_alive), (framing, persists), "{text:?}");
        }
    }
    // Without a framing field the end of the connection is the end of the body, unless there is none.
    for (line, persists_to_head) in [("HTTP/1.1 200 OK", true), ("HTTP/1.0 200 OK", false)] {
        let text = format!("{line}\r\n\r\n");
        let (to_get, _) = response(text.as_bytes(), GET).unwrap();
        assert_eq!((to_get.framing, to_get.keep_alive), (UntilClose, false));
        let (to_head, _) = response(text.as_bytes(), HEAD).unwrap();
        assert_eq!((to_head.framing, to_head.keep_alive), (None, persists_to_head));
    }
}

#[test]
fn a15_framing_that_could_be_read_in_two_ways() {
    for (lines, reason) in [
        ("Content-Length: 5\r\nContent-Length: 6", Reason::DuplicateContentLength),
        ("Content-Length: 5\r\nContent-Length: 5", Reason::DuplicateContentLength),
        ("Content-Length: 5, 5", Reason::InvalidContentLength),
        ("Content-Length: -1", Reason::InvalidContentLength),
        ("Content-Length:", Reason::InvalidContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", Reason::AmbiguousFraming),
        ("Transfer-Encoding: identity", Reason::InvalidTransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Reason::InvalidTransferEncoding),
        ("Transfer-Encoding: gzip, chunked", Reason::UnknownTransferCoding),
        ("Connection: a b", Reason::InvalidConnection),
    ] {
        refuses(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n"), reason);
    }
    refuses("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Reason::TransferEncodingInHttp10);
}

#[test]
fn a15_a_body_where_none_may_be() {
    for status in ["100 Continue", "103 Early Hints", "204 No Content"] {
        for lines in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            refuses(&format!("HTTP/1.1 {status}\r\n{lines}\r\n\r\n"), Reason::BodyNotAllowed);
        }
    }
    // One that was not announced shows as bytes beyond the message: the connection must not be used again.
    let bytes = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello";
    let (head, _) = response(bytes, GET).unwrap();
    let progress = BodyReader::new(head.framing, &Limits::RESPONSE).advance(&bytes[head.len..]).unwrap();
    assert_eq!((progress.consumed, progress.done), (0, true));
}

#[test]
fn a15_bytes_beyond_the_response_are_not_part_of_it() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n";
    let (head, _) = response(bytes, GET).unwrap();
    let progress = BodyReader::new(head.framing, &Limits::RESPONSE).advance(&bytes[head.len..]).unwrap();
    assert_eq!((progress.consumed, progress.done), (5, true));
}

#[test]
fn a15_floods_of_interim_responses() {
    let early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    for interim in 0..=20 {
        let found = response(early, RequestContext { interim, ..GET }).map(|_| ());
        let expected =
            if interim < Limits::RESPONSE.max_interim { Ok(()) } else { Err(Reason::TooManyInterim) };
        assert_eq!(found, expected);
    }
    let after_many = RequestContext { interim: u8::MAX, ..GET };
    assert!(response(b"HTTP/1.1 200 OK\r\n\r\n", after_many).is_ok());
}

#[test]
fn a15_replies_without_a_sound_status_line() {
    for line in [
        "<html>",
        "hello",
        "200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1  200 OK",
        "ICY 200 OK",
        "HTTP/1.1\t200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1 200OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1. 200 OK",
    ] {
        let found = response(format!("{line}\r\n\r\n").as_bytes(), GET).err().unwrap();
        assert!(matches!(found, Reason::InvalidStatusLine | Reason::FoldedLine), "{line:?} {found}");
    }
    refuses("\r\nHTTP/1.1 200 OK\r\n\r\n", Reason::InvalidStatusLine);
    refuses("HTTP/2.0 200 OK\r\n\r\n", Reason::UnsupportedVersion);
    for status in ["000", "099", "600", "999"] {
        refuses(&format!("HTTP/1.1 {status} x\r\n\r\n"), Reason::InvalidStatus);
    }
}

#[test]
fn a7_a8_fields_of_responses_are_as_strict() {
    for (lines, reason) in [
        ("a: b\nc: d", Reason::BareLf),
        ("a: b\rc: d", Reason::BareCr),
        ("a: \0", Reason::ControlCharacter),
        ("a : b", Reason::InvalidFieldName),
        ("a", Reason::InvalidFieldName),
        (": b", Reason::InvalidFieldName),
        (" a: b", Reason::FoldedLine),
        ("a: b\r\n c", Reason::FoldedLine),
    ] {
        refuses(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n"), reason);
    }
    refuses("HTTP/1.1 200 O\0K\r\n\r\n", Reason::ControlCharacter);
    refuses(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101)), Reason::TooManyFields);
    refuses(&format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "x".repeat(70_000)), Reason::HeadTooLarge);
    // An application behind us cannot be confused by the names that another one answers with.
    assert!(response(b"HTTP/1.1 200 OK\r\na_b: c\r\n\r\n", GET).is_ok());
}

#[test]
fn a11_only_a_request_that_asked_is_switched() {
    let switch =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00";
    let (head, _) = response(switch, UPGRADE).unwrap();
    assert!(head.is_switch() && !head.is_interim() && !head.keep_alive);
    assert_eq!((head.framing, &switch[head.len..]), (Framing::None, &b"\x81\x00"[..]));
    assert_eq!(response(switch, GET).err(), Some(Reason::UnexpectedUpgrade));
    for lines in ["", "Connection: upgrade\r\n", "Upgrade: x\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\n"]
    {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n");
        assert_eq!(response(head.as_bytes(), UPGRADE).err(), Some(Reason::UnexpectedUpgrade), "{lines:?}");
    }
    let old = b"HTTP/1.0 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    assert_eq!(response(old, UPGRADE).err(), Some(Reason::UnexpectedUpgrade));
    // Refusing to switch is an ordinary response, and the connection goes on with HTTP.
    let (stays, _) = response(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", UPGRADE).unwrap();
    assert!(!stays.is_switch() && stays.keep_alive);
}

#[test]
fn the_body_reaches_every_client() {
    let text = |framing: &str| format!("HTTP/1.1 200 OK\r\n{framing}\r\n");
    for (framing, client, delivery, persists) in [
        ("Content-Length: 5\r\n", Version::Http11, Delivery::AsIs, true),
        ("Content-Length: 5\r\n", Version::Http10, Delivery::AsIs, true),
        ("Transfer-Encoding: chunked\r\n", Version::Http11, Delivery::AsIs, true),
        ("Transfer-Encoding: chunked\r\n", Version::Http10, Delivery::Decode, false),
        ("", Version::Http11, Delivery::Encode, true),
        ("", Version::Http10, Delivery::AsIs, false),
    ] {
        let (head, _) = response(text(framing).as_bytes(), GET).unwrap();
        assert_eq!(head.delivery(client), delivery, "{framing:?} {client:?}");
        assert_eq!(head.ends_without_close(delivery), persists, "{framing:?} {client:?}");
    }
}

#[test]
fn the_reason_is_kept_as_it_came() {
    for (line, reason) in [
        ("HTTP/1.1 200 OK", &b"OK"[..]),
        ("HTTP/1.1 200 ", b""),
        ("HTTP/1.1 200", b""),
        ("HTTP/1.1 404 Not \u{e9}\t", b"Not \xc3\xa9\t"),
    ] {
        let bytes = format!("{line}\r\n\r\n").into_bytes();
        let (head, _) = response(&bytes, GET).unwrap();
        assert_eq!(head.reason_phrase(&bytes), reason);
    }
}

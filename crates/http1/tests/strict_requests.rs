//! Requests that a strict proxy refuses, row by row of the project's table of attacks (A1 to A17). Bodies (A5, A6)
//! are in `strict_bodies`, responses (A15) in `strict_responses`, what is stripped (A16, A17) also in `emission`.

mod common;

use common::{GET, request, request_within, response, with_lines};
use fairlead_http1::{FieldKind, Framing, Limits, Method, Reason, RequestError, Version};

fn refuses(lines: &str, reason: Reason, status: u16) {
    assert_eq!(with_lines(lines).err(), Some(reason), "{lines:?}");
    assert_eq!(RequestError(reason).status(), status, "{lines:?}");
}

fn refuses_line(line: &str, reason: Reason, status: u16) {
    let found = request(format!("{line}\r\nHost: a\r\n\r\n").as_bytes());
    assert_eq!(found.err(), Some(reason), "{line:?}");
    assert_eq!(RequestError(reason).status(), status, "{line:?}");
}

#[test]
fn a1_content_length_and_transfer_encoding() {
    refuses("Content-Length: 5\r\nTransfer-Encoding: chunked", Reason::AmbiguousFraming, 400);
    refuses("Transfer-Encoding: chunked\r\nContent-Length: 5", Reason::AmbiguousFraming, 400);
    refuses("transfer-encoding: chunked\r\ncontent-length: 0", Reason::AmbiguousFraming, 400);
}

#[test]
fn a2_content_length_that_is_not_one_plain_number() {
    for lines in ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5\r\ncontent-length: 5"] {
        refuses(lines, Reason::DuplicateContentLength, 400);
    }
    for value in [
        "1, 2",
        "5,5",
        "+5",
        "-1",
        "0x10",
        "1_0",
        "010",
        "00",
        "",
        "5 5",
        "5;",
        "1e1",
        "5.0",
        "\u{665}",
        "abc",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999999",
        "5\u{a0}",
    ] {
        refuses(&format!("Content-Length: {value}"), Reason::InvalidContentLength, 400);
    }
    for (value, length) in [("0", 0), ("5", 5), ("10", 10), ("9223372036854775807", u64::MAX >> 1)] {
        let (head, _) = with_lines(&format!("Content-Length: {value}")).unwrap();
        assert_eq!(head.framing, Framing::Length(length));
    }
}

#[test]
fn a2_a_length_above_the_limit_is_413() {
    let limits = Limits { max_body: 10, ..Limits::REQUEST };
    let post = |length| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    assert!(request_within(post(10).as_bytes(), &limits).is_ok());
    assert_eq!(request_within(post(11).as_bytes(), &limits).err(), Some(Reason::BodyTooLarge));
    assert_eq!(RequestError(Reason::BodyTooLarge).status(), 413);
}

#[test]
fn a3_transfer_encoding_other_than_one_chunked() {
    for value in [
        ",chunked",
        "chunked,",
        "x",
        "chunked, identity",
        "chunked, chunked",
        "xchunked",
        "chunkedx",
        "identity",
        "",
        "\"chunked\"",
        "chunked;q=1",
        "gzip",
        "chunked, gzip",
        "identity, chunked",
        "chunked chunked",
        "gzip chunked",
        "gzip;a, chunked",
        "gzip,, chunked",
        "chunked\u{a0}",
    ] {
        refuses(&format!("Transfer-Encoding: {value}"), Reason::InvalidTransferEncoding, 400);
    }
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked";
    refuses(twice, Reason::InvalidTransferEncoding, 400);
    refuses(
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        Reason::InvalidTransferEncoding,
        400,
    );
    for value in ["\x0bchunked", "chunked\x7f", "\0chunked"] {
        refuses(&format!("Transfer-Encoding: {value}"), Reason::ControlCharacter, 400);
    }
    for value in ["gzip, chunked", "x,chunked"] {
        refuses(&format!("Transfer-Encoding: {value}"), Reason::UnknownTransferCoding, 501);
    }
    for value in ["chunked", "Chunked", "CHUNKED", "  chunked\t"] {
        let (head, _) = with_lines(&format!("Transfer-Encoding:{value}")).unwrap();
        assert_eq!(head.framing, Framing::Chunked);
    }
}

#[test]
fn a4_transfer_encoding_in_http_1_0() {
    let old = request(
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
    );
    assert_eq!(old.err(), Some(Reason::TransferEncodingInHttp10));
}

#[test]
fn a7_bare_lf_bare_cr_and_nul() {
    for (head, reason) in [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", Reason::BareLf),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", Reason::BareLf),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", Reason::BareLf),
        ("GET / HTTP/1.1\n\n", Reason::BareLf),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", Reason::BareCr),
        ("GET / HTTP/1.1\r\nHost: a\rb: c\r\n\r\n", Reason::BareCr),
        ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", Reason::BareCr),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Reason::ControlCharacter),
        ("GET / HTTP/1.1\r\nHo\0st: a\r\n\r\n", Reason::ControlCharacter),
        ("GET / HTTP/1.1\r\nHost: a\0\r\n\r\n", Reason::ControlCharacter),
        ("GET / HTTP/1.1\r\nHost: a\r\nx: \x01\r\n\r\n", Reason::ControlCharacter),
        ("GET / HTTP/1.1\r\nHost: a\r\nx: \x7f\r\n\r\n", Reason::ControlCharacter),
        ("G\tET / HTTP/1.1\r\nHost: a\r\n\r\n", Reason::InvalidRequestLine),
    ] {
        assert_eq!(request(head.as_bytes()).err(), Some(reason), "{head:?}");
    }
}

#[test]
fn a7_tab_and_bytes_outside_ascii_are_opaque_in_values() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nx: a\tb \xff\xc3\xa9\r\n\r\n";
    let (_, storage) = request(head).unwrap();
    assert_eq!(storage.value(head, b"X"), Some(&b"a\tb \xff\xc3\xa9"[..]));
}

#[test]
fn a8_field_lines_that_are_none() {
    for lines in [
        "a : b",
        "a\t: b",
        "a",
        ": b",
        "a b: c",
        "(a): b",
        "a\u{e9}: b",
        "a\u{80}b: c",
        "\"a\": b",
        "a@b: c",
        "{a}: b",
    ] {
        refuses(lines, Reason::InvalidFieldName, 400);
    }
    for lines in [" a: b", "a: b\r\n c", "a: b\r\n\tc", "a: b\r\n : c", "a: b\r\n \r\nc: d"] {
        refuses(lines, Reason::FoldedLine, 400);
    }
    assert_eq!(request(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n").err(), Some(Reason::FoldedLine));
    assert_eq!(request(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n").err(), Some(Reason::InvalidFieldName));
}

#[test]
fn a8_every_byte_that_no_name_may_hold() {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    // A colon ends the name; control characters are refused as such, DEL among them.
    for byte in (0x20..=u8::MAX).filter(|&byte| !token(byte) && byte != b':' && byte != 0x7f) {
        for name in [vec![b'a', byte, b'b'], vec![b'a', byte], vec![byte, b'b']] {
            let expected = if name[0] == b' ' { Reason::FoldedLine } else { Reason::InvalidFieldName };
            let lines = [&name[..], b": c\r\n\r\n"].concat();
            let head = [&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], &lines].concat();
            assert_eq!(request(&head).err(), Some(expected), "{byte:#x}");
            let head = [&b"HTTP/1.1 200 OK\r\n"[..], &lines].concat();
            assert_eq!(response(&head, GET).err(), Some(expected), "{byte:#x}");
        }
    }
}

#[test]
fn a9_request_lines_that_are_none() {
    for line in [
        "GET /",
        "GET",
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET /a b HTTP/1.1 x",
        "/ HTTP/1.1",
        "G(T / HTTP/1.1",
    ] {
        let found = request(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).err().unwrap();
        assert_eq!(RequestError(found).status(), 400, "{line:?} {found}");
    }
    for line in ["GET / HTTP/1.1 ", "GET /  HTTP/1.1", "GET /a b HTTP/1.1", "GET /\tHTTP/1.1"] {
        refuses_line(line, Reason::InvalidRequestLine, 400);
    }
    for version in [
        "HTTP/1.32",
        "HTTP/4294967295.255",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "http/1.1",
        "HTTP/1,1",
        "HTTP/1.1x",
        "HTTP/ 1.1",
        "xHTTP/1.1",
        "HTTP/01.1",
        "HTTPS/1.1",
        "ICY/1.1",
    ] {
        let found = request(format!("GET / {version}\r\nHost: a\r\n\r\n").as_bytes()).err().unwrap();
        assert_eq!(RequestError(found).status(), 400, "{version:?} {found}");
    }
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"] {
        refuses_line(&format!("GET / {version}"), Reason::UnsupportedVersion, 505);
    }
    assert_eq!(request(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").err(), Some(Reason::UnsupportedVersion));
}

#[test]
fn a9_targets_that_are_none() {
    for target in [
        "*",
        "a",
        "a/b",
        "?a",
        "!",
        "/a#b",
        "/#",
        "/<a>",
        "/\"",
        "/\u{e9}",
        "http:/a/",
        "http://",
        "https://",
        "ftp://a/",
        "//",
        "a:80",
        "http:a",
        "javascript:x",
    ] {
        let line = format!("GET {target} HTTP/1.1");
        match target {
            // An authority in front of a path is not seen in origin-form: this is a path with an empty segment.
            "//" => assert!(request(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).is_ok()),
            "http://" | "https://" => refuses_line(&line, Reason::InvalidHost, 400),
            _ => refuses_line(&line, Reason::InvalidTarget, 400),
        }
    }
    for target in ["http://a@b/", "http://a,b/", "http://a:b/", "http:///x", "http://a:/", "http://[::1/"] {
        refuses_line(&format!("GET {target} HTTP/1.1"), Reason::InvalidHost, 400);
    }
    assert_eq!(request(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n").err(), Some(Reason::InvalidRequestLine));
}

#[test]
fn a9_a_target_above_its_limit_is_414() {
    let limits = Limits { max_target: 100, ..Limits::REQUEST };
    for (len, fits) in [(100, true), (101, false), (200, false), (50_000, false), (70_000, false)] {
        let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(len - 1));
        let found = request_within(head.as_bytes(), &limits).map(|_| ());
        assert_eq!(found, if fits { Ok(()) } else { Err(Reason::TargetTooLong) }, "{len}");
    }
    assert_eq!(RequestError(Reason::TargetTooLong).status(), 414);
}

#[test]
fn a9_an_absolute_target_replaces_host() {
    let head = b"GET http://b.example:81/c?d HTTP/1.1\r\nHost: a\r\n\r\n";
    let (parsed, _) = request(head).unwrap();
    assert_eq!(parsed.authority(head), Some(&b"b.example:81"[..]));
    assert_eq!(parsed.host(head), b"b.example");
    assert_eq!((parsed.path(head), parsed.query(head)), (&b"/c"[..], Some(&b"d"[..])));
    for (line, path, query) in [
        ("GET HTTPS://B HTTP/1.1", "/", None),
        ("GET http://b?x/y HTTP/1.1", "/", Some("x/y")),
        ("OPTIONS http://b HTTP/1.1", "*", None),
        ("OPTIONS http://b? HTTP/1.1", "/", Some("")),
        ("OPTIONS http://b/ HTTP/1.1", "/", None),
        ("OPTIONS * HTTP/1.1", "*", None),
    ] {
        let head = format!("{line}\r\nHost: b\r\n\r\n").into_bytes();
        let (parsed, _) = request(&head).unwrap();
        assert_eq!(parsed.path(&head), path.as_bytes(), "{line}");
        assert_eq!(parsed.query(&head), query.map(str::as_bytes), "{line}");
    }
}

#[test]
fn a9_an_absolute_target_does_not_excuse_a_missing_or_broken_host() {
    assert_eq!(request(b"GET http://b/ HTTP/1.1\r\n\r\n").err(), Some(Reason::MissingHost));
    assert_eq!(request(b"GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n").err(), Some(Reason::InvalidHost));
}

#[test]
fn a10_host_is_there_once_and_is_one_host() {
    assert_eq!(request(b"GET / HTTP/1.1\r\n\r\n").err(), Some(Reason::MissingHost));
    assert_eq!(request(b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n").err(), Some(Reason::DuplicateHost));
    for host in
        ["a,b", "a@b", "a b", "", "a/b", "a:x", "a:", ":80", "a#b", "a?b", "a\\b", "\u{e9}", "a%2eb", "[::1"]
    {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(request(head.as_bytes()).err(), Some(Reason::InvalidHost), "{host:?}");
    }
    let (old, _) = request(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!((old.version, old.authority(b"")), (Version::Http10, None));
    assert_eq!(request(b"GET / HTTP/1.0\r\nHost: a,b\r\n\r\n").err(), Some(Reason::InvalidHost));
}

#[test]
fn a10_the_host_for_routing_is_lower_case_without_port_and_final_dot() {
    let mut out = b"left over".to_vec();
    for (host, routed) in [("Ex.AMPLE", "ex.ample"), ("a.:80", "a"), ("[::A]:1", "[::a]")] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        request(&head).unwrap().0.write_host(&head, &mut out);
        assert_eq!(out, routed.as_bytes());
    }
}

#[test]
fn a11_upgrade_needs_http_1_1_the_option_and_no_body_and_is_never_h2c() {
    let asks = |line: &str, lines: &str| {
        request(format!("{line}\r\nHost: a\r\n{lines}\r\n\r\n").as_bytes()).unwrap().0.upgrade
    };
    let get = "GET / HTTP/1.1";
    assert!(asks(get, "Connection: Upgrade\r\nUpgrade: websocket"));
    assert!(asks(get, "Upgrade: x\r\nConnection: keep-alive, upgrade\r\nContent-Length: 0"));
    assert!(!asks(get, "Upgrade: websocket"));
    assert!(!asks(get, "Connection: upgrade"));
    assert!(!asks(get, "Connection: upgrade\r\nUpgrade:"));
    assert!(!asks("GET / HTTP/1.0", "Connection: upgrade\r\nUpgrade: websocket"));
    for body in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
        let post = "POST / HTTP/1.1";
        assert!(!asks(post, &format!("Connection: upgrade\r\nUpgrade: websocket\r\n{body}")));
    }
    for protocols in ["h2c", "H2C", "websocket, h2c", "h2c\r\nUpgrade: websocket"] {
        assert!(!asks(
            get,
            &format!("Connection: upgrade, http2-settings\r\nHTTP2-Settings: x\r\nUpgrade: {protocols}")
        ));
    }
}

#[test]
fn a11_a_pipelined_request_is_left_alone() {
    let first = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let both = [&first[..], b"\0\n\r not looked at"].concat();
    assert_eq!(request(&both).unwrap().0.len, first.len());
}

#[test]
fn a12_connect_is_refused_before_a_byte_goes_upstream() {
    for line in ["CONNECT a:443 HTTP/1.1", "CONNECT / HTTP/1.1", "CONNECT http://a/ HTTP/1.0"] {
        refuses_line(line, Reason::ConnectRefused, 501);
    }
    refuses_line("PRI / HTTP/1.1", Reason::ReservedMethod, 501);
    refuses_line("connect a:443 HTTP/1.1", Reason::InvalidTarget, 400);
}

#[test]
fn a14_expect_is_100_continue_once_or_417() {
    for value in ["100-continue, x", "x", "", "100-continued", "200-ok", "100-continue;a=b"] {
        refuses(&format!("Expect: {value}\r\nContent-Length: 5"), Reason::ExpectationFailed, 417);
    }
    let twice = "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5";
    refuses(twice, Reason::ExpectationFailed, 417);
    let waits = |line: &str, lines: &str| {
        request(format!("{line}\r\nHost: a\r\n{lines}\r\n\r\n").as_bytes()).unwrap().0.expect_continue
    };
    assert!(waits("PUT / HTTP/1.1", "Expect: 100-Continue\r\nContent-Length: 5"));
    assert!(waits("PUT / HTTP/1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked"));
    assert!(!waits("PUT / HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 0"));
    assert!(!waits("PUT / HTTP/1.1", "Expect: 100-continue"));
    assert!(!waits("PUT / HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 5"));
    assert!(!waits("PUT / HTTP/1.0", "Expect: something\r\nContent-Length: 5"));
}

#[test]
fn a16_connection_names_fields_away_but_not_those_that_matter() {
    let lines = "Connection: close, X-Forwarded-For, AUTHORIZATION, host, content-length, x-forwarded-port, cookie, a\r\n\
                 Authorization: secret\r\nCookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Port: 1\r\n\
                 Content-Length: 3\r\nA: b\r\nB: c";
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n").into_bytes();
    let (parsed, storage) = request(&head).unwrap();
    assert!(!parsed.keep_alive);
    assert_eq!(parsed.framing, Framing::Length(3));
    let kinds: Vec<_> = storage.fields().iter().map(|field| field.kind).collect();
    assert_eq!(
        kinds,
        [
            FieldKind::Host,
            FieldKind::Connection,
            FieldKind::HopByHop,
            FieldKind::HopByHop,
            FieldKind::XForwardedFor,
            FieldKind::Forwarding,
            FieldKind::ContentLength,
            FieldKind::HopByHop,
            FieldKind::EndToEnd,
        ]
    );
    for value in ["a b", "\"close\"", "close;x", "a/b", "\u{e9}", &"a,".repeat(40)] {
        refuses(&format!("Connection: {value}"), Reason::InvalidConnection, 400);
    }
    refuses("Connection: a\r\n".repeat(33).trim_end(), Reason::InvalidConnection, 400);
    assert!(with_lines("Connection: , keep-alive ,").is_ok());
}

#[test]
fn a17_underscores_in_names_are_refused() {
    for lines in [
        "X_Forwarded_For: 1.2.3.4",
        "content_length: 5",
        "a_b: c",
        "_: c",
        "X-Forwarded-_For: 1.2.3.4",
        "x-envoy_a: b",
    ] {
        refuses(lines, Reason::UnderscoreInFieldName, 400);
    }
}

#[test]
fn names_that_spell_a_framing_field_are_refused() {
    for name in [
        "Transfer--Encoding",
        "transfer.encoding",
        "~Transfer-Encoding",
        "Transfer-Encoding-",
        "Content~Length",
        "CONTENT---LENGTH",
        "-content-length",
        "C-o-n-t-e-n-t-Length",
        "Content-Lengt!",
        "ContentXLength",
        "TransferEncoding!",
        "t~~~~~~~~~~~~~~~~",
    ] {
        refuses(&format!("{name}: 5"), Reason::LookalikeFieldName, 400);
    }
    for name in [
        "X-Transfer-Encoding",
        "Content-Length-2",
        "ContentLength",
        "Content-Language",
        "t",
        "~~~~~~~~~~~~~~~~~~",
    ] {
        assert!(with_lines(&format!("{name}: 5")).is_ok(), "{name}");
    }
}

#[test]
fn a_body_is_refused_where_it_has_no_meaning() {
    let parse = |method: &str, body: &str| {
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{body}\r\n\r\n");
        request(head.as_bytes()).map(|(head, _)| head.is_last())
    };
    for body in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
        for method in ["GET", "HEAD", "TRACE", "get", "Head"] {
            assert_eq!(parse(method, body), Err(Reason::UnexpectedBody), "{method} {body}");
        }
        for method in ["DELETE", "OPTIONS"] {
            assert_eq!(
                parse(method, body),
                Ok(true),
                "forwarded, on a connection that ends: {method} {body}"
            );
        }
        for method in ["POST", "PUT", "PATCH", "REPORT"] {
            assert_eq!(parse(method, body), Ok(false), "{method} {body}");
        }
    }
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        assert_eq!(parse(method, "Content-Length: 0"), Ok(false), "{method}: nothing is no body");
    }
    assert_eq!(RequestError(Reason::UnexpectedBody).status(), 400);
}

#[test]
fn too_many_or_too_large_fields_are_431() {
    refuses("a: b\r\n".repeat(100).trim_end(), Reason::TooManyFields, 431);
    assert!(with_lines("a: b\r\n".repeat(99).trim_end()).is_ok());
    refuses(&format!("a: {}", "x".repeat(65_536)), Reason::HeadTooLarge, 431);
    assert!(with_lines(&format!("a: {}", "x".repeat(65_000))).is_ok());
}

#[test]
fn methods_are_tokens_of_any_case() {
    for (name, method) in
        [("GET", Method::Get), ("get", Method::Other), ("M-SEARCH", Method::Other), ("PATCH", Method::Patch)]
    {
        let head = format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
        let (parsed, _) = request(&head).unwrap();
        assert_eq!((parsed.method, parsed.method_name(&head)), (method, name.as_bytes()));
    }
    refuses_line("G=\":<>(e)= / HTTP/1.1", Reason::InvalidRequestLine, 400);
    refuses_line(&format!("{} / HTTP/1.1", "X".repeat(25)), Reason::MethodTooLong, 501);
}

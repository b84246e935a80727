//! Chunked bodies that a strict proxy refuses (rows A5 and A6), and what it makes of good ones.

mod common;

use common::{GET, chunked, decode, request, response};
use fairlead_http1::{BodyError, BodyReader, Framing, Limits, MAX_FIELDS, Reason, RequestError};

fn refuses(wire: &[u8], reason: Reason) {
    assert_eq!(chunked(wire).err(), Some(reason), "{:?}", String::from_utf8_lossy(wire));
    assert_eq!(RequestError(reason).status(), 400);
}

#[test]
fn chunks_give_their_payload_and_end_with_the_empty_line() {
    let wire = b"5\r\nhello\r\n006;a=b;c;d=\"e\\\" \xff\"\r\n world\r\n0\r\n\r\nGET /";
    let whole = chunked(wire).unwrap();
    assert_eq!(whole.payload, b"hello world");
    assert_eq!(&wire[whole.consumed..], b"GET /");
    assert!(whole.done);
    assert_eq!(whole.trailers, b"\r\n");
}

#[test]
fn sizes_are_hexadecimal_in_any_case_up_to_sixteen_digits() {
    for (size, len) in [("a", 10), ("A", 10), ("0a", 10), ("000000000000000a", 10), ("1F", 31)] {
        let wire = [size.as_bytes(), b"\r\n", &vec![b'x'; len], b"\r\n00\r\n\r\n"].concat();
        let whole = chunked(&wire).unwrap();
        assert_eq!((whole.payload.len(), whole.done), (len, true), "{size}");
    }
    let largest =
        BodyReader::new(Framing::Chunked, &Limits::REQUEST).advance(b"7fffffffffffffff\r\nx").unwrap();
    assert_eq!((largest.payload, largest.done), (1, false));
}

#[test]
fn a5_chunk_sizes_that_are_none() {
    for size in [
        "0x1",
        "-0",
        "-1",
        "+1",
        "1_0",
        "",
        " 1",
        "\t1",
        "1 ",
        "1\t",
        "g",
        "1.",
        "00000000000000001",
        "8000000000000000",
        "ffffffffffffffff",
        "1 ;a",
        "1\0",
        "\u{661}",
    ] {
        refuses(format!("{size}\r\nx\r\n0\r\n\r\n").as_bytes(), Reason::InvalidChunkSize);
    }
    refuses(b"\r\n0\r\n\r\n", Reason::InvalidChunkSize);
}

#[test]
fn a5_chunk_extensions_that_are_none() {
    for extension in [
        ";",
        ";;",
        "; a",
        ";a ",
        ";a =b",
        ";a= b",
        ";a=",
        ";=b",
        ";a=\"",
        ";a=\"b",
        ";a=\"b\"c",
        ";a=b=c",
        ";a\rb",
        ";a=\"\r\"",
        ";a=\"\\\r\"",
        ";a\0",
        ";a=\"\x07\"",
        ";\u{e9}",
        ";a,b",
        ";a=b ;c",
    ] {
        refuses(
            format!("1{extension}\r\nx\r\n0\r\n\r\n").as_bytes(),
            match extension {
                ";a\rb" => Reason::BareCr,
                _ => Reason::InvalidChunkExtension,
            },
        );
    }
    refuses(b"1;a=\"\n\"\r\nx\r\n0\r\n\r\n", Reason::BareLf);
}

#[test]
fn a5_line_ends_of_chunks_are_crlf_and_are_there() {
    for (wire, reason) in [
        (&b"1\nx\r\n0\r\n\r\n"[..], Reason::BareLf),
        (b"1;a\nx\r\n0\r\n\r\n", Reason::BareLf),
        (b"1\rx\r\n0\r\n\r\n", Reason::BareCr),
        (b"1\r\nx\n0\r\n\r\n", Reason::InvalidChunkEnd),
        (b"1\r\nx0\r\n\r\n", Reason::InvalidChunkEnd),
        (b"1\r\nx\r0\r\n\r\n", Reason::InvalidChunkEnd),
        (b"1\r\nxy\r\n0\r\n\r\n", Reason::InvalidChunkEnd),
        (b"1\r\nx\r\n\r\n0\r\n\r\n", Reason::InvalidChunkSize),
        (b"1\r\nx\r\n0\n\r\n", Reason::BareLf),
        (b"1\r\nx\r\n0\r\n\n", Reason::BareLf),
        (b"1\r\nx\r\n0\r\n\rx", Reason::BareCr),
    ] {
        refuses(wire, reason);
    }
}

#[test]
fn a6_extensions_trailers_and_tiny_chunks_have_budgets() {
    let limits =
        Limits { max_chunk_extensions: 10, max_chunk_overhead: 100, max_trailers: 20, ..Limits::REQUEST };
    let read = |wire: &[u8]| decode(Framing::Chunked, &limits, wire, &[]).map_err(BodyError::reason);
    // The semicolon that opens an extension is not counted, the rest is.
    assert!(read(b"4;123456789\r\nabcd\r\n0\r\n\r\n").is_ok());
    assert_eq!(read(b"4;123456789ab\r\nabcd\r\n0\r\n\r\n"), Err(Reason::ChunkExtensionsTooLarge));
    assert_eq!(
        read(b"4;1234567\r\nabcd\r\n4;1234567\r\nabcd\r\n0\r\n\r\n"),
        Err(Reason::ChunkExtensionsTooLarge)
    );
    assert!(
        read(&[&b"2\r\nxy\r\n".repeat(1000)[..], b"0\r\n\r\n"].concat()).is_ok(),
        "two bytes pay their way"
    );
    assert_eq!(read(&b"1\r\nx\r\n".repeat(110)), Err(Reason::ChunkOverhead), "one byte does not");
    assert_eq!(
        read(&[&b"1\r\nx\r\n".repeat(90)[..], b"0\r\n\r\n"].concat()).map(|whole| whole.done),
        Ok(true)
    );
    assert!(read(b"0\r\na: 45678901234567\r\n\r\n").is_err());
    assert!(read(b"0\r\na: 456789012345\r\n\r\n").is_ok());
    assert_eq!(read(b"0\r\na: 4567890\r\na: 4567890\r\n\r\n"), Err(Reason::TrailersTooLarge));
    assert_eq!(RequestError(Reason::TrailersTooLarge).status(), 431);
}

#[test]
fn a6_trailers_have_no_more_lines_than_a_head() {
    let read = |limits: &Limits, lines: usize| {
        let wire = format!("1\r\nx\r\n0\r\n{}\r\n", "a:\r\n".repeat(lines));
        decode(Framing::Chunked, limits, wire.as_bytes(), &[]).map_err(BodyError::reason)
    };
    for limits in [Limits::REQUEST, Limits::RESPONSE] {
        assert_eq!(read(&limits, 100).map(|whole| whole.done), Ok(true));
        assert_eq!(read(&limits, 101).err(), Some(Reason::TooManyFields));
    }
    let one = Limits { max_fields: 1, ..Limits::REQUEST };
    assert!(read(&one, 1).is_ok());
    assert_eq!(read(&one, 2).err(), Some(Reason::TooManyFields));
    let none = Limits { max_fields: 0, ..Limits::REQUEST };
    assert!(read(&none, 0).is_ok(), "the line that ends them is no field");
    assert_eq!(read(&none, 1).err(), Some(Reason::TooManyFields));
    let many = Limits { max_fields: usize::MAX, ..Limits::REQUEST };
    assert!(read(&many, MAX_FIELDS).is_ok());
    assert_eq!(
        read(&many, MAX_FIELDS + 1).err(),
        Some(Reason::TooManyFields),
        "what a head cannot have either"
    );
    assert_eq!(RequestError(Reason::TooManyFields).status(), 431);
}

#[test]
fn a6_the_body_limit_counts_all_chunks() {
    let limits = Limits { max_body: 10, ..Limits::REQUEST };
    let read = |wire: &[u8]| decode(Framing::Chunked, &limits, wire, &[]).map_err(BodyError::reason);
    assert!(read(b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n").is_ok());
    assert_eq!(read(b"5\r\nhello\r\n6\r\n"), Err(Reason::BodyTooLarge), "before its data comes");
}

#[test]
fn trailers_are_fields_and_are_given_as_they_came() {
    let whole = chunked(b"1\r\nx\r\n0\r\nGrpc-Status: 0\r\nb:\t\xff \r\n\r\nrest").unwrap();
    assert_eq!(whole.trailers, b"Grpc-Status: 0\r\nb:\t\xff \r\n\r\n");
    for (trailer, reason) in [
        ("a", Reason::InvalidTrailer),
        (": b", Reason::InvalidTrailer),
        ("a : b", Reason::InvalidTrailer),
        ("a(b: c", Reason::InvalidTrailer),
        (" a: b", Reason::FoldedLine),
        ("a: b\r\n c", Reason::FoldedLine),
        ("a: b\nc: d", Reason::BareLf),
        ("a\n: b", Reason::BareLf),
        ("a: b\rc: d", Reason::BareCr),
        ("a: \0", Reason::ControlCharacter),
        ("a_b: c", Reason::UnderscoreInFieldName),
    ] {
        refuses(format!("0\r\n{trailer}\r\n\r\n").as_bytes(), reason);
    }
}

#[test]
fn trailers_cannot_say_what_only_a_head_may_say() {
    for name in [
        "Content-Length",
        "transfer-encoding",
        "HOST",
        "Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Cookie",
        "Authorization",
        "Set-Cookie",
        "Content-Type",
        "X-Forwarded-For",
        "x-forwarded-anything",
        "Forwarded",
        "X-Real-IP",
        "x-envoy-peer-metadata",
        "X-Envoy-Original-Path",
        "HTTP2-Settings",
    ] {
        refuses(format!("0\r\na: b\r\n{name}: 5\r\n\r\n").as_bytes(), Reason::ForbiddenTrailer);
    }
    for name in ["content-lengths", "xcontent-length", "x-forwarded", "x-envoy", "x-real-ips", "hosts", "t"] {
        assert!(chunked(format!("0\r\n{name}: 5\r\n\r\n").as_bytes()).is_ok(), "{name}");
    }
}

#[test]
fn a16_a_trailer_that_connection_names_would_have_to_end_here() {
    let fields =
        "Connection: close, X-Mine\r\nconnection: te, Grpc-Status\r\nTransfer-Encoding: chunked\r\n\r\n";
    let request_head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}");
    let response_head = format!("HTTP/1.1 200 OK\r\n{fields}");
    for (trailer, expected) in [
        ("x-mine", Err(Reason::ForbiddenTrailer)),
        ("X-MINE", Err(Reason::ForbiddenTrailer)),
        ("grpc-status", Err(Reason::ForbiddenTrailer)),
        ("x-mine-too", Ok(true)),
        ("x-other", Ok(true)),
        ("grpc-message", Ok(true)),
    ] {
        let body = format!("1\r\nx\r\n0\r\na: b\r\n{trailer}: 1\r\n\r\n");
        let (head, _) = request(request_head.as_bytes()).unwrap();
        let (answer, _) = response(response_head.as_bytes(), GET).unwrap();
        for mut reader in [head.body(&Limits::REQUEST), answer.body(&Limits::RESPONSE)] {
            let read = reader.advance(body.as_bytes()).map(|progress| progress.done);
            assert_eq!(read.map_err(BodyError::reason), expected, "{trailer}");
        }
    }
}

#[test]
fn a16_of_a_connection_that_names_more_than_anybody_does_no_trailer_passes() {
    for (names, passes) in [("a, b, c, d", true), ("a, b, c, d, e", false)] {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: {names}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let (head, _) = request(head.as_bytes()).unwrap();
        for (body, expected) in
            [("0\r\n\r\n", true), ("0\r\nf: 1\r\n\r\n", passes), ("0\r\nb: 1\r\n\r\n", false)]
        {
            let read = head.body(&Limits::REQUEST).advance(body.as_bytes());
            assert_eq!(read.is_ok(), expected, "{names}: {body:?}");
        }
    }
}

#[test]
fn a17_trailers_that_look_like_framing_fields() {
    for name in
        ["Content--Length", "content.length", "~content-length", "transfer.encoding", "Transfer--Encoding"]
    {
        refuses(format!("0\r\n{name}: 5\r\n\r\n").as_bytes(), Reason::LookalikeFieldName);
    }
}

#[test]
fn a_connection_that_ends_in_a_chunked_body_has_cut_it() {
    let wire = b"5;a=b\r\nhello\r\n0\r\na: b\r\n\r\n";
    for end in 0..=wire.len() {
        let mut reader = BodyReader::new(Framing::Chunked, &Limits::REQUEST);
        assert_eq!(reader.advance(&wire[..end]).unwrap().consumed, end);
        let expected = if end == wire.len() { Ok(()) } else { Err(BodyError(Reason::Truncated)) };
        assert_eq!(reader.eof(), expected, "{end}");
    }
}

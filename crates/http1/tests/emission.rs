//! What goes on: lines that pass untouched, lines that end here, and lines of our own.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use common::{GET, request, response};
use fairlead_http1::{
    Delivery, FieldLine, Forwarded, InvalidEdit, RequestContext, RequestEdits, ResponseEdits, Scheme, Trust,
    Version,
};

fn upstream(head: &str, edits: &RequestEdits<'_>) -> String {
    let (parsed, storage) = request(head.as_bytes()).unwrap();
    let mut out = b"before".to_vec();
    parsed.write_to(head.as_bytes(), &storage, &mut out, edits).unwrap();
    String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
}

fn client(head: &str, context: RequestContext, version: Version, keep_alive: bool) -> String {
    let (parsed, storage) = response(head.as_bytes(), context).unwrap();
    let delivery = parsed.delivery(version);
    let mut out = Vec::new();
    parsed.write_to(
        head.as_bytes(),
        &storage,
        &mut out,
        &ResponseEdits { client: version, keep_alive, delivery, add: &[] },
    );
    String::from_utf8(out).unwrap()
}

const CLIENT: Forwarded = Forwarded {
    client: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
    trust: Trust::Nothing,
    proto: Some(Scheme::Http),
    host: true,
};

fn believing(trust: Trust) -> RequestEdits<'static> {
    RequestEdits { forwarded: Some(Forwarded { trust, ..CLIENT }), ..RequestEdits::default() }
}

#[test]
fn a_plain_request_passes_byte_for_byte() {
    let head = "GET /a?b=c HTTP/1.1\r\nHost: a\r\nx-Odd:   as  sent \t\r\nCookie: a=b\r\nX: \r\n\r\n";
    assert_eq!(upstream(head, &RequestEdits::default()), head);
}

#[test]
fn what_frames_or_routes_has_one_space_around_its_value_whatever_was_sent() {
    for (sent, written) in [
        ("transfer-encoding:chunked", "transfer-encoding: chunked"),
        ("Transfer-Encoding: chunked\t", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding:\t chunked  ", "Transfer-Encoding: chunked"),
        ("Content-Length:5", "Content-Length: 5"),
        ("Content-Length:  5", "Content-Length: 5"),
        ("Content-Length: 5 ", "Content-Length: 5"),
    ] {
        let head = |line: &str| format!("POST / HTTP/1.1\r\nA:  1 \r\n{line}\r\nHost: a\r\nB:2\r\n\r\n");
        assert_eq!(upstream(&head(sent), &RequestEdits::default()), head(written), "{sent:?}");
        let head = |line: &str| format!("HTTP/1.1 200 OK\r\nA:  1 \r\n{line}\r\nB:2\r\n\r\n");
        assert_eq!(client(&head(sent), GET, Version::Http11, true), head(written), "{sent:?}");
    }
    let head = "GET / HTTP/1.1\r\nA: 1\r\nHost:\ta \r\n\r\n";
    assert_eq!(upstream(head, &RequestEdits::default()), head.replace("\ta \r", " a\r"));
}

#[test]
fn hop_by_hop_fields_and_those_that_connection_names_end_here() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-drop, host, content-length\r\nKeep-Alive: 5\r\n\
                A: 1\r\nX-Drop: 2\r\nProxy-Connection: x\r\nTE: trailers\r\nB: 3\r\nC: 4\r\nUpgrade: x\r\n\
                Proxy-Authorization: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\nTrailer: d\r\n\r\n";
    let expected = "POST / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 3\r\nC: 4\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\
                    Trailer: d\r\n\r\n";
    assert_eq!(upstream(head, &RequestEdits::default()), expected);
}

#[test]
fn the_upstream_hears_http_1_1_with_one_host() {
    assert_eq!(
        upstream("GET http://B:81/x?y HTTP/1.1\r\nA: 1\r\nHost: a\r\n\r\n", &RequestEdits::default()),
        "GET /x?y HTTP/1.1\r\nHost: B:81\r\nA: 1\r\n\r\n"
    );
    assert_eq!(
        upstream("OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n", &RequestEdits::default()),
        "OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n"
    );
    assert_eq!(
        upstream(
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n",
            &RequestEdits::default()
        ),
        "GET / HTTP/1.1\r\nHost: \r\n\r\n"
    );
    let edits = RequestEdits { host: Some(b"10.0.0.1:8080"), close: true, ..RequestEdits::default() };
    assert_eq!(
        upstream("\r\nGET / HTTP/1.0\r\nhost: a\r\n\r\n", &edits),
        "GET / HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn the_path_is_replaced_and_the_query_stays() {
    let edits = RequestEdits { path: Some(b"/n/x"), ..RequestEdits::default() };
    assert_eq!(
        upstream("GET /a//x?q=/../ HTTP/1.1\r\nHost: a\r\n\r\n", &edits),
        "GET /n/x?q=/../ HTTP/1.1\r\nHost: a\r\n\r\n"
    );
    assert_eq!(
        upstream("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", &edits),
        "GET /n/x HTTP/1.1\r\nHost: b\r\n\r\n"
    );
}

#[test]
fn edits_cannot_inject() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (parsed, storage) = request(head).unwrap();
    let mut out = b"before".to_vec();
    for path in ["", "a", "/a b", "/a\r\nb", "/a\0", "/a?b", "/#", "/\u{e9}", "**"] {
        let edits = RequestEdits { path: Some(path.as_bytes()), ..RequestEdits::default() };
        assert_eq!(parsed.write_to(head, &storage, &mut out, &edits), Err(InvalidEdit), "{path:?}");
    }
    for host in ["", "a b", "a\r\nb: c", "a/b"] {
        let edits = RequestEdits { host: Some(host.as_bytes()), ..RequestEdits::default() };
        assert_eq!(parsed.write_to(head, &storage, &mut out, &edits), Err(InvalidEdit), "{host:?}");
    }
    assert_eq!(out, b"before");
}

#[test]
fn a17_what_a_stranger_says_about_the_client_is_replaced() {
    let head = "GET / HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-For: 6.6.6.6\r\nx-forwarded-proto: https\r\nA: 1\r\n\
                X-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Port: 1\r\n\
                x-envoy-internal: true\r\n\r\n";
    let edits = believing(Trust::Nothing);
    assert_eq!(
        upstream(head, &edits),
        "GET / HTTP/1.1\r\nHost: a:1\r\nA: 1\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: a:1\r\n\r\n"
    );
}

#[test]
fn a17_a_trusted_hop_is_appended_to() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nx-forwarded-proto: https\r\nA: 1\r\n\
                x-forwarded-for: 2.2.2.2, 3.3.3.3\r\nX-Forwarded-For:\r\nForwarded: for=x\r\n\r\n";
    let edits = believing(Trust::Everything);
    assert_eq!(
        upstream(head, &edits),
        "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nForwarded: for=x\r\n\
         X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: a\r\n\r\n"
    );
}

#[test]
fn a17_a_trusted_hops_word_counts_if_it_is_one() {
    let given = |field: &str, values: &[&str]| {
        let lines: Vec<_> = values.iter().map(|value| format!("{field}:{value}\r\nB: 1\r\n")).collect();
        let lines = lines.concat();
        let passed =
            upstream(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"), &believing(Trust::Everything));
        let of_field = |line: &&str| line.to_ascii_lowercase().starts_with(field);
        passed.lines().filter(of_field).map(str::to_owned).collect::<Vec<_>>()
    };
    for (field, name, ours, theirs, other) in [
        ("x-forwarded-proto", "X-Forwarded-Proto", "http", "https", "wss"),
        ("x-forwarded-host", "X-Forwarded-Host", "a", "b.test:8443", "c.test"),
    ] {
        let line = |value: &str| [format!("{name}: {value}")];
        let upper = theirs.to_ascii_uppercase();
        for said in [&[theirs][..], &[theirs, theirs], &[theirs, &upper], &["", theirs], &[theirs, " \t"]] {
            assert_eq!(given(field, said), line(theirs), "{said:?}");
        }
        // Nothing, or two things: whoever reads the first line and whoever reads the last must not differ.
        for said in
            [&[][..], &[""], &[" ", "\t"], &[theirs, other], &[theirs, theirs, other], &[other, "", theirs]]
        {
            assert_eq!(given(field, said), line(ours), "{said:?}");
        }
    }
    let edits = RequestEdits { forwarded: None, ..RequestEdits::default() };
    let head = "GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-proto: \r\nX-Forwarded-Proto: x\r\n\r\n";
    assert_eq!(upstream(head, &edits), head, "what is to be left alone is");
}

#[test]
fn a17_who_names_no_host_has_none_told_of() {
    let head = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n";
    let told = "GET / HTTP/1.1\r\nHost: \r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n";
    for trust in [Trust::Nothing, Trust::Addresses, Trust::Everything] {
        assert_eq!(upstream(&format!("{head}\r\n"), &believing(trust)), format!("{told}\r\n"));
    }
    assert_eq!(
        upstream(&format!("{head}X-Forwarded-Host: b\r\n\r\n"), &believing(Trust::Everything)),
        format!("{told}X-Forwarded-Host: b\r\n\r\n")
    );
}

#[test]
fn a17_a_list_that_is_appended_to_does_not_make_the_rest_believed() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nx-forwarded-proto: https\r\n\
                x-forwarded-for: 2.2.2.2\r\nX-Forwarded-Host: evil\r\nForwarded: for=x\r\nX-Real-IP: 1.1.1.1\r\n\r\n";
    assert_eq!(
        upstream(head, &believing(Trust::Addresses)),
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.7\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n"
    );
}

#[test]
fn a16_naming_them_in_connection_does_not_remove_what_we_set() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For, x-forwarded-proto, x-forwarded-host, x-id\r\n\
                X-Forwarded-For: 1.1.1.1\r\nX-Id: theirs\r\n\r\n";
    let add = [FieldLine::new(b"X-Id", b"ours").unwrap()];
    let edits = RequestEdits { add: &add, ..believing(Trust::Everything) };
    assert_eq!(
        upstream(head, &edits),
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1, 192.0.2.7\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: a\r\nX-Id: ours\r\n\r\n"
    );
}

#[test]
fn an_upgrade_passes_with_an_option_of_our_own() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let edits = RequestEdits { close: true, ..RequestEdits::default() };
    assert_eq!(
        upstream(head, &edits),
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    );
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nA: 1\r\n\r\n";
    assert_eq!(
        client(switch, RequestContext { upgrade: true, ..GET }, Version::Http11, true),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nA: 1\r\nConnection: upgrade\r\n\r\n"
    );
    let smuggled = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n";
    assert_eq!(upstream(smuggled, &RequestEdits::default()), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn a_response_passes_with_its_date_and_without_its_hop() {
    let head = "HTTP/1.1 200 Fine\r\nDate: x\r\nServer: y\r\nConnection: close, a\r\nKeep-Alive: 5\r\nA: 1\r\n\
                Content-Length: 5\r\nUpgrade: h3\r\nProxy-Authenticate: x\r\nHost: odd\r\n\r\n";
    let passed = "HTTP/1.1 200 Fine\r\nDate: x\r\nServer: y\r\nContent-Length: 5\r\nHost: odd\r\n";
    assert_eq!(client(head, GET, Version::Http11, true), format!("{passed}\r\n"));
    assert_eq!(client(head, GET, Version::Http11, false), format!("{passed}Connection: close\r\n\r\n"));
    assert_eq!(client(head, GET, Version::Http10, true), format!("{passed}Connection: keep-alive\r\n\r\n"));
    assert_eq!(client(head, GET, Version::Http10, false), format!("{passed}Connection: close\r\n\r\n"));
}

#[test]
fn framing_is_told_as_the_body_is_delivered() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: a\r\n\r\n";
    assert_eq!(client(chunked, GET, Version::Http11, true), chunked);
    assert_eq!(client(chunked, GET, Version::Http10, true), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    let not_modified = "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(client(not_modified, GET, Version::Http11, true), not_modified);
    let told_old = "HTTP/1.1 304 Not Modified\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(client(not_modified, GET, Version::Http10, true), told_old);
    let until_close = "HTTP/1.0 200 OK\r\n\r\n";
    assert_eq!(
        client(until_close, GET, Version::Http11, true),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    assert_eq!(
        client(until_close, GET, Version::Http10, true),
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    );
    let (parsed, storage) = response(until_close.as_bytes(), GET).unwrap();
    let mut out = Vec::new();
    let edits =
        ResponseEdits { client: Version::Http11, keep_alive: true, delivery: Delivery::AsIs, add: &[] };
    parsed.write_to(until_close.as_bytes(), &storage, &mut out, &edits);
    assert_eq!(out, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
}

#[test]
fn responses_without_a_body_announce_none() {
    let none = "HTTP/1.1 204\r\nContent-Length: 0\r\nA: 1\r\n\r\n";
    assert_eq!(client(none, GET, Version::Http11, true), "HTTP/1.1 204 \r\nA: 1\r\n\r\n");
    let early = "HTTP/1.1 103 Early Hints\r\nConnection: close\r\nLink: </a>\r\n\r\n";
    assert_eq!(client(early, GET, Version::Http11, false), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    let required = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        client(required, GET, Version::Http11, false),
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\nConnection: upgrade, close\r\n\r\n"
    );
}

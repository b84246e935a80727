//! The rows of the table of attacks that only sockets can show: what must not reach an Endpoint, another client, or
//! the pool.

use std::io::Write;
use std::sync::atomic::Ordering;

use crate::support::{self, Backend, Client, Proxy, answer, text};

const LINE: &str = "HTTP/1.1\r\nhost: app.test\r\n";

#[test]
fn a_body_without_general_meaning_ends_the_connection_to_the_endpoint() {
    let backend = Backend::saying("done");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for (round, method) in ["DELETE", "OPTIONS"].into_iter().enumerate() {
        client.send(format!("{method} / {LINE}content-length: 2\r\n\r\n{{}}"));
        assert_eq!(client.response(method).text(), "done");
        assert_eq!(client.get("/").text(), "done", "the client's connection goes on");
        let requests = backend.requests.lock().unwrap().clone();
        let last = &requests[requests.len() - 2];
        assert_eq!((last.field("connection"), &last.body[..]), (Some("close"), &b"{}"[..]));
        // The GET before this one left a connection in the pool, which the request with a body took and used up.
        assert_eq!(backend.connections.load(Ordering::Relaxed), round + 2);
    }
    client.send(format!("DELETE / {LINE}\r\n"));
    assert_eq!(client.response("DELETE").status, 200);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(backend.connections.load(Ordering::Relaxed), 3, "without a body nothing is special");
    proxy.finish();
}

#[test]
fn a_get_with_a_body_is_refused_before_a_byte_goes_upstream() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    for body in ["content-length: 44", "transfer-encoding: chunked"] {
        let mut client = Client::connect(proxy.address);
        client.send(format!("GET / {LINE}{body}\r\n\r\nGET /hidden HTTP/1.1\r\nhost: app.test\r\n\r\n"));
        let response = client.response("GET");
        assert_eq!((response.status, response.field("connection")), (400, Some("close")));
        assert!(client.is_closed());
    }
    assert_eq!(proxy.refused("unexpected_body"), 2);
    assert_eq!(backend.connections.load(Ordering::Relaxed), 0);
    proxy.finish();
}

/// A backend that counts what comes after the first request's head and answers it with `first`, then serves the word.
fn first_answer(first: Vec<u8>) -> Backend {
    Backend::raw(move |mut stream, number| {
        let mut reader = support::reader(&stream);
        if number == 0 {
            if reader.head().is_some() {
                let _ = stream.write_all(&first);
                reader.rest();
            }
            return;
        }
        while reader.request().is_some() {
            if stream.write_all(&text("own")).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a11_upgrade_with_a_pipelined_request_answered_with_200_stays_http() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(vec![]));
    let early = std::sync::Arc::clone(&seen);
    let backend = Backend::raw(move |mut stream, _| {
        let mut reader = support::reader(&stream);
        while let Some(head) = reader.head() {
            // Had the bytes behind the upgrade been passed on as a tunnel's, they would be here by now.
            support::pause(100);
            early.lock().unwrap().push(head.clone());
            let path = head.split(' ').nth(1).unwrap().to_owned();
            if stream.write_all(&text(&path)).is_err() {
                return;
            }
        }
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    let upgrade = format!("GET /up {LINE}connection: upgrade\r\nupgrade: x\r\n\r\n");
    // The second request is one that must be refused: only who parses it sees that.
    client.send(format!("{upgrade}GET /second {LINE}content-length: 1\r\ncontent-length: 1\r\n\r\n"));
    assert_eq!(client.response("GET").text(), "/up");
    assert_eq!(client.response("GET").status, 400, "the second was parsed, not tunnelled");
    assert!(client.is_closed());
    assert_eq!(seen.lock().unwrap().len(), 1);

    let mut client = Client::connect(proxy.address);
    client.send(format!("{upgrade}GET /second {LINE}\r\n"));
    assert_eq!(client.response("GET").text(), "/up");
    assert_eq!(client.response("GET").text(), "/second");
    let last = seen.lock().unwrap().last().unwrap().to_ascii_lowercase();
    assert!(last.contains("x-forwarded-for"), "a request that was rewritten");
    proxy.finish();
}

#[test]
fn a12_connect_with_early_data_sends_nothing_upstream() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send(format!("CONNECT app.test:443 {LINE}\r\n\x16\x03\x01early data"));
    let response = client.response("CONNECT");
    assert_eq!((response.status, response.field("connection")), (501, Some("close")));
    assert!(client.is_closed());
    assert_eq!(backend.connections.load(Ordering::Relaxed), 0);
    assert_eq!(proxy.refused("connect_refused"), 1);
    proxy.finish();
}

#[test]
fn a13_an_answer_before_the_body_was_sent_never_lets_the_body_become_a_request() {
    let backend = first_answer(answer("401 Unauthorized", &[], b"who?"));
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    let hidden = format!("GET /hidden {LINE}\r\n");
    client.send(format!("POST / {LINE}content-length: {}\r\n\r\n", hidden.len()));
    assert_eq!(client.response("POST").status, 401);
    // The body comes late, and reads like a request.
    client.send(&hidden);
    assert_eq!(client.get("/").text(), "own");
    assert_eq!(backend.connections.load(Ordering::Relaxed), 2, "the answered connection was not used again");
    drop(client);
    proxy.finish();
}

#[test]
fn a13_an_answer_amid_a_chunked_upload_ends_the_connection_before_the_rest_can_be_a_request() {
    let backend = first_answer(answer("401 Unauthorized", &[], b"who?"));
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send(format!("POST / {LINE}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"));
    let response = client.response("POST");
    assert_eq!((response.status, response.field("connection")), (401, Some("close")));
    assert_eq!(response.text(), "who?");
    // The rest comes late, and reads like a request.
    client.try_send(format!("GET /hidden {LINE}\r\n"));
    client.try_send("0\r\n\r\n");
    assert!(client.is_closed());
    assert_eq!(Client::connect(proxy.address).get("/").text(), "own");
    assert_eq!(backend.connections.load(Ordering::Relaxed), 2, "the answered connection was not used again");
    proxy.finish();
}

#[test]
fn a13_what_follows_the_last_request_of_a_connection_is_not_read_as_one() {
    let hidden = format!("GET /hidden {LINE}\r\n");
    for last in [
        format!("GET / {LINE}connection: close\r\n\r\n"),
        format!("POST / {LINE}connection: x, Close\r\ncontent-length: 2\r\n\r\n{{}}"),
        "GET / HTTP/1.0\r\nhost: app.test\r\n\r\n".to_owned(),
        format!("GET /empty {LINE}connection: close\r\n\r\n"),
    ] {
        let backend = Backend::saying("own");
        let proxy = Proxy::start(&[&backend]);
        let mut client = Client::connect(proxy.address);
        client.send([last.as_bytes(), hidden.as_bytes()].concat());
        let answers = String::from_utf8(client.reader().rest()).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{last:?}: {answers:?}");
        assert!(client.is_closed(), "{last:?}");
        assert!(backend.requests.lock().unwrap().iter().all(|request| !request.line().contains("hidden")));
        proxy.finish();
    }
}

#[test]
fn a13_a_local_answer_with_a_body_unread_drains_it_or_closes() {
    let backend = Backend::saying("own");
    let proxy = Proxy::start(&[&backend]);
    let hidden = format!("GET /hidden {LINE}\r\n");
    let mut client = Client::connect(proxy.address);
    client.send(format!("POST /empty {LINE}content-length: {}\r\n\r\n", hidden.len()));
    assert_eq!(client.response("POST").status, 503);
    client.send(&hidden);
    assert_eq!(client.get("/").text(), "own");
    // A body without a known end is not waited for.
    let mut client = Client::connect(proxy.address);
    client.send(format!("POST /empty {LINE}transfer-encoding: chunked\r\n\r\n"));
    let response = client.response("POST");
    assert_eq!((response.status, response.field("connection")), (503, Some("close")));
    client.try_send(&hidden);
    assert!(client.is_closed());
    let paths: Vec<_> =
        backend.requests.lock().unwrap().iter().map(|request| request.line().to_owned()).collect();
    assert_eq!(paths, ["GET / HTTP/1.1"]);
    proxy.finish();
}

#[test]
fn a14_a_body_withheld_for_100_continue_is_never_taken_for_a_request() {
    // Whatever the status, success too: the client may still send the body, or leave it out and send a request.
    for status in ["200 OK", "417 Expectation Failed"] {
        let backend = first_answer(answer(status, &[], b"early"));
        let proxy = Proxy::start(&[&backend]);
        let mut client = Client::connect(proxy.address);
        let hidden = format!("GET /hidden {LINE}\r\n");
        let length = hidden.len();
        client.send(format!("POST / {LINE}content-length: {length}\r\nexpect: 100-continue\r\n\r\n"));
        let response = client.response("POST");
        assert_eq!(
            (response.text().as_str(), response.field("connection")),
            ("early", Some("close")),
            "{status}"
        );
        client.try_send(&hidden);
        assert!(client.is_closed(), "{status}");
        let mut other = Client::connect(proxy.address);
        assert_eq!(other.get("/").text(), "own", "on a connection of its own");
        assert_eq!(backend.connections.load(Ordering::Relaxed), 2, "{status}");
        proxy.finish();
    }
}

#[test]
fn a14_an_expectation_in_disguise_is_417() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    for value in ["100-continue, 100-continue", "y 100-continue", "100-continued", ""] {
        let mut client = Client::connect(proxy.address);
        client.send(format!("POST / {LINE}content-length: 5\r\nexpect: {value}\r\n\r\n"));
        assert_eq!(client.response("POST").status, 417, "{value}");
        assert!(client.is_closed());
    }
    assert_eq!(backend.connections.load(Ordering::Relaxed), 0);
    proxy.finish();
}

#[test]
fn a15_bytes_behind_a_response_are_never_given_to_the_next_client() {
    let poison = text("poison");
    let behind: [(&str, Vec<u8>); 5] = [
        ("a length", [answer("200 OK", &[], b"first"), poison.clone()].concat()),
        (
            "chunks",
            [&b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n"[..], &poison]
                .concat(),
        ),
        ("204", [&b"HTTP/1.1 204 No Content\r\n\r\n"[..], &poison].concat()),
        ("304", [&b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"[..], &poison].concat()),
        ("one byte", [answer("200 OK", &[], b"first"), b"\n".to_vec()].concat()),
    ];
    for (how, bytes) in behind {
        let backend = first_answer(bytes);
        let proxy = Proxy::start(&[&backend]);
        let mut client = Client::connect(proxy.address);
        // All of it comes at once, so nothing of it has left when the bytes behind it are seen.
        assert_eq!(client.get("/").status, 502, "{how}");
        assert_eq!(client.get("/").text(), "own", "{how}: the same client");
        let mut other = Client::connect(proxy.address);
        assert_eq!(other.get("/").text(), "own", "{how}: another client");
        assert_eq!(backend.connections.load(Ordering::Relaxed), 2, "{how}");
        assert_eq!(proxy.refused_responses("bytes_behind_response"), 1, "{how}");
        proxy.finish();
    }
}

#[test]
fn a15_a_body_behind_the_answer_to_head_is_never_given_to_the_next_client() {
    // With the head, and after it.
    for pause_ms in [0, 50] {
        let backend = Backend::raw(move |mut stream, number| {
            let mut reader = support::reader(&stream);
            while let Some(request) = reader.request() {
                if number > 0 {
                    let _ = stream.write_all(&text("own"));
                    continue;
                }
                assert!(request.line().starts_with("HEAD "), "{request:?}: the connection was used again");
                // The body looks like an answer of its own.
                let poison = text("poison");
                let whole = answer("200 OK", &[], &poison);
                let (head, body) = whole.split_at(whole.len() - poison.len());
                if pause_ms == 0 {
                    let _ = stream.write_all(&whole);
                } else {
                    let _ = stream.write_all(head);
                    support::pause(pause_ms);
                    let _ = stream.write_all(body);
                }
            }
        });
        let proxy = Proxy::start(&[&backend]);
        let mut client = Client::connect(proxy.address);
        client.send(format!("HEAD / {LINE}\r\n"));
        let response = client.response("HEAD");
        if pause_ms == 0 {
            assert_eq!(response.status, 502, "nothing of the answer had left");
        } else {
            assert_eq!((response.status, response.field("content-length")), (200, Some("44")));
        }
        support::wait_until("the connection's end", || {
            proxy.endpoint(backend.address).load.connections() == 0
        });
        assert_eq!(client.get("/").text(), "own", "the same client");
        assert_eq!(Client::connect(proxy.address).get("/").text(), "own", "another client");
        assert_eq!(backend.connections.load(Ordering::Relaxed), 2);
        // By which name depends on whether the connection was in the pool by then.
        let names = ["bytes_behind_response", "unrequested_bytes"];
        assert_eq!(names.map(|name| proxy.refused_responses(name)).iter().sum::<u64>(), 1);
        proxy.finish();
    }
}

#[test]
fn a15_bytes_that_come_late_behind_a_response_are_never_given_to_the_next_client() {
    let backend = Backend::raw(|mut stream, number| {
        let mut reader = support::reader(&stream);
        while reader.request().is_some() {
            let _ = stream.write_all(&text("own"));
            if number == 0 {
                // The connection is in the pool by now: an answer before its request.
                support::pause(100);
                let _ = stream.write_all(&text("poison"));
            }
        }
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").text(), "own");
    support::pause(200);
    assert_eq!(client.get("/").text(), "own");
    assert_eq!(Client::connect(proxy.address).get("/").text(), "own");
    assert_eq!(backend.connections.load(Ordering::Relaxed), 2);
    assert_eq!(proxy.refused_responses("unrequested_bytes"), 1);
    drop(client);
    proxy.finish();
}

#[test]
fn a15_a_response_that_breaks_the_rules_is_502_and_its_connection_closed() {
    let hints = ["HTTP/1.1 103 Early Hints\r\n\r\n".repeat(9), "HTTP/1.1 200 OK\r\n\r\n".into()].concat();
    for broken in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity\r\n\r\nabc",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        "an answer without a head\n",
        // The head alone would have been good; nothing of it has left when the body is looked at.
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
        &hints,
    ] {
        let first = broken.as_bytes().to_vec();
        let backend = first_answer(first);
        let proxy = Proxy::start(&[&backend]);
        let mut client = Client::connect(proxy.address);
        client.send(format!("GET / {LINE}\r\n"));
        let mut response = client.response("GET");
        while response.status == 103 {
            response = client.response("GET");
        }
        assert_eq!(response.status, 502, "{broken:?}");
        assert_eq!(Client::connect(proxy.address).get("/").text(), "own", "{broken:?}");
        assert_eq!(backend.connections.load(Ordering::Relaxed), 2, "{broken:?}");
        drop(client);
        proxy.finish();
    }
}

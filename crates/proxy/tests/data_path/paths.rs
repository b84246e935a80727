//! Paths that servers read differently (class D): matched and forwarded in one form, or refused.
//!
//! `/empty` answers 503 here and `/` is forwarded: which Rule took a request shows what was matched, and the backend
//! shows what was forwarded. There is no rewrite yet.

use std::sync::atomic::Ordering;

use crate::support::{Backend, Client, Proxy};

/// Paths that go to `/`, with what is forwarded.
#[track_caller]
fn forwards(paths: &[(&str, &str)]) {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for (path, forwarded) in paths {
        for (prefix, query) in [("", ""), ("", "?q=/../%2f%00//;"), ("http://app.test", "")] {
            client.send(format!("GET {prefix}{path}{query} HTTP/1.1\r\nhost: app.test\r\n\r\n"));
            assert_eq!(client.response("GET").status, 200, "{path}");
            let line = backend.requests.lock().unwrap().last().unwrap().line().to_owned();
            assert_eq!(line, format!("GET {forwarded}{query} HTTP/1.1"), "{path}");
        }
    }
    proxy.finish();
}

/// Paths that go to `/empty`.
#[track_caller]
fn matches_empty(paths: &[&str]) {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for path in paths {
        assert_eq!(client.get(path).status, 503, "{path}");
    }
    assert_eq!(backend.connections.load(Ordering::Relaxed), 0);
    proxy.finish();
}

#[track_caller]
fn refuses(reason: &str, paths: &[&str]) {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    for path in paths {
        for prefix in ["", "http://app.test"] {
            let mut client = Client::connect(proxy.address);
            client.send(format!("GET {prefix}{path} HTTP/1.1\r\nhost: app.test\r\n\r\n"));
            let response = client.response("GET");
            assert_eq!((response.status, response.field("connection")), (400, Some("close")), "{path}");
            assert!(client.is_closed(), "{path}");
        }
    }
    assert_eq!(proxy.refused(reason), 2 * paths.len() as u64, "{reason}");
    assert_eq!(backend.connections.load(Ordering::Relaxed), 0);
    proxy.finish();
}

#[test]
fn d_api_dot_dot_slash() {
    forwards(&[("/api../", "/api../"), ("/api../empty", "/api../empty"), ("/empty../x", "/empty../x")]);
    forwards(&[("/empty/../x", "/x"), ("/a/b/../../x", "/x"), ("/a/./b/.", "/a/b/")]);
    matches_empty(&["/api../../empty", "/x/../empty", "/./empty", "/empty/./x", "/x/../empty/y"]);
    refuses("path_above_root", &["/..", "/../empty", "/api/../../empty", "/a/../..", "/empty//../..//x"]);
}

#[test]
fn d_percent_2e_percent_2e() {
    forwards(&[
        ("/empty/%2e%2e/x", "/x"),
        ("/empty/.%2E/x", "/x"),
        ("/a/%2e/b", "/a/b"),
        ("/a/%2e%2e%2e", "/a/..."),
    ]);
    matches_empty(&["/x/%2e%2e/empty", "/%2E/empty", "/x/%2e./empty", "/%65mpt%79"]);
    refuses("path_above_root", &["/%2e%2e/empty", "/%2e%2e"]);
    // An escaped escape is the name of a directory, here and behind.
    forwards(&[("/%252e%252e/x", "/%252e%252e/x"), ("/empty%252f", "/empty%252f")]);
}

#[test]
fn d_percent_2f() {
    refuses("path_encoded_slash", &["/a%2fb", "/empty%2Fx", "/%2f", "/x/..%2fempty", "/%2e%2e%2fempty"]);
}

#[test]
fn d_percent_5c() {
    refuses("path_backslash", &["/a%5cb", "/empty%5C..%5Cx", "/..%5cempty", "/%5c"]);
    // Raw, it is a path's byte for some and a slash for others.
    refuses("path_backslash", &["/a\\b", "/..\\empty"]);
}

#[test]
fn d_double_slash() {
    forwards(&[("//x", "/x"), ("/a//b", "/a/b"), ("/a///", "/a/"), ("/empty//..//x", "/x")]);
    matches_empty(&["//empty", "///empty//x", "/empty//", "/x//../empty"]);
}

#[test]
fn d_semicolon() {
    forwards(&[("/a;v=1/b", "/a;v=1/b"), ("/empty;x", "/empty;x"), ("/a/b;", "/a/b;")]);
    matches_empty(&["/empty/;x", "/empty/a;v=1"]);
    refuses("path_dot_parameter", &["/a/..;/empty", "/..;/empty", "/.;x/empty", "/a/%2e%2e;x=1/b"]);
}

#[test]
fn d_percent_00() {
    refuses("path_nul", &["/a%00", "/%00/empty", "/empty%00.html"]);
}

#[test]
fn d_hash() {
    refuses("invalid_target", &["/a#b", "/empty#/../x", "/#"]);
    // Encoded it is a name like any other.
    forwards(&[("/a%23b", "/a%23b"), ("/empty%3Fx", "/empty%3Fx")]);
}

#[test]
fn d_escapes_that_are_none_and_bytes_that_are_none() {
    refuses("path_invalid_escape", &["/a%", "/a%4", "/a%zz", "/%u0041"]);
    forwards(&[("/%c3%a4", "/%C3%A4"), ("/%0d%0a", "/%0D%0A"), ("/%41%7e", "/A~")]);
}

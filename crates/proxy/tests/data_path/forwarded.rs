//! Fields about the client (rows A16 and A17): set by the proxy, believed only from where the operator says.

use fairlead_proxy::ProxyConfig;

use crate::support::{self, Backend, Client, Proxy, answer};

const FIRST: &str = "GET / HTTP/1.1\r\nhost: app.test\r\n";
/// What a client may say about itself, or about who is behind it.
const CLAIMS: &str = "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7, 8.8.8.8\r\nX-Forwarded-Proto: https\r\n\
                      X-FORWARDED-HOST: public.test\r\nX-Forwarded-Port: 443\r\nForwarded: for=6.6.6.6\r\n\
                      X-Real-IP: 6.6.6.6\r\nx-envoy-internal: true\r\n";

/// All values of a field that the backend's last request had.
fn values(backend: &Backend, name: &str) -> Vec<String> {
    let request = backend.requests.lock().unwrap().last().unwrap().clone();
    let line = |line: &str| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    };
    request.head.lines().filter_map(line).collect()
}

fn with(forwarded: &str) -> ProxyConfig {
    let given = ProxyConfig::from_json(format!("{{\"forwarded\": {forwarded}}}").as_bytes()).unwrap();
    ProxyConfig { forwarded: given.forwarded, ..support::config() }
}

/// What arrives of the claims of a client at an address.
fn claims_of(proxy: &Proxy, backend: &Backend, source: &str) -> [Vec<String>; 4] {
    let mut client = Client::connect_from(source, proxy.address);
    client.send(format!("{FIRST}{CLAIMS}\r\n"));
    assert_eq!(client.response("GET").status, 200);
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"]
        .map(|name| values(backend, name))
}

#[test]
fn a16_connection_names_away_no_field_that_the_proxy_sets() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for names in [
        "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host",
        "x-forwarded-for,x-forwarded-proto,x-forwarded-host",
        "close, X-FORWARDED-FOR, X-fORWARDED-pROTO, x-forwarded-HOST, host",
    ] {
        client.send(format!("{FIRST}connection: {names}\r\nx-forwarded-for: 6.6.6.6\r\n\r\n"));
        assert_eq!(client.response("GET").status, 200, "{names}");
        assert_eq!(values(&backend, "x-forwarded-for"), ["127.0.0.1"], "{names}");
        assert_eq!(values(&backend, "x-forwarded-proto"), ["http"], "{names}");
        assert_eq!(values(&backend, "x-forwarded-host"), ["app.test"], "{names}");
        assert_eq!(values(&backend, "host"), ["app.test"], "{names}");
    }
    proxy.finish();
}

#[test]
fn a16_connection_names_away_what_is_the_hops_own_and_nothing_that_frames() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    let lines = "connection: authorization, X-Mine, content-length, Transfer-Encoding\r\nAuthorization: Basic eA==\r\n\
                 x-mine: 1\r\nx-other: 2\r\nkeep-alive: timeout=5\r\nte: trailers\r\nproxy-authorization: Basic eA==\r\n";
    client.send(format!("POST / HTTP/1.1\r\nhost: app.test\r\n{lines}content-length: 5\r\n\r\nhello"));
    assert_eq!(client.response("POST").status, 200);
    for name in ["authorization", "x-mine", "connection", "keep-alive", "te", "proxy-authorization"] {
        assert!(values(&backend, name).is_empty(), "{name}");
    }
    assert_eq!(values(&backend, "x-other"), ["2"]);
    assert_eq!(backend.requests.lock().unwrap()[0].body, b"hello");
    client.send(format!(
        "POST / HTTP/1.1\r\nhost: app.test\r\n{lines}transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    ));
    assert_eq!(client.response("POST").status, 200);
    assert_eq!(backend.requests.lock().unwrap()[1].body, b"hi");
    proxy.finish();
}

#[test]
fn a16_hop_by_hop_fields_of_a_response_end_here() {
    let own = ["connection: X-Mine, content-length", "x-mine: 1", "keep-alive: timeout=5", "x-other: 2"];
    let backend = Backend::http(move |_| answer("200 OK", &own, b"body"));
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    let response = client.get("/");
    assert_eq!(response.text(), "body");
    for name in ["connection", "x-mine", "keep-alive"] {
        assert_eq!(response.field(name), None, "{name}");
    }
    assert_eq!(response.field("x-other"), Some("2"));
    proxy.finish();
}

#[test]
fn a16_a_trailer_that_connection_names_passes_neither_way() {
    let framing = "connection: X-Mine\r\ntransfer-encoding: chunked";
    let chunks = |trailer: &str| format!("1\r\nx\r\n0\r\n{trailer}: 1\r\n\r\n");
    let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{}", chunks("x-mine"));
    let backend = Backend::http(move |request| {
        if request.line().contains("/named") { answer.clone().into_bytes() } else { support::text("ok") }
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    let post = |trailer| format!("POST / HTTP/1.1\r\nhost: app.test\r\n{framing}\r\n\r\n{}", chunks(trailer));
    client.send(post("x-other"));
    assert_eq!(client.response("POST").status, 200);
    assert_eq!(client.get("/named").status, 502);
    client.send(post("x-mine"));
    assert_eq!(client.response("POST").status, 400);
    assert!(client.is_closed());
    assert_eq!((proxy.refused("forbidden_trailer"), proxy.refused_responses("forbidden_trailer")), (1, 1));
    assert_eq!(backend.count(), 2);
    proxy.finish();
}

#[test]
fn a17_names_with_an_underscore_are_refused() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    let names = ["X_Forwarded_For", "x-forwarded_for", "content_length", "x_envoy_internal", "a_b"];
    for name in names {
        let mut client = Client::connect(proxy.address);
        client.send(format!("{FIRST}{name}: 1\r\n\r\n"));
        assert_eq!(client.response("GET").status, 400, "{name}");
        assert!(client.is_closed(), "{name}");
    }
    assert_eq!(proxy.refused("underscore_in_field_name"), names.len() as u64);
    assert_eq!(backend.count(), 0);
    proxy.finish();
}

#[test]
fn a17_by_default_nothing_that_a_client_claims_goes_on() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect_from("127.0.0.3", proxy.address);
    client.send(format!("{FIRST}{CLAIMS}\r\n"));
    assert_eq!(client.response("GET").status, 200);
    for (name, value) in
        [("x-forwarded-for", "127.0.0.3"), ("x-forwarded-proto", "http"), ("x-forwarded-host", "app.test")]
    {
        assert_eq!(values(&backend, name), [value], "{name}");
    }
    for name in ["x-forwarded-port", "forwarded", "x-real-ip", "x-envoy-internal"] {
        assert!(values(&backend, name).is_empty(), "{name}");
    }
    proxy.finish();
}

#[test]
fn a17_a_trusted_peer_is_believed_and_appended_to_and_its_neighbour_is_not() {
    let backend = Backend::saying("x");
    let proxy = Proxy::with(with(r#"{"trusted": ["127.0.0.2", "10.0.0.0/8", "fd00::/8"]}"#), &[&backend]);
    let [addresses, proto, host, real] = claims_of(&proxy, &backend, "127.0.0.2");
    assert_eq!(addresses, ["6.6.6.6, 7.7.7.7, 8.8.8.8, 127.0.0.2"]);
    assert_eq!(
        (proto, host, real),
        (vec!["https".into()], vec!["public.test".into()], vec!["6.6.6.6".into()])
    );
    let [addresses, proto, host, real] = claims_of(&proxy, &backend, "127.0.0.3");
    assert_eq!(addresses, ["127.0.0.3"]);
    assert_eq!((proto, host, real), (vec!["http".into()], vec!["app.test".into()], vec![]));
    // A trusted peer that says nothing: what this proxy knows.
    let mut client = Client::connect_from("127.0.0.2", proxy.address);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(values(&backend, "x-forwarded-for"), ["127.0.0.2"]);
    assert_eq!(values(&backend, "x-forwarded-proto"), ["http"]);
    proxy.finish();
}

#[test]
fn a17_appending_keeps_a_strangers_list_of_addresses_and_nothing_else() {
    let backend = Backend::saying("x");
    let config = with(r#"{"policy": "append", "trusted": ["127.0.0.2/32"]}"#);
    let proxy = Proxy::with(config, &[&backend]);
    let [addresses, proto, host, real] = claims_of(&proxy, &backend, "127.0.0.3");
    assert_eq!(addresses, ["6.6.6.6, 7.7.7.7, 8.8.8.8, 127.0.0.3"]);
    assert_eq!((proto, host, real), (vec!["http".into()], vec!["app.test".into()], vec![]));
    let [addresses, proto, ..] = claims_of(&proxy, &backend, "127.0.0.2");
    assert_eq!(addresses, ["6.6.6.6, 7.7.7.7, 8.8.8.8, 127.0.0.2"]);
    assert_eq!(proto, ["https"]);
    proxy.finish();
}

#[test]
fn a17_a_trusted_peer_that_says_nothing_or_two_things_is_not_believed() {
    let backend = Backend::saying("x");
    let proxy = Proxy::with(with(r#"{"trusted": ["127.0.0.2"]}"#), &[&backend]);
    let mut client = Client::connect_from("127.0.0.2", proxy.address);
    for (claims, proto, host) in [
        ("X-Forwarded-Proto:\r\nX-Forwarded-Host: \r\n", "http", "app.test"),
        (
            "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Forwarded-Host: b\r\n",
            "http",
            "app.test",
        ),
        (
            "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\nX-Forwarded-Host: A\r\n",
            "https",
            "a",
        ),
        (
            "X-Forwarded-Proto:\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\nX-Forwarded-Host:\r\n",
            "https",
            "a",
        ),
    ] {
        client.send(format!("{FIRST}{claims}\r\n"));
        assert_eq!(client.response("GET").status, 200, "{claims:?}");
        assert_eq!(values(&backend, "x-forwarded-proto"), [proto], "{claims:?}");
        assert_eq!(values(&backend, "x-forwarded-host"), [host], "{claims:?}");
    }
    proxy.finish();
}

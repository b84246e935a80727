//! Upgrade: a tunnel after 101, HTTP before and otherwise.

use std::io::{Read, Write};

use fairlead_balance::Policy;

use crate::support::{self, Backend, Client, Proxy, text};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n";
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// Switches, then sends everything back.
fn echo() -> Backend {
    Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        let head = reader.head().unwrap().to_ascii_lowercase();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        stream.write_all(SWITCH).unwrap();
        let mut chunk = [0; 16384];
        while let Ok(count) = stream.read(&mut chunk) {
            if count == 0 {
                break;
            }
            stream.write_all(&chunk[..count]).unwrap();
        }
        stream.write_all(b"bye").unwrap();
    })
}

#[test]
fn bytes_pass_unchanged_both_ways_until_both_sides_have_ended() {
    let backend = echo();
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send(UPGRADE);
    let head = client.head();
    assert_eq!((head.status, head.field("upgrade")), (101, Some("websocket")));
    assert!(head.field("connection").unwrap().eq_ignore_ascii_case("upgrade"));
    let sent: Vec<u8> =
        (0..1_000_000_u32).flat_map(|index| (index.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    let mut writer = client.stream().try_clone().unwrap();
    let all = sent.clone();
    let thread = std::thread::spawn(move || writer.write_all(&all).unwrap());
    let received = client.reader().exactly(sent.len()).unwrap();
    thread.join().unwrap();
    assert!(received == sent, "byte for byte");
    // Our end is passed on; the other side may still speak.
    client.shutdown();
    assert_eq!(client.reader().rest(), b"bye");
    proxy.finish();
}

#[test]
fn bytes_right_behind_both_heads_are_part_of_the_tunnel() {
    let backend = Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        reader.head().unwrap();
        stream.write_all(&[SWITCH, b"\x81\x02hi"].concat()).unwrap();
        let frame = reader.exactly(4).unwrap();
        stream.write_all(&frame).unwrap();
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send([UPGRADE.as_bytes(), b"\x81\x02yo"].concat());
    assert_eq!(client.head().status, 101);
    assert_eq!(client.reader().rest(), b"\x81\x02hi\x81\x02yo");
    drop(client);
    proxy.finish();
}

#[test]
fn an_upgrade_that_is_not_taken_up_stays_http() {
    let backend = Backend::http(|request| text(request.line().split(' ').nth(1).unwrap()));
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send([UPGRADE, "GET /second HTTP/1.1\r\nhost: app.test\r\n\r\n"].concat());
    assert_eq!(client.response("GET").text(), "/chat");
    assert_eq!(client.response("GET").text(), "/second");
    let requests = backend.requests.lock().unwrap().clone();
    assert_eq!(requests[1].line(), "GET /second HTTP/1.1", "a request of its own, not bytes of a tunnel");
    proxy.finish();
}

#[test]
fn a_switch_that_nobody_asked_for_is_502() {
    let backend = Backend::raw(|mut stream, _| {
        support::reader(&stream).head();
        let _ = stream.write_all(SWITCH);
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 502);
    proxy.finish();
}

#[test]
fn a_tunnel_outlives_every_deadline_and_counts_as_in_flight() {
    let backend = echo();
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send(UPGRADE.replace("/chat", "/timed"));
    assert_eq!(client.head().status, 101);
    support::pause(600);
    client.send("still here");
    assert_eq!(client.reader().exactly(10).unwrap(), b"still here");
    assert_eq!(proxy.endpoint(backend.address).load.in_flight(), 1);
    drop(client);
    proxy.finish();
}

#[test]
fn a_tunnel_with_one_end_left_is_not_kept_for_ever() {
    let backend = Backend::raw(|mut stream, _| {
        support::reader(&stream).head();
        stream.write_all(SWITCH).unwrap();
    });
    let mut config = support::config();
    config.timeouts.downstream_idle_ms = 300;
    let proxy = Proxy::with(config, &[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send(UPGRADE);
    assert_eq!(client.head().status, 101);
    support::wait_until("the tunnel's end", || proxy.in_flight() == 0);
    proxy.finish();
}

#[test]
fn the_death_of_one_side_ends_the_other() {
    let backend = Backend::raw(|mut stream, _| {
        support::reader(&stream).head();
        stream.write_all(SWITCH).unwrap();
        support::pause(50);
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send(UPGRADE);
    assert_eq!(client.head().status, 101);
    assert!(client.is_closed());
    drop(client);
    proxy.finish();
}

/// Switches where it is asked to, else answers with its name.
fn chat(name: &'static str) -> Backend {
    Backend::raw(move |mut stream, _| {
        let mut reader = support::reader(&stream);
        while let Some(head) = reader.head() {
            if head.to_ascii_lowercase().contains("upgrade: websocket") {
                stream.write_all(&[SWITCH, name.as_bytes()].concat()).unwrap();
                reader.rest();
                return;
            }
            let length = name.len();
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{name}").as_bytes())
                .unwrap();
        }
    })
}

#[test]
fn tunnels_spread_evenly_and_keep_no_request_away() {
    let backends = [chat("one"), chat("two")];
    let mut proxy = Proxy::start(&backends.each_ref());
    proxy.set_policy(Policy::PeakEwma);
    proxy.set_members(&backends.each_ref().map(|backend| backend.address));
    let mut tunnels: Vec<(Client, Vec<u8>)> = Vec::new();
    for _ in 0..9 {
        let mut client = Client::connect(proxy.address);
        client.send(UPGRADE);
        assert_eq!(client.head().status, 101);
        let name = client.reader().exactly(3).unwrap();
        tunnels.push((client, name));
    }
    let ones = tunnels.iter().filter(|(_, name)| name == b"one").count();
    assert!((4..=5).contains(&ones), "{ones} of 9 tunnels");
    // One Endpoint has a tunnel more than the other; a single connection has one request at a time.
    let mut client = Client::connect(proxy.address);
    let ones = (0..100).filter(|_| client.get("/").text() == "one").count();
    assert!((20..=80).contains(&ones), "{ones} of 100 requests");
    drop((tunnels, client));
    proxy.finish();
}

//! How tunnels end: with sides that do not read, and with sides that die.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;

use crate::accounts::lines;
use crate::support::{self, Backend, Client, Proxy};
use fairlead_proxy::ProxyConfig;

const UPGRADE: &str =
    "GET /chat HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
/// More than all buffers of the kernel hold.
const HUGE: usize = 64 << 20;

/// Switches, then gives the connection to the test.
fn handing() -> (Backend, mpsc::Receiver<TcpStream>) {
    let (give, take) = mpsc::channel();
    let backend = Backend::raw(move |mut stream, _| {
        support::reader(&stream).head().unwrap();
        stream.write_all(SWITCH).unwrap();
        give.send(stream).unwrap();
    });
    (backend, take)
}

fn proxy(stream_idle_ms: u64, backend: &Backend) -> Proxy {
    let mut config = ProxyConfig { access_log: true, ..support::config() };
    config.timeouts.stream_idle_ms = stream_idle_ms;
    Proxy::with(config, &[backend])
}

fn tunnel(proxy: &Proxy, ends: &mpsc::Receiver<TcpStream>) -> (Client, TcpStream) {
    let mut client = Client::connect(proxy.address);
    client.send(UPGRADE);
    assert_eq!(client.head().status, 101);
    (client, ends.recv_timeout(support::PATIENCE).unwrap())
}

/// Makes the close that follows a reset.
fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

/// How the stream ends, after how many bytes.
fn end_of(stream: &mut TcpStream) -> (usize, Option<ErrorKind>) {
    let mut chunk = vec![0; 1 << 16];
    let mut count = 0;
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return (count, None),
            Ok(more) => count += more,
            Err(error) => return (count, Some(error.kind())),
        }
    }
}

#[test]
fn an_endpoint_that_reads_late_is_not_taken_for_a_dead_one() {
    let (backend, ends) = handing();
    let proxy = proxy(300_000, &backend);
    let (mut client, mut end) = tunnel(&proxy, &ends);
    let mut writer = client.stream().try_clone().unwrap();
    writer.set_write_timeout(None).unwrap();
    let upload = std::thread::spawn(move || {
        writer.write_all(&vec![7; HUGE]).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    // Longer than the time after which unacknowledged bytes end a connection.
    support::pause(4_500);
    assert_eq!(end_of(&mut end), (HUGE, None));
    upload.join().unwrap();
    end.write_all(b"all of it").unwrap();
    drop(end);
    assert_eq!(client.reader().rest(), b"all of it");
    proxy.finish();
}

#[test]
fn bytes_that_nobody_takes_end_the_tunnel_in_time() {
    let (backend, ends) = handing();
    let proxy = proxy(400, &backend);
    for from_client in [true, false] {
        let (mut client, end) = tunnel(&proxy, &ends);
        // Silence alone does not: nothing is held up.
        support::pause(800);
        assert_eq!(proxy.in_flight(), 2);
        let mut fast =
            if from_client { client.stream().try_clone().unwrap() } else { end.try_clone().unwrap() };
        let stopped = std::thread::spawn(move || fast.write_all(&vec![7; HUGE]).is_err());
        support::wait_until("the tunnel's end", || proxy.in_flight() == 0);
        drop((client, end));
        assert!(stopped.join().unwrap(), "not all of it was taken");
        let line = lines(&proxy, 1).remove(0);
        assert_eq!((&line["response_code"], &line["response_flags"]), (&101.into(), &"SI".into()), "{line}");
        assert_eq!(line["response_code_details"], "stream_idle_timeout");
    }
    proxy.finish();
}

#[test]
fn a_reset_of_one_side_is_no_orderly_end_for_the_other() {
    let (backend, ends) = handing();
    let proxy = proxy(300_000, &backend);

    let (mut client, mut end) = tunnel(&proxy, &ends);
    client.send("cut");
    end.read_exact(&mut [0; 3]).unwrap();
    reset(client.stream());
    drop(client);
    assert_eq!(end_of(&mut end), (0, Some(ErrorKind::ConnectionReset)));
    assert_eq!(lines(&proxy, 1)[0]["response_flags"], "DC");

    let (mut client, mut end) = tunnel(&proxy, &ends);
    end.write_all(b"cut").unwrap();
    client.reader().exactly(3).unwrap();
    reset(&end);
    drop(end);
    assert_eq!(end_of(client.stream()), (0, Some(ErrorKind::ConnectionReset)));
    assert_eq!(lines(&proxy, 1)[0]["response_flags"], "UC");
    proxy.finish();
}

#[test]
fn the_death_of_a_side_that_had_ended_its_direction_is_noticed() {
    let (backend, ends) = handing();
    let proxy = proxy(300_000, &backend);
    for client_dies in [true, false] {
        let (client, mut end) = tunnel(&proxy, &ends);
        let mut client = client;
        let (dying, living) =
            if client_dies { (client.stream(), &mut end) } else { (&mut end, client.stream()) };
        dying.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(end_of(living), (0, None));
        reset(dying);
        if client_dies {
            drop(client);
        } else {
            drop(end);
        }
        // Nothing is sent that would find out.
        support::wait_until("the tunnel's end", || proxy.in_flight() == 0);
    }
    proxy.finish();
}

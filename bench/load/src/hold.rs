//! Connections that are kept open and idle, each after one request: what do they cost the server?

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use crate::message::{Answer, head_length};

/// Opens them one after the other, says `held N`, and waits for the end of stdin or of the time.
pub(crate) fn hold(target: SocketAddr, request: &[u8], connections: usize, time: Duration) -> io::Result<()> {
    let mut held = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut stream = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(request)?;
        read_answer(&mut stream)?;
        held.push(stream);
    }
    println!("held {}", held.len());
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = ended.send(());
    });
    let _ = end.recv_timeout(time);
    Ok(())
}

fn read_answer(stream: &mut TcpStream) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let length = stream.read(&mut chunk)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&chunk[..length]);
        let Some(end) = head_length(&bytes) else { continue };
        match Answer::parse(&bytes[..end]) {
            Answer { ok: true, length: Some(body) } if bytes.len() < end + body => {}
            Answer { ok: true, length: Some(_) } => return Ok(()),
            _ => return Err(io::Error::other(String::from_utf8_lossy(&bytes[..end]).into_owned())),
        }
    }
}

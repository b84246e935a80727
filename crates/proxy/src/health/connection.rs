//! One connection to the health server.

use std::io::{self, Read, Write};

use fairlead_balance::Micros;
use mio::net::TcpStream;

use super::Answer;

const MAX_HEAD: usize = 8 << 10;
const MAX_FIELDS: usize = 64;
/// For one request and its answer, and for the wait between two.
const LIMIT: Micros = Micros::from_secs(30);

/// What a turn came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for its peer.
    Waits,
    /// It is to be closed.
    Over,
}

/// A connection with what was read and what is to be written.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    head: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    last: bool,
    since: Micros,
}

enum Request {
    Partial,
    Bad,
    Whole { length: usize, head_only: bool, keep: bool, path: String, verbose: bool },
}

impl Connection {
    pub(super) fn new(stream: TcpStream, now: Micros) -> Self {
        Self { stream, head: Vec::new(), out: Vec::new(), written: 0, last: false, since: now }
    }

    pub(super) fn is_overdue(&self, now: Micros) -> bool {
        now.since(self.since) > LIMIT
    }

    /// Reads and writes what is possible now.
    pub(super) fn turn(&mut self, now: Micros, answer: &dyn Fn(&str, bool) -> Answer) -> Progress {
        loop {
            match self.write() {
                Ok(true) if self.last => return Progress::Over,
                Ok(true) => {}
                Ok(false) => return Progress::Waits,
                Err(_) => return Progress::Over,
            }
            match parse(&self.head) {
                Request::Whole { length, head_only, keep, path, verbose } => {
                    self.head.drain(..length);
                    self.since = now;
                    self.last = !keep;
                    self.put(&answer(&path, verbose), head_only);
                }
                Request::Bad => {
                    self.last = true;
                    self.put(&(400, "text/plain", b"bad request\n".to_vec()), false);
                }
                Request::Partial => match self.read() {
                    Ok(true) => {}
                    Ok(false) => return Progress::Waits,
                    Err(_) => return Progress::Over,
                },
            }
        }
    }

    fn put(&mut self, (status, content_type, body): &Answer, head_only: bool) {
        let reason = match status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            _ => "Service Unavailable",
        };
        let close = if self.last { "connection: close\r\n" } else { "" };
        self.written = 0;
        self.out.clear();
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n{close}\r\n",
            body.len()
        );
        self.out.extend_from_slice(head.as_bytes());
        if !head_only {
            self.out.extend_from_slice(body);
        }
    }

    /// True when nothing is left.
    fn write(&mut self) -> io::Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out = Vec::new();
        self.written = 0;
        Ok(true)
    }

    /// True when something came.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 2048];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.head.extend_from_slice(&buffer[..count]);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn parse(head: &[u8]) -> Request {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(head) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if head.len() < MAX_HEAD => return Request::Partial,
        _ => return Request::Bad,
    };
    let method = request.method.unwrap_or_default();
    let has = |name: &str| request.headers.iter().any(|field| field.name.eq_ignore_ascii_case(name));
    let with_body = has("transfer-encoding")
        || request.headers.iter().any(|field| {
            field.name.eq_ignore_ascii_case("content-length") && field.value.trim_ascii() != b"0"
        });
    if !matches!(method, "GET" | "HEAD") || with_body {
        return Request::Bad;
    }
    let close = request.headers.iter().any(|field| {
        field.name.eq_ignore_ascii_case("connection") && field.value.eq_ignore_ascii_case(b"close")
    });
    let (path, query) =
        request.path.unwrap_or_default().split_once('?').unwrap_or((request.path.unwrap_or_default(), ""));
    Request::Whole {
        length,
        head_only: method == "HEAD",
        keep: request.version == Some(1) && !close,
        path: path.to_owned(),
        verbose: query
            .split('&')
            .any(|parameter| parameter == "verbose" || parameter.starts_with("verbose=")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_requests_without_a_body_are_answered() {
        assert!(matches!(parse(b"GET /livez HTTP/1.1\r\nHost: a\r\n"), Request::Partial));
        for bad in [
            &b"POST /livez HTTP/1.1\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"\x16\x03\x01",
            &[b'a'; MAX_HEAD],
        ] {
            assert!(matches!(parse(bad), Request::Bad), "{bad:?}");
        }
        let Request::Whole { keep, path, verbose, head_only, length } =
            parse(b"GET /readyz?verbose HTTP/1.1\r\n\r\nGET")
        else {
            panic!("not whole");
        };
        assert_eq!((keep, &*path, verbose, head_only, length), (true, "/readyz", true, false, 32));
        assert!(matches!(parse(b"GET / HTTP/1.0\r\n\r\n"), Request::Whole { keep: false, .. }));
    }
}

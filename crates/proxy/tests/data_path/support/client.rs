//! A blocking client that never retries.

use std::io::ErrorKind::{TimedOut, WouldBlock};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;
use super::backend::Reader;

/// A response as a client read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    /// The status; 0 if the connection ended before a whole response.
    pub(crate) status: u16,
    /// Everything up to the empty line.
    pub(crate) head: String,
    /// The decoded body.
    pub(crate) body: Vec<u8>,
    /// Trailer lines.
    pub(crate) trailers: String,
}

impl Response {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    reader: Reader,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// Connects from an address of this host.
    pub(crate) fn connect_from(source: &str, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source.parse().unwrap(), 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = Reader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends bytes; false if the connection is gone.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Ends our direction.
    pub(crate) fn shutdown(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes it with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// The raw connection.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The reader, for what is not a response.
    pub(crate) fn reader(&mut self) -> &mut Reader {
        &mut self.reader
    }

    /// Sends a GET and reads its response.
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: app.test\r\n\r\n"));
        self.response("GET")
    }

    /// Sends a POST and reads its response.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Response {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: app.test\r\ncontent-length: {}\r\n\r\n", body.len());
        self.send([head.as_bytes(), body].concat());
        self.response("POST")
    }

    /// Reads one head.
    pub(crate) fn head(&mut self) -> Response {
        let Some(head) = self.reader.head() else { return Response::default() };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Response { status, head, ..Response::default() }
    }

    /// Reads the response to a request of this method.
    pub(crate) fn response(&mut self, method: &str) -> Response {
        let mut response = self.head();
        if response.status == 0 || method == "HEAD" || matches!(response.status, 100..=199 | 204 | 304) {
            return response;
        }
        if response.field("transfer-encoding").is_some() {
            match self.reader.chunked() {
                Some((body, trailers)) => (response.body, response.trailers) = (body, trailers),
                None => response.status = 0,
            }
        } else if let Some(length) = response.field("content-length").and_then(|length| length.parse().ok()) {
            match self.reader.exactly(length) {
                Some(body) => response.body = body,
                None => response.status = 0,
            }
        } else {
            response.body = self.reader.rest();
        }
        response
    }

    /// Whether the server has closed, with nothing more to read.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), TimedOut | WouldBlock),
        }
    }
}

impl Client {
    /// Whether a GET is answered with 200, where the connection may be refused.
    pub(crate) fn try_get(&mut self) -> bool {
        self.try_send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n") && self.response("GET").status == 200
    }
}

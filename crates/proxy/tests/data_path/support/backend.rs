//! A server in threads: one per connection, blocking.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::PATIENCE;

/// A request as a backend read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Everything up to the empty line.
    pub(crate) head: String,
    /// The decoded body.
    pub(crate) body: Vec<u8>,
    /// Trailer lines.
    pub(crate) trailers: String,
}

impl Request {
    /// The request line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A backend.
pub(crate) struct Backend {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Connections accepted.
    pub(crate) connections: Arc<AtomicUsize>,
    /// Requests read, by those who use [`Backend::http`].
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Backend {
    /// Gives each connection, with its number, to `serve` in a thread of its own.
    pub(crate) fn raw(serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", serve)
    }

    /// The same at a given address.
    pub(crate) fn at(address: &str, serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, stopped) = (Arc::clone(&connections), Arc::clone(&stop));
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let number = count.fetch_add(1, Ordering::Relaxed);
                let _ = stream.set_read_timeout(Some(PATIENCE * 3));
                let _ = stream.set_nodelay(true);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream, number));
            }
        });
        Self { address, connections, requests: Arc::default(), stop, streams: Arc::default() }
    }

    /// An HTTP server: `respond` gives the bytes that answer a request.
    pub(crate) fn http(respond: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let streams: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let open = Arc::clone(&streams);
        let mut backend = Self::raw(move |mut stream, _| {
            let mut reader = Reader::new(stream.try_clone().unwrap());
            open.lock().unwrap().extend(stream.try_clone());
            while let Some(request) = reader.request() {
                seen.lock().unwrap().push(request.clone());
                if stream.write_all(&respond(&request)).is_err() {
                    return;
                }
            }
        });
        backend.requests = requests;
        backend.streams = streams;
        backend
    }

    /// An HTTP server that always says the same.
    pub(crate) fn saying(word: &'static str) -> Self {
        Self::http(move |request| {
            let mut answer = text(word);
            if request.line().starts_with("HEAD ") {
                answer.truncate(answer.len() - word.len());
            }
            answer
        })
    }

    /// Ends an HTTP server as if its process exited at once: nothing is answered any more, dials are refused.
    pub(crate) fn kill(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        super::wait_until("the socket's end", || TcpStream::connect(self.address).is_err());
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// How many requests were read.
    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Ends the accept call.
        let _ = TcpStream::connect(self.address);
    }
}

/// A plain 200.
pub(crate) fn text(body: &str) -> Vec<u8> {
    answer("200 OK", &[], body.as_bytes())
}

/// A response with a length.
pub(crate) fn answer(status: &str, fields: &[&str], body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for field in fields {
        out.push_str(field);
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    out.extend_from_slice(body);
    out
}

/// Reads requests off a connection.
pub(crate) struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Reader {
    /// Over this connection.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Reads more; false at the end.
    pub(crate) fn more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(count) if count > 0 => {
                self.buffer.extend_from_slice(&chunk[..count]);
                true
            }
            _ => false,
        }
    }

    /// Everything up to and with `end`.
    pub(crate) fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// So many bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.more() {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// Everything until the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.buffer)
    }

    /// A chunked body with its trailers.
    pub(crate) fn chunked(&mut self) -> Option<(Vec<u8>, String)> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
            if size == 0 {
                let mut trailers = String::new();
                loop {
                    let line = self.line()?;
                    if line == "\r\n" {
                        return Some((body, trailers));
                    }
                    trailers.push_str(&line);
                }
            }
            body.extend(self.exactly(size)?);
            self.exactly(2)?;
        }
    }

    fn line(&mut self) -> Option<String> {
        self.until(b"\r\n").map(|line| String::from_utf8_lossy(&line).into_owned())
    }

    /// A head.
    pub(crate) fn head(&mut self) -> Option<String> {
        self.until(b"\r\n\r\n").map(|head| String::from_utf8_lossy(&head).into_owned())
    }

    /// A whole request.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let mut request = Request { head: self.head()?, ..Request::default() };
        if request.field("transfer-encoding").is_some() {
            (request.body, request.trailers) = self.chunked()?;
        } else if let Some(length) = request.field("content-length") {
            request.body = self.exactly(length.parse().ok()?)?;
        }
        Some(request)
    }
}

//! The connection to the controller: bytes in and out, and when to try again.
//!
//! Laws:
//! 1. It is tried for ever, after 50 ms at first and 1 s at most, with jitter: after a controller's restart all its
//!    proxies do not come at once.
//! 2. A lost connection changes nothing but the connection.
//! 3. One turn reads a bounded amount: signals and workers are not kept waiting by a fast controller.
//! 4. Whether the socket can be written to is asked only while something waits for that. Else each frame that the
//!    controller takes would wake the thread to do nothing.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use fairlead_balance::{Micros, Rng};
use fairlead_snapshot::FrameReader;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

const FIRST_RETRY: Micros = Micros::from_millis(50);
const LAST_RETRY: Micros = Micros::from_secs(1);
const READ_BYTES: usize = 64 << 10;
const READS_PER_TURN: usize = 64;

/// Doubles from the first to the last delay; each is cut by up to a half at random.
#[derive(Debug, Clone, Copy)]
struct Backoff {
    next: Micros,
}

impl Backoff {
    fn new() -> Self {
        Self { next: FIRST_RETRY }
    }

    fn delay(&mut self, rng: &mut impl Rng) -> Micros {
        let full = self.next;
        self.next = Micros((full.0 * 2).min(LAST_RETRY.0));
        Micros(full.0 / 2 + (rng.unit() * (full.0 / 2) as f64) as u64)
    }
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    reader: FrameReader,
    out: Vec<u8>,
    /// Writability is asked for.
    asks: bool,
}

/// The connection, or the wait for the next attempt.
#[derive(Debug)]
pub(super) struct Link {
    path: PathBuf,
    token: Token,
    connection: Option<Connection>,
    retry_at: Micros,
    backoff: Backoff,
    scratch: Box<[u8]>,
}

/// What a turn of reading gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Everything that was there has been read.
    Drained,
    /// There may be more; no event will tell.
    More,
}

impl Link {
    pub(super) fn new(path: PathBuf, token: Token) -> Self {
        Self {
            path,
            token,
            connection: None,
            retry_at: Micros::ZERO,
            backoff: Backoff::new(),
            scratch: vec![0; READ_BYTES].into(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.connection.is_some()
    }

    /// When to call [`Link::connect`] next; `None` while connected.
    pub(super) fn retry_at(&self) -> Option<Micros> {
        (!self.is_up()).then_some(self.retry_at)
    }

    /// Tries to connect. On failure the next attempt is later.
    pub(super) fn connect(&mut self, registry: &Registry, now: Micros, rng: &mut impl Rng) -> io::Result<()> {
        let attempt = UnixStream::connect(&self.path).and_then(|mut stream| {
            registry.register(&mut stream, self.token, Interest::READABLE)?;
            Ok(stream)
        });
        match attempt {
            Ok(stream) => {
                self.connection =
                    Some(Connection { stream, reader: FrameReader::new(), out: Vec::new(), asks: false });
                Ok(())
            }
            Err(error) => {
                self.retry_at = now + self.backoff.delay(rng);
                Err(error)
            }
        }
    }

    /// Closes the connection; the next attempt is after the backoff.
    pub(super) fn close(&mut self, registry: &Registry, now: Micros, rng: &mut impl Rng) {
        if let Some(mut connection) = self.connection.take() {
            // It fails only for a descriptor that is not registered; it is closed either way.
            let _ = registry.deregister(&mut connection.stream);
            self.retry_at = now + self.backoff.delay(rng);
        }
    }

    /// The controller has said something sensible: the next loss starts with the shortest delay.
    pub(super) fn works(&mut self) {
        self.backoff = Backoff::new();
    }

    /// Takes in what the controller sent.
    pub(super) fn read(&mut self) -> io::Result<Readiness> {
        let Some(connection) = &mut self.connection else { return Ok(Readiness::Drained) };
        for _ in 0..READS_PER_TURN {
            match connection.stream.read(&mut self.scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => connection.reader.push(&self.scratch[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Readiness::Drained),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Readiness::More)
    }

    /// Takes the frames out of what came, to be given back by [`Link::put_reader`].
    pub(super) fn take_reader(&mut self) -> FrameReader {
        self.connection.as_mut().map(|connection| std::mem::take(&mut connection.reader)).unwrap_or_default()
    }

    pub(super) fn put_reader(&mut self, reader: FrameReader) {
        if let Some(connection) = &mut self.connection {
            connection.reader = reader;
        }
    }

    /// Sends a frame, or keeps what does not fit until the socket is writable.
    pub(super) fn send(&mut self, frame: &[u8], registry: &Registry) -> io::Result<()> {
        if let Some(connection) = &mut self.connection {
            connection.out.extend_from_slice(frame);
        }
        self.flush(registry)
    }

    /// Bytes that the controller has not taken.
    pub(super) fn unsent(&self) -> usize {
        self.connection.as_ref().map_or(0, |connection| connection.out.len())
    }

    /// Sends what is left.
    pub(super) fn flush(&mut self, registry: &Registry) -> io::Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let mut sent = 0;
        while sent < connection.out.len() {
            match connection.stream.write(&connection.out[sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        connection.out.drain(..sent);
        let asks = !connection.out.is_empty();
        if asks != connection.asks {
            let interest = if asks { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            // What has become possible since is told again.
            registry.reregister(&mut connection.stream, self.token, interest)?;
            connection.asks = asks;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use fairlead_balance::SplitMix64;
    use mio::{Events, Poll};

    use super::*;

    const TOKEN: Token = Token(7);

    /// A link, and its controller's end.
    fn linked(name: &str) -> (Poll, Link, std::os::unix::net::UnixStream) {
        let path = std::env::temp_dir().join(format!("fairlead-link-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let poll = Poll::new().unwrap();
        let mut link = Link::new(path.clone(), TOKEN);
        link.connect(poll.registry(), Micros(1), &mut SplitMix64::new(1)).unwrap();
        let (controller, _) = listener.accept().unwrap();
        std::fs::remove_file(path).unwrap();
        (poll, link, controller)
    }

    /// Whether the poller has something to tell; what happens to such a socket it knows at once.
    fn is_told(poll: &mut Poll) -> bool {
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        !events.is_empty()
    }

    #[test]
    fn a_frame_that_the_controller_takes_wakes_nobody() {
        let (mut poll, mut link, mut controller) = linked("taken");
        link.send(b"frame", poll.registry()).unwrap();
        assert!(!is_told(&mut poll));
        controller.read_exact(&mut [0; 5]).unwrap();
        assert!(!is_told(&mut poll));
        controller.write_all(b"answer").unwrap();
        assert!(is_told(&mut poll));
    }

    #[test]
    fn what_does_not_fit_goes_out_once_there_is_room() {
        let (mut poll, mut link, mut controller) = linked("full");
        let frame: Vec<u8> = (0..4 << 20).map(|at: u32| at as u8).collect();
        link.send(&frame, poll.registry()).unwrap();
        let kept = link.unsent();
        assert!(kept > 0 && kept < frame.len());
        assert!(!is_told(&mut poll), "there is no room");
        let (mut got, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        while link.unsent() > 0 {
            let count = controller.read(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..count]);
            if is_told(&mut poll) {
                link.flush(poll.registry()).unwrap();
            }
        }
        is_told(&mut poll);
        while got.len() < frame.len() {
            let count = controller.read(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..count]);
        }
        assert!(got == frame);
        assert!(!is_told(&mut poll), "nothing waits for room any more");
    }

    #[test]
    fn the_delay_grows_from_50_ms_to_1_s_and_is_jittered() {
        let mut rng = SplitMix64::new(1);
        let mut backoff = Backoff::new();
        let mut full = FIRST_RETRY.0;
        for _ in 0..20 {
            let delay = backoff.delay(&mut rng).0;
            assert!((full / 2..=full).contains(&delay), "{delay} of {full}");
            full = (full * 2).min(LAST_RETRY.0);
        }
    }
}

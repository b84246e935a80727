//! The load generator: connections on one thread, edge-triggered, two system calls per request.
//!
//! Laws:
//! 1. Bounded: by the time of warm-up and measurement, and by the number of requests.
//! 2. Counted is what ends within the measurement. What is still under way or waiting at its end is told apart.
//! 3. A connection that fails is an error and is replaced; after as many errors as there are connections plus one
//!    thousand the run ends.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::cpu;
use crate::histogram::Histogram;
use crate::message::{Answer, head_length};
use crate::schedule::{Poisson, Schedule};
use crate::timer::Timer;
use crate::windows::Windows;

const TIMER: Token = Token(usize::MAX);
const BUFFER: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_millis(100);
const ERRORS_MAX: u64 = 1_000;
/// A head that has not ended after so many bytes is none.
const HEAD_MAX: usize = 16 << 10;

/// What to do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the requests go.
    pub(crate) target: SocketAddr,
    /// The bytes of each.
    pub(crate) request: Vec<u8>,
    /// Connections kept open.
    pub(crate) connections: usize,
    /// Arrivals per second; none for a closed loop.
    pub(crate) rate: Option<f64>,
    /// Of the arrivals.
    pub(crate) seed: u64,
    /// Load that is not measured.
    pub(crate) warm_up: Duration,
    /// Load that is measured.
    pub(crate) time: Duration,
    /// The measurement ends after so many requests.
    pub(crate) requests_max: u64,
    /// Processes whose CPU time is read at the measurement's begin and end.
    pub(crate) processes: Vec<u32>,
}

struct Connection {
    stream: TcpStream,
    /// When the request under way counts from.
    since: Option<u64>,
    /// Bytes of the body still to come.
    body: usize,
    /// The beginning of a head that came in parts.
    head: Vec<u8>,
    ok: bool,
}

/// A reading of the processors' time.
#[derive(Debug, Default)]
struct Used {
    processes: Vec<u64>,
    own: u64,
}

struct Run<'a> {
    plan: &'a Plan,
    poll: Poll,
    timer: Timer,
    started: Instant,
    connections: Vec<Connection>,
    schedule: Schedule,
    buffer: Vec<u8>,
    latencies: Windows,
    /// How long requests waited between the time from which they count and their sending: for an idle connection, or
    /// for this program's own turn on the processor. Nothing that the server does is in it while connections are idle.
    waits: Histogram,
    measuring: bool,
    errors: u64,
    all_errors: u64,
}

/// Runs it; gives the report.
pub(crate) fn run(plan: &Plan) -> io::Result<Value> {
    let poll = Poll::new()?;
    let timer = Timer::new(poll.registry(), TIMER)?;
    let schedule = match plan.rate {
        Some(rate) => Schedule::open(Poisson::new(rate, plan.seed)),
        None => Schedule::closed(),
    };
    let mut run = Run {
        plan,
        poll,
        timer,
        started: Instant::now(),
        connections: Vec::new(),
        schedule,
        buffer: vec![0; BUFFER],
        latencies: Windows::default(),
        waits: Histogram::default(),
        measuring: false,
        errors: 0,
        all_errors: 0,
    };
    for index in 0..plan.connections {
        let stream = run.connect(index)?;
        run.connections.push(Connection { stream, since: None, body: 0, head: Vec::new(), ok: false });
    }
    run.started = Instant::now();
    for index in 0..plan.connections {
        run.schedule.idle(index);
    }
    run.until(nanos(plan.warm_up), u64::MAX)?;
    let (before, begin) = (run.used(), run.now());
    run.measuring = true;
    run.errors = 0;
    run.until(nanos(plan.warm_up + plan.time), plan.requests_max)?;
    let (after, end) = (run.used(), run.now());
    Ok(run.report(&before, &after, begin, end))
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

/// In microseconds.
fn quantiles(of: &Histogram) -> Value {
    json!({
        "mean": micros(of.mean()),
        "p50": micros(of.quantile(0.5)),
        "p90": micros(of.quantile(0.9)),
        "p99": micros(of.quantile(0.99)),
        "p99_9": micros(of.quantile(0.999)),
        "max": micros(of.max()),
    })
}

impl Run<'_> {
    fn now(&self) -> u64 {
        nanos(self.started.elapsed())
    }

    fn used(&self) -> Used {
        Used {
            processes: self.plan.processes.iter().map(|process| cpu::run_time(*process)).collect(),
            own: cpu::run_time(std::process::id()),
        }
    }

    fn connect(&self, index: usize) -> io::Result<TcpStream> {
        // A blocking connect: a refusal ends the run at once, and the first request needs no wait for writability.
        let stream = std::net::TcpStream::connect_timeout(&self.plan.target, Duration::from_secs(2))?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let mut stream = TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        Ok(stream)
    }

    /// Offers load until this time or count, whichever is first.
    fn until(&mut self, end: u64, count: u64) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let now = self.now();
            if now >= end || self.latencies.count() >= count {
                return Ok(());
            }
            self.send_due()?;
            let mut timeout = PATIENCE.min(Duration::from_nanos(end - now));
            if let Some(at) = self.schedule.wake_at() {
                let now = self.now();
                if at <= now {
                    timeout = Duration::ZERO;
                } else {
                    self.timer.set(at, now)?;
                }
            }
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                if event.token() != TIMER {
                    self.receive(event.token().0)?;
                }
            }
        }
    }

    fn send_due(&mut self) -> io::Result<()> {
        let mut now = self.now();
        while let Some((index, since)) = self.schedule.next(now) {
            let connection = &mut self.connections[index];
            connection.since = Some(since);
            if self.measuring {
                self.waits.record(now.saturating_sub(since));
            }
            match connection.stream.write(&self.plan.request) {
                Ok(sent) if sent == self.plan.request.len() => {}
                // No buffer is as small as a request: the connection is broken, or about to be.
                _ => self.replace(index)?,
            }
            now = self.now();
        }
        Ok(())
    }

    fn receive(&mut self, index: usize) -> io::Result<()> {
        loop {
            match self.connections[index].stream.read(&mut self.buffer) {
                Ok(0) => return self.replace(index),
                Ok(length) => {
                    if !self.take(index, length) {
                        return self.replace(index);
                    }
                    // A short read has emptied the socket; what comes later is a new edge.
                    if length < self.buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.replace(index),
            }
        }
    }

    /// Takes what was read; false if it is no answer to be expected.
    fn take(&mut self, index: usize, length: usize) -> bool {
        let connection = &mut self.connections[index];
        let Some(since) = connection.since else { return false };
        let bytes = &self.buffer[..length];
        let rest = if connection.body > 0 {
            length
        } else {
            let head = if connection.head.is_empty() {
                bytes
            } else {
                connection.head.extend_from_slice(bytes);
                &connection.head[..]
            };
            let Some(end) = head_length(head) else {
                if connection.head.is_empty() {
                    connection.head.extend_from_slice(bytes);
                }
                return connection.head.len() < HEAD_MAX;
            };
            let answer = Answer::parse(&head[..end]);
            let rest = head.len() - end;
            connection.head.clear();
            let Some(body) = answer.length else { return false };
            connection.body = body;
            connection.ok = answer.ok;
            rest
        };
        if rest > connection.body {
            return false;
        }
        connection.body -= rest;
        if connection.body == 0 {
            connection.since = None;
            if !connection.ok {
                self.errors += 1;
                self.all_errors += 1;
            } else if self.measuring {
                let now = self.now();
                self.latencies.record(now, now.saturating_sub(since));
            }
            self.schedule.idle(index);
        }
        true
    }

    /// Counts an error and puts a new connection in the broken one's place.
    fn replace(&mut self, index: usize) -> io::Result<()> {
        self.errors += 1;
        self.all_errors += 1;
        if self.all_errors > ERRORS_MAX + self.plan.connections as u64 {
            return Err(io::Error::other("too many errors"));
        }
        let stream = self.connect(index)?;
        let connection = &mut self.connections[index];
        // An idle connection that is closed by the other side is in the schedule already.
        let was_busy = connection.since.take().is_some();
        *connection = Connection { stream, since: None, body: 0, head: Vec::new(), ok: false };
        if was_busy {
            self.schedule.idle(index);
        }
        Ok(())
    }

    fn report(self, before: &Used, after: &Used, begin: u64, end: u64) -> Value {
        let (latencies, p99) = self.latencies.finish(end);
        let used: Vec<u64> = after
            .processes
            .iter()
            .zip(&before.processes)
            .map(|(after, before)| after.saturating_sub(*before))
            .collect();
        let seconds = (end - begin) as f64 / 1e9;
        json!({
            "requests": latencies.count(),
            "errors": self.errors,
            "under_way": self.connections.iter().filter(|connection| connection.since.is_some()).count(),
            "waiting": self.schedule.waiting(),
            "seconds": seconds,
            "rate": latencies.count() as f64 / seconds,
            "latency_us": quantiles(&latencies),
            "p99_us_of_windows": p99.into_iter().map(micros).collect::<Vec<_>>(),
            "wait_us": quantiles(&self.waits),
            "cpu_ns": used,
            "own_cpu_ns": after.own.saturating_sub(before.own),
        })
    }
}

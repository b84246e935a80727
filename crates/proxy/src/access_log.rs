//! The access log: one JSON object per line, written without ever holding a worker up.
//!
//! A worker formats lines into its own [`LogWriter`] and hands them over once per turn; the log thread takes what
//! is there and writes it to stdout. Laws:
//! 1. A worker waits for nobody: if the log thread holds the buffer, the lines stay with the worker until its next
//!    turn.
//! 2. The buffer is bounded. A line that does not fit is dropped and counted.
//! 3. A line is one line: control bytes, quotes and backslashes of what peers sent are escaped, and bytes that are
//!    not UTF-8 are replaced.
//! 4. What a client sent is logged up to a length: 2,048 bytes of `path`, 512 of `user-agent`, `x-request-id` and
//!    `x-forwarded-for` each. A longer one is cut and ends in `…`; the limits of the codec bound the others.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::shared::{Phase, Shared};

/// What a worker may have waiting.
const CAPACITY: usize = 1 << 20;
const DRAIN_EVERY: Duration = Duration::from_millis(50);

/// Bytes of a target that are logged. They wait in memory while the request is under way.
pub(crate) const MAX_PATH: usize = 2_048;
/// Bytes of any other text of a client's that are logged.
pub(crate) const MAX_TEXT: usize = 512;
/// What a text ends in that was cut.
const CUT: &str = "…";

/// The text in at most `most` bytes, as what is kept of it and what follows. Neither a character of UTF-8 nor a
/// percent-escape is taken apart.
pub(crate) fn shortened(text: &[u8], most: usize) -> (&[u8], &'static [u8]) {
    if text.len() <= most {
        (text, &[])
    } else {
        (&text[..cut_before(text, most - CUT.len())], CUT.as_bytes())
    }
}

#[cold]
fn cut_before(text: &[u8], end: usize) -> usize {
    let is_inside = |at: usize| text[at] & 0xc0 == 0x80;
    // The bytes before it that may belong together with those behind: three of a character, two of an escape.
    let start = (end - 3..=end).rev().find(|&at| !is_inside(at)).unwrap_or(end);
    let escape = text[start - 2..start].iter().position(|&byte| byte == b'%');
    escape.map_or(start, |at| start - 2 + at)
}

/// Lines on their way from one worker to the log thread.
#[derive(Debug, Default)]
pub struct LogBuffer {
    lines: Mutex<Vec<u8>>,
    dropped: AtomicU64,
}

impl LogBuffer {
    /// Takes everything that is there, leaving `empty` (whose capacity is used again).
    pub fn drain(&self, mut empty: Vec<u8>) -> Vec<u8> {
        empty.clear();
        if let Ok(mut lines) = self.lines.lock() {
            std::mem::swap(&mut *lines, &mut empty);
        }
        empty
    }

    /// Lines dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// A worker's end.
#[derive(Debug, Default)]
pub(crate) struct LogWriter {
    lines: Vec<u8>,
    count: u64,
}

impl LogWriter {
    /// Formats one record. What does not fit is dropped and counted in `buffer`.
    pub(crate) fn write(&mut self, record: &AccessRecord<'_>, buffer: &LogBuffer) {
        if self.lines.len() >= CAPACITY {
            buffer.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        record.write_json(&mut self.lines);
        self.count += 1;
    }

    /// Hands the lines over, once per turn; true if nothing is left here.
    pub(crate) fn flush(&mut self, buffer: &LogBuffer) -> bool {
        if self.lines.is_empty() {
            return true;
        }
        let Ok(mut shared) = buffer.lines.try_lock() else { return false };
        if shared.is_empty() {
            std::mem::swap(&mut *shared, &mut self.lines);
        } else if shared.len() + self.lines.len() <= CAPACITY {
            shared.extend_from_slice(&self.lines);
        } else {
            buffer.dropped.fetch_add(self.count, Ordering::Relaxed);
        }
        self.lines.clear();
        self.count = 0;
        true
    }
}

/// One finished exchange. Bytes are as the peer sent them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AccessRecord<'a> {
    /// Unix time in milliseconds of the request's first byte.
    pub(crate) start_ms: i64,
    /// The method.
    pub(crate) method: &'a [u8],
    /// The target's path and query.
    pub(crate) path: &'a [u8],
    /// `HTTP/1.1`.
    pub(crate) protocol: &'a str,
    /// The status sent; 0 if none was.
    pub(crate) response_code: u16,
    /// Envoy's letters, comma separated; `-` for none.
    pub(crate) response_flags: &'a str,
    /// A stable code.
    pub(crate) response_code_details: &'a str,
    /// Body bytes from the client.
    pub(crate) bytes_received: u64,
    /// Body bytes to the client.
    pub(crate) bytes_sent: u64,
    /// Microseconds from the first byte to the last.
    pub(crate) duration_us: u64,
    /// The endpoint that answered.
    pub(crate) upstream_host: Option<SocketAddr>,
    /// The Backend's name.
    pub(crate) upstream_cluster: Option<&'a str>,
    /// The request's `Host`.
    pub(crate) authority: &'a [u8],
    /// The request's `User-Agent`.
    pub(crate) user_agent: &'a [u8],
    /// The request's `X-Request-Id`.
    pub(crate) request_id: &'a [u8],
    /// The request's `X-Forwarded-For`, as it came.
    pub(crate) forwarded_for: &'a [u8],
    /// The client.
    pub(crate) downstream_remote_address: Option<SocketAddr>,
    /// The bind.
    pub(crate) downstream_local_address: Option<SocketAddr>,
    /// `NAMESPACE/NAME` of the Route, and the Rule's place.
    pub(crate) route: Option<(&'a str, &'a str, u16)>,
    /// Attempts made.
    pub(crate) attempts: u32,
    /// Why the last endpoint was picked.
    pub(crate) lb_reason: &'a str,
}

impl AccessRecord<'_> {
    /// Appends the record as one line.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        let mut line = Line { out, first: true };
        line.name("start_time");
        line.quoted(|out| write_time(self.start_ms, out));
        line.text("method", self.method);
        line.text("path", self.path);
        line.text("protocol", self.protocol.as_bytes());
        line.number("response_code", u64::from(self.response_code));
        line.text("response_flags", self.response_flags.as_bytes());
        line.text("response_code_details", self.response_code_details.as_bytes());
        line.number("bytes_received", self.bytes_received);
        line.number("bytes_sent", self.bytes_sent);
        line.number("duration", self.duration_us / 1_000);
        line.number("duration_us", self.duration_us);
        line.address("upstream_host", self.upstream_host);
        line.optional("upstream_cluster", self.upstream_cluster.unwrap_or_default().as_bytes());
        line.text(":authority", self.authority);
        line.optional("user-agent", self.user_agent);
        line.optional("x-request-id", self.request_id);
        line.optional("x-forwarded-for", self.forwarded_for);
        line.address("downstream_remote_address", self.downstream_remote_address);
        line.address("downstream_local_address", self.downstream_local_address);
        if let Some((namespace, name, rule)) = self.route {
            line.name("route_name");
            line.quoted(|out| {
                write_escaped(namespace.as_bytes(), out);
                out.push(b'/');
                write_escaped(name.as_bytes(), out);
            });
            line.number("rule", u64::from(rule));
        }
        line.number("attempts", u64::from(self.attempts));
        line.optional("lb_reason", self.lb_reason.as_bytes());
        line.out.extend_from_slice(b"}\n");
    }
}

/// An object that is being written.
struct Line<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Line<'_> {
    fn name(&mut self, name: &str) {
        self.out.push(if self.first { b'{' } else { b',' });
        self.first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn quoted(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(b'"');
        write(self.out);
        self.out.push(b'"');
    }

    fn text(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.quoted(|out| write_escaped(value, out));
    }

    fn optional(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            self.text(name, value);
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn address(&mut self, name: &str, value: Option<SocketAddr>) {
        if let Some(address) = value {
            self.name(name);
            // Writing into a Vec cannot fail.
            self.quoted(|out| drop(write!(out, "{address}")));
        }
    }
}

/// The inside of a JSON string. Bytes that are not UTF-8 become U+FFFD.
fn write_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                0..0x20 | 0x7f => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                    out.extend_from_slice(b"\\u00");
                    out.extend_from_slice(&digits);
                }
                other => out.push(other),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// RFC 3339 in UTC with milliseconds, by the civil calendar's 400-year cycle.
fn write_time(unix_ms: i64, out: &mut Vec<u8>) {
    let (seconds, ms) = (unix_ms.div_euclid(1_000), unix_ms.rem_euclid(1_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March put the leap day last; 719,468 days lie between 0000-03-01 and the epoch.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z");
}

/// The log thread: takes what the workers left and writes it to stdout, until the process stops.
pub(crate) fn drain_to_stdout(shared: &Arc<Shared>) {
    let mut lines = Vec::new();
    loop {
        let last = shared.phase() == Phase::Stopped;
        for worker in &shared.workers {
            lines = worker.log.drain(lines);
            // A reader that went away is nothing that this thread could report.
            let _ = std::io::stdout().lock().write_all(&lines);
        }
        if last {
            let _ = std::io::stdout().flush();
            return;
        }
        std::thread::park_timeout(DRAIN_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: &AccessRecord<'_>) -> serde_json::Value {
        let mut out = Vec::new();
        record.write_json(&mut out);
        assert_eq!(memchr::memchr_iter(b'\n', &out).count(), 1, "one line");
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn what_a_peer_sends_cannot_break_out_of_its_string() {
        let record =
            AccessRecord { path: b"/a\"\\\r\n\x00\xff\xc3\xa9", method: b"GET", ..AccessRecord::default() };
        assert_eq!(line(&record)["path"], "/a\"\\\r\n\0\u{fffd}\u{e9}");
    }

    #[test]
    fn a_long_text_is_cut_where_nothing_is_taken_apart() {
        let cut = |text: &str| {
            let (kept, mark) = shortened(text.as_bytes(), 12);
            [kept, mark].concat()
        };
        for (text, expected) in [
            ("", ""),
            ("123456789012", "123456789012"),
            ("1234567890123", "123456789…"),
            ("12345678é0123", "12345678…"),
            ("1234567é90123", "1234567é…"),
            ("1234567🦀2345", "1234567…"),
            ("/34567%C3%A9/", "/34567%C3…"),
            ("/345678%C3/12", "/345678…"),
            ("/3456789%C3/1", "/3456789…"),
            ("/34567890%C3/", "/34567890…"),
        ] {
            assert_eq!(String::from_utf8(cut(text)).unwrap(), expected, "{text}");
        }
        // Not UTF-8 at all: it is cut all the same.
        assert_eq!(shortened(&[0x80; 600], MAX_TEXT).0.len(), MAX_TEXT - CUT.len());
    }

    #[test]
    fn keys_are_those_of_the_conventions() {
        let record = AccessRecord {
            start_ms: 1_709_210_096_789,
            response_code: 503,
            response_flags: "UH",
            duration_us: 1_500,
            upstream_host: Some("10.0.0.1:80".parse().unwrap()),
            route: Some(("ns", "r", 2)),
            ..AccessRecord::default()
        };
        let line = line(&record);
        assert_eq!(line["start_time"], "2024-02-29T12:34:56.789Z");
        assert_eq!((&line["response_code"], &line["response_flags"]), (&503.into(), &"UH".into()));
        assert_eq!((&line["duration"], &line["upstream_host"]), (&1.into(), &"10.0.0.1:80".into()));
        assert_eq!((&line["route_name"], &line["rule"]), (&"ns/r".into(), &2.into()));
    }

    #[test]
    fn a_full_buffer_drops_and_counts_and_a_held_one_delays() {
        let buffer = LogBuffer::default();
        let mut writer = LogWriter::default();
        let record = AccessRecord::default();
        writer.write(&record, &buffer);
        {
            let _held = buffer.lines.lock().unwrap();
            assert!(!writer.flush(&buffer), "it does not wait");
        }
        assert!(writer.flush(&buffer));
        let length = buffer.drain(Vec::new()).len();
        for _ in 0..CAPACITY / length + 10 {
            writer.write(&record, &buffer);
        }
        assert!(buffer.dropped() > 0);
        assert!(writer.flush(&buffer));
        assert!(buffer.drain(Vec::new()).len() <= CAPACITY + length);
    }
}

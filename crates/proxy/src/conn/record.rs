//! What is remembered of a request for its counters and its line in the access log.
//!
//! Laws:
//! 1. An account is opened once per request and closed once, whichever way the request ends; the gauges follow it.
//! 2. What it copies of a head is short, however long the head: it is held for as long as the request takes.

use std::net::SocketAddr;
use std::sync::Arc;

use fairlead_balance::{Micros, Reason};
use fairlead_http1::{HeadStorage, RequestHead, Version};

use super::state::trim;
use crate::access_log::{AccessRecord, LogWriter, MAX_PATH, MAX_TEXT, shortened};
use crate::exchange::{Failure, Flags};
use crate::shared::{BackendState, EndpointState, RouteStats, WorkerCell};

/// Fields of a request that the access log wants, copied while the head is at hand.
const TEXTS: usize = 6;

/// Texts are held in steps of so many bytes, so that requests of different lengths need the same room.
const STEP: usize = 256;

/// The account of one request.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) open: bool,
    pub(crate) started: Micros,
    pub(crate) stats: Option<Arc<RouteStats>>,
    pub(crate) backend: Option<Arc<BackendState>>,
    pub(crate) endpoint: Option<Arc<EndpointState>>,
    pub(crate) reason: Option<Reason>,
    pub(crate) status: u16,
    pub(crate) flags: Flags,
    pub(crate) details: &'static str,
    pub(crate) attempts: u8,
    pub(crate) http10: bool,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    text: Vec<u8>,
    ends: [u32; TEXTS],
}

/// Where a worker stands when it closes an account.
pub(crate) struct Closing<'a> {
    pub(crate) now: Micros,
    /// Unix time of the process's epoch in milliseconds.
    pub(crate) epoch_ms: i64,
    pub(crate) worker: usize,
    pub(crate) cell: &'a WorkerCell,
    pub(crate) log: Option<&'a mut LogWriter>,
    pub(crate) client: SocketAddr,
    pub(crate) bind: SocketAddr,
}

impl Account {
    /// Opens the account.
    pub(crate) fn open(&mut self, now: Micros, cell: &WorkerCell) {
        if !self.open {
            self.open = true;
            self.started = now;
            cell.stats.exchanges.add(1);
        }
    }

    /// Forgets everything but the capacity.
    pub(crate) fn clear(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        trim(&mut text);
        *self = Self { text, ..Self::default() };
    }

    /// Copies what the access log wants of the head.
    pub(crate) fn note_head(&mut self, head: &RequestHead, buf: &[u8], storage: &HeadStorage) {
        self.http10 = head.version == Version::Http10;
        let text = |name: &'static [u8]| shortened(storage.value(buf, name).unwrap_or_default(), MAX_TEXT);
        let texts: [_; TEXTS] = [
            // The codec bounds the method, and the authority.
            (head.method_name(buf), &[][..]),
            shortened(head.target(buf), MAX_PATH),
            (head.authority(buf).unwrap_or_default(), &[][..]),
            text(b"user-agent"),
            text(b"x-request-id"),
            text(b"x-forwarded-for"),
        ];
        self.text.clear();
        let length: usize = texts.iter().map(|(kept, mark)| kept.len() + mark.len()).sum();
        // Grown piece by piece it would get up to twice its room.
        self.text.reserve_exact(length.next_multiple_of(STEP));
        for ((kept, mark), end) in texts.iter().zip(&mut self.ends) {
            self.text.extend_from_slice(kept);
            self.text.extend_from_slice(mark);
            *end = self.text.len() as u32;
        }
    }

    /// Notes how it ended badly.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.flags = self.flags.and(failure.flags);
        self.details = failure.reason;
    }

    fn text(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.text.get(start as usize..self.ends[index] as usize).unwrap_or_default()
    }

    /// Closes the account: counters, gauge, access log.
    pub(crate) fn close(&mut self, at: &mut Closing<'_>) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        at.cell.stats.exchanges.sub(1);
        let duration_us = at.now.since(self.started).0;
        if let Some(stats) = &self.stats {
            stats.finished(at.worker, self.status, duration_us);
        }
        let Some(log) = &mut at.log else { return };
        let mut flags = FlagText::new();
        flags.fill(self.flags);
        let labels = self.stats.as_ref().map(|stats| &stats.labels).filter(|labels| !labels.route.is_empty());
        let record = AccessRecord {
            start_ms: at.epoch_ms + (self.started.0 / 1_000).cast_signed(),
            method: self.text(0),
            path: self.text(1),
            protocol: if self.http10 { "HTTP/1.0" } else { "HTTP/1.1" },
            response_code: self.status,
            response_flags: flags.as_str(),
            response_code_details: self.details,
            bytes_received: self.bytes_received,
            bytes_sent: self.bytes_sent,
            duration_us,
            upstream_host: self.endpoint.as_ref().map(|endpoint| endpoint.address),
            upstream_cluster: self.backend.as_ref().map(|backend| &*backend.name),
            authority: self.text(2),
            user_agent: self.text(3),
            request_id: self.text(4),
            forwarded_for: self.text(5),
            downstream_remote_address: Some(at.client),
            downstream_local_address: Some(at.bind),
            route: labels.map(|labels| (&*labels.route_namespace, &*labels.route, labels.rule)),
            attempts: u32::from(self.attempts),
            lb_reason: self.reason.map_or("", Reason::as_str),
        };
        log.write(&record, &at.cell.log);
    }
}

/// Flags as text without an allocation.
struct FlagText {
    bytes: [u8; 64],
    len: usize,
}

impl FlagText {
    fn new() -> Self {
        Self { bytes: [0; 64], len: 0 }
    }

    fn fill(&mut self, flags: Flags) {
        for name in flags.names() {
            for part in [if self.len > 0 { "," } else { "" }, name] {
                let end = self.len + part.len();
                if let Some(room) = self.bytes.get_mut(self.len..end) {
                    room.copy_from_slice(part.as_bytes());
                    self.len = end;
                }
            }
        }
    }

    fn as_str(&self) -> &str {
        match std::str::from_utf8(&self.bytes[..self.len]) {
            Ok(text) if !text.is_empty() => text,
            _ => "-",
        }
    }
}

#[cfg(test)]
mod tests {
    use fairlead_http1::{HeadCursor, Limits};

    use super::super::state::KEEP;
    use super::*;

    #[test]
    fn flags_become_text_without_an_allocation() {
        let mut text = FlagText::new();
        assert_eq!(text.as_str(), "-");
        text.fill(Failure::CONNECT.with(Flags::URX).flags);
        assert_eq!(text.as_str(), "UF,URX");
    }

    #[test]
    fn what_is_kept_of_a_head_is_short_and_says_where_it_was_cut() {
        let long = "x".repeat(9_000);
        let head = format!(
            "PURGE /{long} HTTP/1.1\r\nHost: {}.example\r\nUser-Agent: {long}\r\nX-Request-Id: {long}\r\nX-Forwarded-For: {long}\r\n\r\n",
            "h".repeat(240)
        );
        let (buf, mut storage) = (head.as_bytes(), HeadStorage::new());
        let head = RequestHead::parse(buf, &mut HeadCursor::default(), &mut storage, &Limits::REQUEST);
        let mut account = Account::default();
        account.note_head(&head.unwrap().unwrap(), buf, &storage);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|index| account.text(index).len()), [5, 2_048, 248, 512, 512, 512]);
        assert!([1, 3, 4, 5].iter().all(|&index| account.text(index).ends_with("x…".as_bytes())));
        assert!(account.text.capacity() <= KEEP, "{}", account.text.capacity());
    }

    #[test]
    fn a_free_account_keeps_little_room() {
        let mut account = Account { text: Vec::with_capacity(40 << 10), ..Account::default() };
        account.clear();
        assert!(account.text.capacity() <= KEEP);
    }
}

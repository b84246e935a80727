//! What is remembered of a request for its counters and its line in the access log.
//!
//! Law: an account is opened once per request and closed once, whichever way the request ends; the gauges follow it.

use std::net::SocketAddr;
use std::sync::Arc;

use fairlead_balance::{Micros, Reason};
use fairlead_http1::{HeadStorage, RequestHead, Version};

use crate::access_log::{AccessRecord, LogWriter};
use crate::exchange::{Failure, Flags};
use crate::shared::{BackendState, EndpointState, RouteStats, WorkerCell};

/// Fields of a request that the access log wants, copied while the head is at hand.
const TEXTS: usize = 6;

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
        text.clear();
        *self = Self { text, ..Self::default() };
    }

    /// Copies what the access log wants of the head.
    pub(crate) fn note_head(&mut self, head: &RequestHead, buf: &[u8], storage: &HeadStorage) {
        self.http10 = head.version == Version::Http10;
        let value = |name: &'static [u8]| storage.value(buf, name).unwrap_or_default();
        let texts = [
            head.method_name(buf),
            head.target(buf),
            head.authority(buf).unwrap_or_default(),
            value(b"user-agent"),
            value(b"x-request-id"),
            value(b"x-forwarded-for"),
        ];
        self.text.clear();
        for (text, end) in texts.iter().zip(&mut self.ends) {
            self.text.extend_from_slice(text);
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
    use super::*;

    #[test]
    fn flags_become_text_without_an_allocation() {
        let mut text = FlagText::new();
        assert_eq!(text.as_str(), "-");
        text.fill(Failure::CONNECT.with(Flags::URX).flags);
        assert_eq!(text.as_str(), "UF,URX");
    }
}

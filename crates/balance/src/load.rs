//! [`EndpointLoad`]: the Ledger's record of one Endpoint.

use std::sync::Arc;

use crate::{Micros, StatusClass, Totals};

/// How an attempt ended without a response. Dials are reported by [`EndpointLoad::dial_failed`] instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection died before a response byte.
    Reset,
    /// The response could not be understood.
    Malformed,
    /// No response in time.
    Timeout,
}

/// Whether an Endpoint may be tried, judged by its last dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialable {
    /// Nothing speaks against it.
    Yes,
    /// Two or more dials in a row failed, and the time of being passed over has ended: one may try.
    Probe,
    /// Two or more dials in a row failed a moment ago, or one is trying just now.
    PassedOver,
}

/// Load and health of one Endpoint, shared by all workers behind an `Arc`.
#[derive(Debug)]
pub struct EndpointLoad {}

impl EndpointLoad {
    /// The record of an Endpoint first seen at `now`, written by `workers` workers.
    pub fn new(_now: Micros, _workers: usize) -> Self {
        todo!()
    }

    /// When the Endpoint was first seen: slow start counts from here.
    pub fn since(&self) -> Micros {
        todo!()
    }

    /// Counts an attempt as in flight until the guard is dropped.
    #[must_use]
    pub fn started(self: &Arc<Self>) -> InFlight {
        todo!()
    }

    /// Attempts in flight, over all workers.
    pub fn in_flight(&self) -> u32 {
        todo!()
    }

    /// A response's first byte came `rtt` after its request was sent. Counts the request by class, and, if the
    /// status is 5xx, as a failure. `worker` is the index of the calling worker; only it may use that index.
    pub fn responded(&self, _now: Micros, _worker: usize, _rtt: Micros, _status: u16) {
        todo!()
    }

    /// An attempt on an established connection ended without a response.
    pub fn failed(&self, _now: Micros, _worker: usize, _failure: Failure) {
        todo!()
    }

    /// A dial failed: refused, unreachable or timed out. The second in a row lets the Endpoint be passed over for
    /// 5 s. Report a dial once: not again after [`suspected`](Self::suspected) for it.
    pub fn dial_failed(&self, _now: Micros) {
        todo!()
    }

    /// A dial succeeded: the Endpoint is neither passed over nor suspect any more.
    pub fn dial_succeeded(&self, _now: Micros) {
        todo!()
    }

    /// The Endpoint may have died silently: a dial was hedged, or a connection ended by EHOSTUNREACH or
    /// the TCP user timeout. Counts as a failed dial at once, and until a dial succeeds its idle
    /// connections must not be used.
    pub fn suspected(&self, _now: Micros) {
        todo!()
    }

    /// Whether idle connections must be passed over.
    pub fn is_suspect(&self) -> bool {
        todo!()
    }

    /// Whether the Endpoint may be tried.
    pub fn dialable(&self, _now: Micros) -> Dialable {
        todo!()
    }

    /// The latency average at `now`, decayed since the last sample; `None` before the first.
    pub fn latency(&self, _now: Micros) -> Option<Micros> {
        todo!()
    }

    /// Requests by class.
    pub fn requests(&self, _class: StatusClass) -> u64 {
        todo!()
    }

    /// Counters and histogram, summed over the workers.
    pub fn totals(&self) -> Totals {
        todo!()
    }
}

/// An attempt in flight; dropping it ends it.
#[derive(Debug)]
#[must_use = "dropping the guard ends the attempt"]
pub struct InFlight {
    load: Arc<EndpointLoad>,
}

impl InFlight {
    /// The Endpoint's record.
    pub fn load(&self) -> &Arc<EndpointLoad> {
        &self.load
    }
}

//! [`EndpointLoad`]: the Ledger's record of one Endpoint.
//!
//! Laws
//! 1. Atomics with relaxed order only: each field is right by itself, and no decision needs two fields to agree.
//! 2. What changes per request sits in the first cache line, and only in-flight, the average and the request
//!    count are written by every worker, besides the `Arc`'s own count in the line before; counters for people are
//!    per worker ([`crate::Totals`]).
//! 3. An attempt is counted once, when it is over: as [`answered`](EndpointLoad::answered), which a response that breaks
//!    off never is, or as [`failed`](EndpointLoad::failed). How long the Endpoint took is known before, with the head.
//! 4. Two failed dials in a row and the Endpoint is passed over for 5 s, then exactly one attempt in the process
//!    may try it at a time; only a dial that succeeds ends this.

mod dials;
mod failures;
mod latency;
mod permits;

use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use crate::stats::WorkerStats;
use crate::{Micros, StatusClass, Totals};
pub use dials::Dialable;
use dials::Dials;
use failures::Failures;
pub(crate) use failures::Penalty;
use latency::Latency;
pub(crate) use latency::{CLOSE_US, TIE_BAND};
pub use permits::Permit;
use permits::Permits;

/// How an attempt ended without a whole response. Dials are reported by [`EndpointLoad::dial_failed`] instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection died before the response was over.
    Reset,
    /// The response could not be understood.
    Malformed,
    /// No whole response in time.
    Timeout,
}

/// What an attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A request and its response.
    Request,
    /// Bytes both ways for as long as both sides like, if the Endpoint agrees.
    Tunnel,
}

/// Load and health of one Endpoint, shared by all workers behind an `Arc`.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct EndpointLoad {
    // One cache line: all that a pick reads, but for slow start.
    latency: Latency,
    dials: Dials,
    in_flight: AtomicU32,
    /// Of those in flight.
    tunnels: AtomicU32,
    suspect: AtomicBool,
    met: AtomicBool,
    failures: Failures,
    // Further lines.
    since: Micros,
    permits: Permits,
    workers: Box<[WorkerStats]>,
}

const _: () = assert!(offset_of!(EndpointLoad, since) == 64, "what picks read fills one cache line");

impl EndpointLoad {
    /// The record of an Endpoint first seen at `now`, written by `workers` workers.
    pub fn new(now: Micros, workers: usize) -> Self {
        Self {
            latency: Latency::default(),
            dials: Dials::default(),
            in_flight: AtomicU32::new(0),
            tunnels: AtomicU32::new(0),
            suspect: AtomicBool::new(false),
            met: AtomicBool::new(false),
            failures: Failures::default(),
            since: now,
            permits: Permits::default(),
            workers: (0..workers).map(|_| WorkerStats::default()).collect(),
        }
    }

    /// When the Endpoint was first seen: slow start counts from here.
    pub fn since(&self) -> Micros {
        self.since
    }

    /// Counts an attempt as in flight until the guard is dropped.
    pub fn started(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight { load: Arc::clone(self), tunnel: false }
    }

    /// Attempts in flight, over all workers.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Those in flight that weigh on new work: a tunnel weighs on tunnels alone. It is idle nearly always, and one more
    /// on this Endpoint would keep all requests away from it as long as few come at a time.
    #[inline]
    pub(crate) fn under_way(&self, work: Work) -> u32 {
        match work {
            Work::Request => self.in_flight().saturating_sub(self.tunnels.load(Relaxed)),
            Work::Tunnel => self.in_flight(),
        }
    }

    /// A response's first byte came `rtt` after the attempt began (its dial included, if it dialed), and the response
    /// goes on: [`answered`](Self::answered) or [`failed`](Self::failed) follows.
    ///
    /// A 5xx may raise the latency average, never lower it: a fast failure says nothing good. `worker` is the index of
    /// the calling worker, the only one that may use it; statistics of an index out of range are dropped.
    pub fn answering(&self, now: Micros, worker: usize, rtt: Micros, status: u16) {
        if StatusClass::of(status) == StatusClass::ServerError {
            self.latency.hold(now, rtt);
        } else {
            self.latency.sample(now, rtt);
        }
        if let Some(stats) = self.workers.get(worker) {
            stats.record(rtt);
        }
    }

    /// An attempt is over, and its response was whole, or was for as long as anybody wanted it. Counts the attempt by
    /// class; a 5xx counts as a failure too.
    pub fn answered(&self, now: Micros, worker: usize, status: u16) {
        let class = StatusClass::of(status);
        if class == StatusClass::ServerError {
            self.failures.failure(now);
        } else {
            self.failures.success(now);
        }
        if let Some(stats) = self.workers.get(worker) {
            stats.count(class);
        }
    }

    /// A response came, and its attempt is over: [`answering`](Self::answering) and [`answered`](Self::answered).
    pub fn responded(&self, now: Micros, worker: usize, rtt: Micros, status: u16) {
        self.answering(now, worker, rtt, status);
        self.answered(now, worker, status);
    }

    /// An attempt on an established connection ended without a whole response.
    pub fn failed(&self, now: Micros, worker: usize, _failure: Failure) {
        self.failures.failure(now);
        if let Some(stats) = self.workers.get(worker) {
            stats.count(StatusClass::NoResponse);
        }
    }

    /// A dial failed: refused, unreachable or timed out. The second in a row lets the Endpoint be passed
    /// over for 5 s; true for the one that does. Report a dial once: not again after
    /// [`suspected`](Self::suspected) for it.
    pub fn dial_failed(&self, now: Micros) -> bool {
        self.failures.dial_failed(now);
        self.dials.failed(now)
    }

    /// A dial succeeded: the Endpoint is neither passed over nor suspect any more, and the penalty for failed
    /// dials ends.
    pub fn dial_succeeded(&self, _now: Micros) {
        self.dials.succeeded();
        self.failures.dial_succeeded();
        if self.suspect.load(Relaxed) {
            self.suspect.store(false, Relaxed);
        }
    }

    /// The Endpoint may have died silently: a dial was hedged, or a connection ended by EHOSTUNREACH or the TCP
    /// user timeout. Counts as a failed dial at once, and until a dial succeeds its idle connections
    /// must not be used. True as for [`dial_failed`](Self::dial_failed).
    pub fn suspected(&self, now: Micros) -> bool {
        self.suspect.store(true, Relaxed);
        self.dial_failed(now)
    }

    /// Whether idle connections must be passed over.
    pub fn is_suspect(&self) -> bool {
        self.suspect.load(Relaxed)
    }

    /// Whether the Endpoint may be tried.
    #[inline]
    pub fn dialable(&self, now: Micros) -> Dialable {
        self.dials.judge(now)
    }

    /// Takes the right to probe, if [`dialable`](Self::dialable) says that one may. The right ends with the
    /// dial's result, or after 5 s without one.
    #[must_use]
    pub fn claim_probe(&self, now: Micros) -> bool {
        self.dials.claim(now)
    }

    /// The latency average at `now`, decayed since the last sample; `None` before the first sample or seed.
    pub fn latency(&self, now: Micros) -> Option<Micros> {
        self.latency.read(now).map(|us| Micros(us as u64))
    }

    /// Requests by class.
    pub fn requests(&self, class: StatusClass) -> u64 {
        self.workers.iter().map(|stats| stats.requests(class)).sum()
    }

    /// Counters and histogram, summed over the workers.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for stats in &self.workers {
            stats.add_to(&mut totals);
        }
        totals
    }

    /// The latency average in microseconds.
    #[inline]
    pub(crate) fn latency_us(&self, now: Micros) -> Option<f32> {
        self.latency.read(now)
    }

    /// Whether a picker has met it already, so that it needs no request of its own any more.
    pub(crate) fn is_met(&self) -> bool {
        self.met.load(Relaxed)
    }

    /// Meets it; true for the one worker that is the first.
    pub(crate) fn meet(&self) -> bool {
        !self.met.swap(true, Relaxed)
    }

    /// Whether there is an average.
    pub(crate) fn has_latency(&self) -> bool {
        self.latency.is_set()
    }

    /// Gives an Endpoint without any sample a first average.
    pub(crate) fn seed_latency(&self, now: Micros, us: f32) {
        self.latency.seed(now, us);
    }

    /// The penalty that recent failures would put on it.
    #[inline]
    pub(crate) fn penalty(&self, now: Micros) -> Option<Penalty> {
        self.failures.penalty(now)
    }

    /// The share of failures among the requests of the last 10 to 15 s.
    pub(crate) fn failure_rate(&self, now: Micros) -> f32 {
        self.failures.rate(now)
    }
}

/// An attempt in flight; dropping it ends it.
#[derive(Debug)]
#[must_use = "dropping the guard ends the attempt"]
pub struct InFlight {
    load: Arc<EndpointLoad>,
    tunnel: bool,
}

impl InFlight {
    /// The Endpoint's record.
    pub fn load(&self) -> &Arc<EndpointLoad> {
        &self.load
    }

    /// The attempt is a tunnel from now on.
    pub fn tunnel(&mut self) {
        if !self.tunnel {
            self.tunnel = true;
            self.load.tunnels.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.tunnel {
            self.load.tunnels.fetch_sub(1, Relaxed);
        }
        self.load.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_count_attempts() {
        let load = Arc::new(EndpointLoad::new(Micros::ZERO, 1));
        let first = load.started();
        let second = first.load().started();
        assert_eq!(load.in_flight(), 2);
        drop(first);
        drop(second);
        assert_eq!(load.in_flight(), 0);
    }

    #[test]
    fn a_tunnel_weighs_on_tunnels_alone() {
        let load = Arc::new(EndpointLoad::new(Micros::ZERO, 1));
        let counts = || (load.under_way(Work::Request), load.under_way(Work::Tunnel));
        let _request = load.started();
        let mut tunnel = load.started();
        assert_eq!(counts(), (2, 2));
        tunnel.tunnel();
        tunnel.tunnel();
        assert_eq!((counts(), load.in_flight()), ((1, 2), 2));
        drop(tunnel);
        assert_eq!(counts(), (1, 1));
    }

    #[test]
    fn an_endpoint_is_suspect_until_a_dial_succeeds() {
        let load = EndpointLoad::new(Micros::ZERO, 1);
        load.suspected(Micros::from_secs(1));
        load.responded(Micros::from_secs(2), 0, Micros(500), 200);
        assert!(load.is_suspect(), "an answer on an old connection proves nothing");
        load.dial_succeeded(Micros::from_secs(3));
        assert!(!load.is_suspect());
        assert!(load.penalty(Micros::from_secs(3)).is_none());
    }

    #[test]
    fn a_suspicion_counts_as_a_failed_dial() {
        let load = EndpointLoad::new(Micros::ZERO, 1);
        load.suspected(Micros::from_secs(1));
        assert_eq!(load.dialable(Micros::from_secs(1)), Dialable::Yes);
        load.suspected(Micros::from_secs(1));
        assert_eq!(load.dialable(Micros::from_secs(1)), Dialable::PassedOver);
    }

    #[test]
    fn a_fast_failure_does_not_lower_the_average() {
        let load = EndpointLoad::new(Micros::ZERO, 1);
        load.responded(Micros::ZERO, 0, Micros(100_000), 200);
        load.responded(Micros::from_secs(5), 0, Micros(1), 503);
        assert_eq!(load.latency(Micros::from_secs(5)), Some(Micros(100_000)));
        load.responded(Micros::from_secs(5), 0, Micros(400_000), 503);
        assert_eq!(load.latency(Micros::from_secs(5)), Some(Micros(400_000)));
    }

    #[test]
    fn a_response_that_breaks_off_is_one_attempt_and_one_failure() {
        let load = EndpointLoad::new(Micros::ZERO, 1);
        for second in 1..=3 {
            load.answering(Micros::from_secs(second), 0, Micros(1_000), 200);
            assert_eq!(load.totals().requests.iter().sum::<u64>(), second - 1, "not over yet");
            load.failed(Micros::from_secs(second), 0, Failure::Reset);
        }
        let now = Micros::from_secs(3);
        assert_eq!(load.totals().requests, [0, 0, 0, 0, 0, 3]);
        assert_eq!(load.totals().latency.count(), 3);
        assert_eq!(load.failure_rate(now).to_bits(), 1_f32.to_bits(), "nothing but failures");
        assert!(load.penalty(now).is_some());
        assert_eq!(load.latency(now), Some(Micros(1_000)));
    }

    #[test]
    fn totals_sum_the_workers() {
        let load = EndpointLoad::new(Micros::ZERO, 2);
        load.responded(Micros::ZERO, 0, Micros(1_000), 200);
        load.responded(Micros::ZERO, 1, Micros(2_000), 404);
        load.failed(Micros::ZERO, 1, Failure::Reset);
        load.failed(Micros::ZERO, 9, Failure::Reset);
        let totals = load.totals();
        assert_eq!(totals.requests, [0, 1, 0, 1, 0, 1]);
        assert_eq!((totals.latency.count(), totals.latency.sum_us), (2, 3_000));
        assert_eq!(load.requests(StatusClass::NoResponse), 1);
    }
}

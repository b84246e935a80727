//! The immutable root: everything that a worker reads to answer a request.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use fairlead_balance::{EndpointView, Maglev, Parts, Policy, StatusClass};
use fairlead_route::Table;
use fairlead_snapshot::{Position, TargetError};
use rustc_hash::FxHashMap;

use super::ejections::Ejections;
use super::endpoint::{EndpointSlot, EndpointState};
use super::slots::Slots;
use super::stats::{Gauge, Histogram};

/// One version of the configuration.
#[derive(Debug, Default)]
pub struct Root {
    /// Counts the roots of this process; 0 is the empty one that it starts with.
    pub generation: u64,
    /// What it derives from; absent until a configuration was loaded or received.
    pub position: Option<Position>,
    /// Routing per bind.
    pub binds: FxHashMap<SocketAddr, Arc<BindTable>>,
    /// Backends by [`BackendSlot`].
    pub backends: Slots<BackendState>,
    /// Counters of all Rules and Listeners, for whoever reports them.
    pub stats: Slots<RouteStats>,
    /// How it differs from the root before.
    pub changed: Changed,
}

/// The difference between a root and the one of `generation - 1`. A worker that skipped a root compares by pointer.
#[derive(Debug, Default)]
pub struct Changed {
    /// Backends that came, changed or went.
    pub backends: Box<[BackendSlot]>,
    /// Endpoints that no Backend has any more.
    pub gone: Box<[EndpointSlot]>,
    /// [`RuleAction`]s that no bind has any more.
    pub actions: Box<[ActionSlot]>,
}

/// Where a Backend stands in [`Root::backends`]; kept while anything names the Backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendSlot(pub u32);

/// Where a worker keeps its state of one [`RuleAction`]; `version` tells the actions apart that had this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ActionSlot {
    /// Dense.
    pub index: u32,
    /// Of this process, never used twice.
    pub version: u64,
}

/// What requests on one socket can reach.
#[derive(Debug)]
pub struct BindTable {
    /// The socket's address.
    pub address: SocketAddr,
    /// Which Rule takes a request.
    pub table: Table<Arc<RuleAction>>,
    /// Counters of requests that matched no Rule, by the Listener that took them.
    pub(crate) unmatched: FxHashMap<Arc<str>, Arc<RouteStats>>,
    /// Counters of requests that no Listener took.
    pub(crate) unheard: Arc<RouteStats>,
}

impl BindTable {
    /// A table that counts all requests without a Rule together.
    pub fn new(address: SocketAddr, table: Table<Arc<RuleAction>>, unheard: Arc<RouteStats>) -> Self {
        Self { address, table, unmatched: FxHashMap::default(), unheard }
    }

    /// Where to count a request for `host` (lower case, without port) that matched no Rule.
    pub fn unmatched(&self, host: &[u8]) -> &Arc<RouteStats> {
        self.table.listener(host).and_then(|listener| self.unmatched.get(listener)).unwrap_or(&self.unheard)
    }
}

/// What to do with a request that matched a Rule on a Listener.
#[derive(Debug)]
pub struct RuleAction {
    /// For state per worker, such as the weighted choice's phase.
    pub slot: ActionSlot,
    /// The destinations by weight. Empty, or with a total weight of 0: answer 500.
    pub targets: Box<[RuleTarget]>,
    /// Microseconds for the whole request; absent means no limit (defaults are applied already).
    pub request_timeout_us: Option<u64>,
    /// Microseconds for one attempt; absent means no limit (defaults are applied already).
    pub backend_timeout_us: Option<u64>,
    /// The port that users see, for forwarded fields.
    pub listener_port: u16,
    /// Counters and the Rule's place; shared with the action's earlier and later versions.
    pub stats: Arc<RouteStats>,
}

/// One weighted destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleTarget {
    /// 0 to 1,000,000.
    pub weight: u32,
    /// Where to.
    pub to: Destination,
}

/// A Backend, or the reason why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Its slot; an empty one answers 500.
    Backend(BackendSlot),
    /// Answers 500.
    Invalid(TargetError),
}

/// A Service port as a destination.
#[derive(Debug)]
pub struct BackendState {
    /// Its place.
    pub slot: BackendSlot,
    /// Differs between the Backends that had this slot: a worker starts its balancer anew when it changes.
    pub incarnation: u64,
    /// Counts the changes of this state.
    pub version: u64,
    /// `Service/NAMESPACE/NAME/PORT`.
    pub name: Arc<str>,
    /// The Service's namespace.
    pub namespace: Box<str>,
    /// How an endpoint is chosen.
    pub algorithm: Algorithm,
    /// Connections to one Endpoint over all workers; none means no limit.
    pub max_connections_per_endpoint: Option<NonZeroU32>,
    /// Repeats of a request that was sent and whose connection died before an answer.
    pub retry_attempts: u8,
    /// Requests that no Endpoint had room for; shared with the state's earlier and later versions.
    pub overflows: Arc<AtomicU64>,
    /// Endpoints that its requests found out about; shared like `overflows`.
    pub ejections: Arc<Ejections>,
    /// The members, sorted by id.
    pub endpoints: Arc<[Arc<EndpointState>]>,
    /// What pickers read of each member, by the same index.
    pub views: Arc<[EndpointView]>,
    /// The indices outside which the members and their views are those of the version before, if they are as many.
    pub changed: Range<usize>,
    /// The members that each worker uses; absent: all use all. Never there where keys decide: all workers must come to
    /// the same.
    pub parts: Option<Parts>,
}

/// How a Backend's endpoint is chosen.
#[derive(Debug, Clone)]
pub enum Algorithm {
    /// By what is known of the endpoints: each worker draws or takes turns by itself.
    Drawn(Policy),
    /// By the request's key: all workers look it up in one table.
    Hashed(HashOn, Arc<Maglev>),
}

/// What the key of a request is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// The client's address, as far as the peer is believed about it.
    SourceIp,
    /// The value of the header of this name.
    Header(Box<str>),
}

/// What the series of a Route's Rule on a Listener are called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteLabels {
    /// `NAMESPACE/NAME` of the Gateway.
    pub gateway: Box<str>,
    /// The Listener's name; empty where several share the bind and none was matched.
    pub listener: Box<str>,
    /// The Route's namespace; empty for requests that matched nothing.
    pub route_namespace: Box<str>,
    /// The Route's name.
    pub route: Box<str>,
    /// The Rule's place in its Route.
    pub rule: u16,
}

/// Downstream counters of a Rule on a Listener, per worker.
#[derive(Debug)]
pub struct RouteStats {
    /// What the series are called.
    pub labels: RouteLabels,
    workers: Box<[WorkerRouteStats]>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct WorkerRouteStats {
    requests: [Gauge; StatusClass::ALL.len()],
    duration: Histogram,
}

impl RouteStats {
    /// Counters at zero for `workers` workers.
    pub fn new(labels: RouteLabels, workers: usize) -> Self {
        Self { labels, workers: (0..workers).map(|_| WorkerRouteStats::default()).collect() }
    }

    /// Counts one finished exchange by the status sent (0: none was); only the worker of that index may.
    pub fn finished(&self, worker: usize, status: u16, duration_us: u64) {
        let stats = &self.workers[worker];
        let class = if status == 0 { StatusClass::NoResponse } else { StatusClass::of(status) };
        stats.requests[class as usize].add(1);
        stats.duration.observe(duration_us);
    }

    /// Exchanges of a class, over all workers.
    pub fn requests(&self, class: StatusClass) -> u64 {
        self.workers.iter().map(|stats| stats.requests[class as usize].get()).sum()
    }

    /// Durations over all workers: buckets and the sum in microseconds.
    pub fn durations(&self) -> ([u64; Histogram::BOUNDS_US.len() + 1], u64) {
        let mut buckets = [0; Histogram::BOUNDS_US.len() + 1];
        let sum = self.workers.iter().map(|stats| stats.duration.add_to(&mut buckets)).sum();
        (buckets, sum)
    }
}

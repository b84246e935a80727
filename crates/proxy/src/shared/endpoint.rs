//! One Endpoint as all threads see it.
//!
//! The Ledger in code: [`EndpointLoad`] is its record of one Endpoint's health and load, [`EndpointState`] the record with
//! the identity that it belongs to, and `control::registry::Registry` all of them, which decides how long each lives.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fairlead_balance::{Dialable, EndpointLoad, EndpointView, Micros};
use fairlead_snapshot::Endpoint;

/// A dense index, and the number of its incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndpointSlot {
    /// Where workers keep what they hold for the Endpoint.
    pub index: u32,
    /// Differs between the Endpoints that had this index.
    pub generation: u32,
}

/// One Endpoint: an identity with its Ledger record.
#[derive(Debug)]
pub struct EndpointState {
    /// Its place in workers' vectors.
    pub slot: EndpointSlot,
    /// `UID|ADDRESS|PORT|PROTOCOL`.
    pub id: Arc<str>,
    /// Where to dial.
    pub address: SocketAddr,
    /// `NAMESPACE/NAME` of the Pod.
    pub pod: Option<Box<str>>,
    /// The Pod's node.
    pub node: Option<Box<str>>,
    /// The node's zone.
    pub zone: Option<Box<str>>,
    /// Health and load.
    pub load: Arc<EndpointLoad>,
    /// For people.
    pub last_failure: LastFailure,
    dial_failures: AtomicU64,
    terminating: AtomicBool,
    gone: AtomicBool,
}

/// Where an Endpoint of a Backend stands: one word for people, the same in metrics and telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointWord {
    /// Takes new requests.
    Ready,
    /// Serving and terminating: takes new requests while none is ready.
    Fallback,
    /// Terminating, and takes no new requests.
    Draining,
    /// Takes no new requests for another reason.
    NotReady,
    /// Its last dials, or its silence, speak against it.
    Suspect,
}

impl EndpointWord {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ready, Self::Fallback, Self::Draining, Self::NotReady, Self::Suspect];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Fallback => "fallback",
            Self::Draining => "draining",
            Self::NotReady => "not-ready",
            Self::Suspect => "suspect",
        }
    }
}

impl EndpointState {
    /// A new Endpoint.
    pub fn new(
        slot: EndpointSlot,
        endpoint: &Endpoint,
        address: SocketAddr,
        load: Arc<EndpointLoad>,
    ) -> Self {
        Self {
            slot,
            id: Arc::clone(&endpoint.id),
            address,
            pod: endpoint.pod.clone(),
            node: endpoint.node.clone(),
            zone: endpoint.zone.clone(),
            load,
            last_failure: LastFailure::default(),
            dial_failures: AtomicU64::new(0),
            terminating: AtomicBool::new(endpoint.terminating),
            gone: AtomicBool::new(false),
        }
    }

    /// Whether its last dials, or its silence, speak against it.
    pub fn is_suspect(&self, now: Micros) -> bool {
        self.load.is_suspect() || self.load.dialable(now) != Dialable::Yes
    }

    /// Where it stands in a Backend that sees it like this.
    pub fn word(&self, view: &EndpointView, now: Micros) -> EndpointWord {
        if self.is_suspect(now) {
            EndpointWord::Suspect
        } else if view.ready {
            EndpointWord::Ready
        } else if view.fallback {
            EndpointWord::Fallback
        } else if self.terminating.load(Ordering::Relaxed) {
            EndpointWord::Draining
        } else {
            EndpointWord::NotReady
        }
    }

    /// Says whether its Pod is on its way out.
    pub fn set_terminating(&self, terminating: bool) {
        self.terminating.store(terminating, Ordering::Relaxed);
    }

    /// Counts and notes a failed dial; what it means for picks is the record's business.
    pub fn note_dial_failure(&self, now: Micros) {
        self.dial_failures.fetch_add(1, Ordering::Relaxed);
        self.last_failure.note(now, "UF");
    }

    /// Failed dials of all workers.
    pub fn dial_failures(&self) -> u64 {
        self.dial_failures.load(Ordering::Relaxed)
    }

    /// No Backend has it any more: its idle connections go, what runs may finish. For ever.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Says that no Backend has it any more.
    pub fn set_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

impl AsRef<EndpointLoad> for EndpointState {
    fn as_ref(&self) -> &EndpointLoad {
        &self.load
    }
}

/// When an Endpoint last failed, and how.
#[derive(Debug, Default)]
pub struct LastFailure(Mutex<Option<(Micros, &'static str)>>);

impl LastFailure {
    /// Notes a failure by its response flag or code. Never waits: of two at once one is enough.
    pub fn note(&self, now: Micros, reason: &'static str) {
        if let Ok(mut last) = self.0.try_lock() {
            *last = Some((now, reason));
        }
    }

    /// The last one.
    pub fn get(&self) -> Option<(Micros, &'static str)> {
        self.0.lock().ok().and_then(|last| *last)
    }
}

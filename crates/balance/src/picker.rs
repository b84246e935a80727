//! [`Balancer`]: a Backend's picker in one worker.

use std::sync::Arc;

use crate::{EndpointLoad, Micros, Rng};

/// A Backend's Endpoint as pickers see it. The control thread builds one slice per version of a Backend's
/// endpoints; all workers share it.
#[derive(Clone, Debug)]
pub struct EndpointView {
    /// The Endpoint's record; its address in memory is the Endpoint's identity here.
    pub load: Arc<EndpointLoad>,
    /// Relative share of the requests; 0 takes none.
    pub weight: u32,
    /// Takes new requests.
    pub ready: bool,
    /// Serving and terminating: takes new requests only while none is ready (KEP-1669).
    pub fallback: bool,
}

/// How a Backend's Endpoints are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Peak-EWMA over two random choices.
    #[default]
    PeakEwma,
    /// Smooth weighted round robin.
    RoundRobin,
}

/// How a new Endpoint's share grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// How long it takes.
    pub window: Micros,
    /// The share at its start, above 0 and at most 1.
    pub minimum: f32,
}

/// Where the candidates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Ready Endpoints.
    Ready,
    /// None is ready: serving and terminating ones.
    Fallback,
    /// There are none.
    Empty,
}

/// Why an Endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The only one that may be picked.
    Only,
    /// The lower latency average × (in flight + 1).
    Latency,
    /// Equal latency, fewer requests in flight.
    InFlight,
    /// Equal otherwise, with a warm connection.
    Warm,
    /// Equal in everything.
    Random,
    /// Its turn.
    Turn,
    /// Passed over for a while; this attempt tells whether it lives. It must dial.
    Probe,
    /// All are passed over; it is one of them.
    LastResort,
}

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Index into the views of the last update.
    pub index: usize,
    /// Why.
    pub reason: Reason,
}

/// Picks Endpoints of one Backend for one worker.
#[derive(Debug)]
pub struct Balancer {}

impl Balancer {
    /// A balancer of `views`, with a random phase.
    pub fn new(
        _policy: Policy,
        _slow_start: Option<SlowStart>,
        _views: Arc<[EndpointView]>,
        _now: Micros,
        _rng: &mut impl Rng,
    ) -> Self {
        todo!()
    }

    /// Takes over new views (and policy). Endpoints that stay keep phase and credit; new ones enter at a
    /// random phase, their latency average seeded with the mean of their peers.
    pub fn update(
        &mut self,
        _policy: Policy,
        _slow_start: Option<SlowStart>,
        _views: Arc<[EndpointView]>,
        _now: Micros,
        _rng: &mut impl Rng,
    ) {
        todo!()
    }

    /// The views that [`Pick::index`] points into.
    pub fn views(&self) -> &Arc<[EndpointView]> {
        todo!()
    }

    /// Where the candidates come from.
    pub fn tier(&self) -> Tier {
        todo!()
    }

    /// The Endpoint for the next attempt; `None` if there is no candidate that is not excluded.
    ///
    /// `exclude` tells whether an index was tried before, `warm` whether this worker has an idle connection to it.
    /// Both are asked for few indices only.
    pub fn pick(
        &mut self,
        _now: Micros,
        _rng: &mut impl Rng,
        _exclude: &dyn Fn(usize) -> bool,
        _warm: &dyn Fn(usize) -> bool,
    ) -> Option<Pick> {
        todo!()
    }
}

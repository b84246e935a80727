//! [`Balancer`]: a Backend's picker in one worker. Module `update` takes over new views, `choice` picks.

mod choice;
mod members;
mod update;

use std::sync::Arc;

use crate::census::Census;
use crate::draw::Draws;
use crate::turns::Turns;
use crate::{Candidates, EndpointView, Micros, Policy, Rng, SlowStart, Tier};
pub use update::Update;

/// Why an Endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The only one that may be picked.
    Only,
    /// The lower latency average × (in flight + 1).
    Latency,
    /// Equal latency, fewer attempts in flight.
    InFlight,
    /// Equal otherwise, with a warm connection.
    Warm,
    /// By weight and chance alone.
    Random,
    /// Its turn.
    Turn,
    /// The request's key is hashed to it.
    Hash,
    /// The request's key is hashed to another one, which cannot take it.
    Rehash,
    /// Never picked before.
    New,
    /// Passed over for a while; this attempt tells whether it lives. It must dial.
    Probe,
    /// All are passed over; it is one of them.
    LastResort,
}

impl Reason {
    /// A stable name for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Latency => "latency",
            Self::InFlight => "in_flight",
            Self::Warm => "warm",
            Self::Random => "random",
            Self::Turn => "turn",
            Self::Hash => "hash",
            Self::Rehash => "rehash",
            Self::New => "new",
            Self::Probe => "probe",
            Self::LastResort => "last_resort",
        }
    }
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
pub struct Balancer {
    views: Arc<[EndpointView]>,
    tier: Tier,
    /// Not all candidates are members.
    has_part: bool,
    draws: Draws,
    /// For round robin.
    turns: Option<Turns>,
    /// Endpoints that came to others and may not have been met yet. Empty nearly always.
    newcomers: Vec<u32>,
    census: Census,
    warm_streak: u8,
}

impl Balancer {
    /// A balancer of all candidates among `views`, with a random phase.
    pub fn new(
        policy: Policy,
        slow_start: Option<SlowStart>,
        views: Arc<[EndpointView]>,
        now: Micros,
        rng: &mut impl Rng,
    ) -> Self {
        Self::of(policy, slow_start, Candidates::from(views), now, rng)
    }

    /// The same for a worker that may use a part.
    pub fn of(
        policy: Policy,
        slow_start: Option<SlowStart>,
        candidates: Candidates<'_>,
        now: Micros,
        rng: &mut impl Rng,
    ) -> Self {
        let mut balancer = Self {
            views: Arc::from([]),
            tier: Tier::Empty,
            has_part: false,
            draws: Draws::default(),
            turns: None,
            newcomers: Vec::new(),
            census: Census::default(),
            warm_streak: 0,
        };
        balancer.take(policy, slow_start, candidates, now, rng);
        balancer
    }

    /// The views that [`Pick::index`] points into.
    pub fn views(&self) -> &Arc<[EndpointView]> {
        &self.views
    }

    /// Where the candidates come from.
    pub fn tier(&self) -> Tier {
        self.tier
    }
}

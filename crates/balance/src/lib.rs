//! Which Endpoint takes the next attempt.
//!
//! This crate decides and remembers; it does no I/O and reads no clock: time ([`Micros`]) and randomness
//! ([`Rng`]) are arguments, so every behaviour can be simulated in virtual time.
//!
//! Laws
//! 1. [`EndpointLoad`] is the Ledger's record: the one of an Endpoint's load and health. All workers and all
//!    Backends that use the Endpoint share it; it holds atomics only and is never locked.
//! 2. A [`Balancer`] belongs to one worker and one Backend. It keeps nothing about an Endpoint that the
//!    record could hold, so its update loses no average and no counter; its own phase survives updates.
//! 3. Weight acts on how often an Endpoint is drawn, never on what it seems to cost: dividing cost by weight
//!    starves light Endpoints.
//! 4. An excluded Endpoint is never picked. An Endpoint that is passed over after failed dials is picked
//!    only as a probe, or when nobody else is found: the last one is never given up. After 256 of such the search ends.
//! 5. Where a key decides ([`Maglev`]), it does so without chance or state: all workers and replicas agree.
//! 6. Where a worker uses a part of the Endpoints ([`parts()`]), all workers together still give each its share.

mod budget;
mod census;
mod draw;
mod hash;
mod load;
mod maglev;
mod parts;
mod picker;
mod rng;
mod stats;
mod targets;
mod time;
mod turns;
mod views;

pub use budget::RepeatBudget;
pub use hash::StableHash;
pub use load::{Dialable, EndpointLoad, Failure, InFlight, Permit, Work};
pub use maglev::{Maglev, TableSize};
pub use parts::{MIN_CONNECTIONS, MIN_ENDPOINTS, Member, Parts, parts};
pub use picker::{Balancer, Pick, Reason, Update};
pub use rng::{Rng, SplitMix64};
pub use stats::{HISTOGRAM_BUCKETS, Histogram, StatusClass, Totals};
pub use targets::WeightedTargets;
pub use time::Micros;
pub use views::{Candidates, EndpointView, Policy, SlowStart, Tier};

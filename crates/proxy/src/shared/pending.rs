//! Stands in for `fairlead_balance` until its types are published.

use std::sync::Arc;

/// Microseconds since the process's epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub u64);

/// The Ledger's record of one Endpoint.
#[derive(Debug, Default)]
pub struct EndpointLoad {}

/// What pickers read.
#[derive(Debug, Clone)]
pub struct EndpointView {
    /// The record.
    pub load: Arc<EndpointLoad>,
    /// 0 to 1,000,000.
    pub weight: u32,
    /// Takes new requests.
    pub ready: bool,
    /// Serving and terminating.
    pub fallback: bool,
}

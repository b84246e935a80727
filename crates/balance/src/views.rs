//! What a [`Balancer`](crate::Balancer) is given: Endpoints as it sees them, and how they are chosen.

use std::ops::Range;
use std::sync::Arc;

use crate::{EndpointLoad, Member, Micros};

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

/// What a [`Balancer`](crate::Balancer) picks from.
#[derive(Clone, Debug)]
pub struct Candidates<'a> {
    /// All of the Backend's Endpoints.
    pub views: Arc<[EndpointView]>,
    /// The candidates that the worker uses, in the order of the views; absent: all.
    pub part: Option<&'a [Member]>,
    /// The indices outside which the views are those before, if they are as many; absent: they are compared.
    pub changed: Option<Range<usize>>,
}

impl From<Arc<[EndpointView]>> for Candidates<'_> {
    fn from(views: Arc<[EndpointView]>) -> Self {
        Self { views, part: None, changed: None }
    }
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

/// How a new Endpoint's share grows: linearly from `minimum` to all over `window`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// How long it takes.
    pub window: Micros,
    /// The share at its start, above 0 and at most 1.
    pub minimum: f32,
}

/// Where the candidates come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// Ready Endpoints.
    Ready,
    /// None is ready: serving and terminating ones.
    Fallback,
    /// There are none, or all have weight 0.
    #[default]
    Empty,
}

impl Tier {
    /// Where the candidates of these views come from.
    pub(crate) fn of(views: &[EndpointView]) -> Self {
        let any = |tier: Self| views.iter().any(|view| tier.takes(view));
        if any(Self::Ready) {
            Self::Ready
        } else if any(Self::Fallback) {
            Self::Fallback
        } else {
            Self::Empty
        }
    }

    /// Whether an Endpoint is one of the candidates.
    pub(crate) fn takes(self, view: &EndpointView) -> bool {
        view.weight > 0
            && match self {
                Self::Ready => view.ready,
                Self::Fallback => view.fallback && !view.ready,
                Self::Empty => false,
            }
    }
}

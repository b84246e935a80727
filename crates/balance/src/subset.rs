//! Which Endpoints of a large Backend a worker keeps connections to.
//!
//! With many Endpoints and many workers each connection would be used so seldom that it goes cold. So each worker uses
//! a part of the Endpoints, the same until they change.
//!
//! The rule. The candidates (ready ones with weight, else the fallback ones) lie around a circle in the order of their
//! views, each as wide as its weight. The workers stand on the circle at even distances, all turned by a `phase`.
//! A worker's subset begins where it stands and ends where the worker `copies` places further stands.
//!
//! Laws
//! 1. There are subsets from [`MIN_ENDPOINTS`] + 1 candidates on, if candidates × workers is at least [`MIN_CONNECTIONS`]
//!    and a subset is smaller than the whole. `copies` is the least number that gives subsets of about
//!    [`MIN_ENDPOINTS`] where weights are equal.
//! 2. Each Endpoint is in the subsets of exactly `copies` workers. With unequal weights its weight is there exactly
//!    `copies` times: one that lies across a cut is in a subset more, with a part of its weight in the first and the
//!    last, and one heavier than a whole subset is in as many as its weight needs. So no Endpoint is left out, and no
//!    subset is empty while there is a candidate.
//! 3. Workers with the same number of requests give each Endpoint its share. Equal weights: subsets differ by one
//!    Endpoint at most, a share is off by at most 1/[`MIN_ENDPOINTS`]. Unequal weights: subsets have the same weight,
//!    to 1/256 of one Endpoint's weight. Rendezvous hashing would leave subsets of 64 unequal by a tenth, which is why
//!    this is a partition.
//! 4. When an Endpoint comes or goes each subset loses and gains one other at each end at most (with unequal
//!    weights: as many as weigh as much as it), unless `copies` changes.
//!
//! The price: an Endpoint's share is that of its workers' traffic. A single busy connection reaches one subset only.

use crate::EndpointView;
use crate::picker::Tier;

/// Up to so many candidates all workers use all; about the size of the smallest subset.
pub const MIN_ENDPOINTS: usize = 64;
/// Below so many connections, one per candidate and worker, all workers use all.
pub const MIN_CONNECTIONS: usize = 512;
/// Parts of a weight that a cut is made to.
const PARTS: u64 = 256;

/// A member of a subset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Index into the views.
    pub index: u32,
    /// Its weight within the subset.
    pub weight: u32,
}

/// The subset of the worker with index `worker` of `workers`, in the order of the views; `None`: it uses all.
///
/// `phase` is a fraction of the circle in units of 2⁻⁶⁴: the same for all workers of a process, random among processes.
pub fn subset(views: &[EndpointView], worker: usize, workers: usize, phase: u64) -> Option<Vec<Member>> {
    let tier = Tier::of(views);
    let candidates = || views.iter().enumerate().filter(|(_, view)| tier.takes(view));
    let (mut count, mut total, mut heaviest, mut lightest) = (0, 0, 0, u32::MAX);
    for (_, view) in candidates() {
        count += 1;
        total += u64::from(view.weight);
        heaviest = view.weight.max(heaviest);
        lightest = view.weight.min(lightest);
    }
    if count <= MIN_ENDPOINTS || count * workers < MIN_CONNECTIONS {
        return None;
    }
    let copies = (MIN_ENDPOINTS * workers).div_ceil(count);
    if copies >= workers {
        return None;
    }
    let even = heaviest == lightest;
    let (unit, width) = if even { (0, count as u64) } else { (PARTS, total * PARTS) };
    let stand = |worker: usize| {
        let turn = (((worker % workers) as u128) << 64) / workers as u128;
        let place = (turn as u64).wrapping_add(phase);
        ((u128::from(place) * u128::from(width)) >> 64) as u64
    };
    let (from, to) = (stand(worker), stand(worker + copies));
    // The one or two runs of the circle, cut open at 0.
    let runs = if from < to { [(from, to), (0, 0)] } else { [(0, to), (from, width)] };
    let mut members = Vec::with_capacity(count * copies / workers + 2);
    let mut at = 0;
    for (index, view) in candidates() {
        let end = at + if even { 1 } else { u64::from(view.weight) * unit };
        let inside: u64 = runs.iter().map(|(from, to)| end.min(*to).saturating_sub(at.max(*from))).sum();
        if inside > 0 {
            let weight = if even { view.weight } else { u32::try_from(inside).unwrap_or(u32::MAX) };
            members.push(Member { index: index as u32, weight });
        }
        at = end;
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{EndpointLoad, Micros};

    fn views(weights: impl IntoIterator<Item = u32>) -> Vec<EndpointView> {
        let view = |weight| EndpointView {
            load: Arc::new(EndpointLoad::new(Micros::ZERO, 1)),
            weight,
            ready: true,
            fallback: false,
        };
        weights.into_iter().map(view).collect()
    }

    #[test]
    fn few_endpoints_or_few_workers_use_all() {
        assert_eq!(subset(&views([1; 64]), 0, 256, 0), None);
        assert_eq!(subset(&views([1; 127]), 0, 4, 0), None, "508 connections");
        assert_eq!(subset(&views([1; 65]), 0, 8, 0), None, "a subset of 64 would be nearly all");
        assert_eq!(subset(&views(vec![1; 10_000]), 0, 1, 0), None);
        assert_eq!(subset(&views([1; 128]), 3, 4, 9).unwrap().len(), 64);
        assert_eq!(subset(&views([1; 256]), 1, 2, 9).unwrap().len(), 128);
    }

    #[test]
    fn only_candidates_take_part() {
        let mut views = views([1; 600]);
        for view in &mut views[..300] {
            view.ready = false;
            view.fallback = true;
        }
        let of = |views: &[EndpointView], worker| subset(views, worker, 2, 77).unwrap();
        assert!((0..2).all(|worker| of(&views, worker).iter().all(|member| member.index >= 300)));
        assert_eq!(of(&views, 0).len() + of(&views, 1).len(), 300);
        for view in &mut views {
            view.ready = false;
        }
        assert!((0..2).all(|worker| of(&views, worker).iter().all(|member| member.index < 300)));
    }
}

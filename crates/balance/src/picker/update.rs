//! New views of a Backend: who changed, the first average of who is new, and who is to be met.
//!
//! Law: what has not changed costs nothing, or where a worker has a part, a comparison of indices; no record is touched
//! but those of Endpoints that came, and of up to 64 peers that say what these begin with.

use std::ops::Range;
use std::sync::Arc;

use super::Balancer;
use super::members::{Carried, missing};
use crate::draw::Draws;
use crate::turns::Entry;
use crate::{Candidates, EndpointView, Member, Micros, Policy, Rng, SlowStart, Tier};

/// The average of an Endpoint where no peer has one.
pub(super) const SEED_US: f32 = 30_000.0;
/// A seed is at least this: near 0 it would make a new Endpoint look free.
const SEED_MIN_US: f32 = 1_000.0;
/// Peers that are asked for their average when a new Endpoint comes, at most.
const ASKED: usize = 64;

/// What an update of a [`Balancer`] came to, by index in the new views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Outside of it the views are those before.
    pub changed: Range<usize>,
    /// Endpoints that are still there, and were in the worker's part and are no more; in order.
    pub left: Vec<u32>,
}

impl Balancer {
    /// Takes over new views, to use all candidates, and settings; gives the range of indices outside which all is as
    /// before.
    pub fn update(
        &mut self,
        policy: Policy,
        slow_start: Option<SlowStart>,
        views: Arc<[EndpointView]>,
        now: Micros,
        rng: &mut impl Rng,
    ) -> Range<usize> {
        self.take(policy, slow_start, Candidates::from(views), now, rng).changed
    }

    /// Takes over new candidates and settings. Endpoints that stay keep phase and credit; new ones enter at a random
    /// phase, their latency average seeded with the median of their peers, else 30 ms. Where chance decides, each new
    /// one that came to others gets one of the next requests: chance would let the last of ten wait three times as
    /// long as the average one, and until it has answered nothing is known of it. Slow start wants no such thing.
    pub fn take(
        &mut self,
        policy: Policy,
        slow_start: Option<SlowStart>,
        candidates: Candidates<'_>,
        now: Micros,
        rng: &mut impl Rng,
    ) -> Update {
        let Candidates { views, part, changed: known } = candidates;
        let tier = Tier::of(&views);
        // Endpoints that were not met yet keep no place across an update: look at all again.
        let same = tier == self.tier && self.newcomers.is_empty();
        let known = known.filter(|_| views.len() == self.views.len());
        debug_assert!(known.as_ref().is_none_or(|known| {
            let changed = changed(&self.views, &views);
            changed.is_empty() || known.start <= changed.start && changed.end <= known.end
        }));
        let changed = match known {
            _ if !same => 0..views.len(),
            Some(known) => known,
            None => changed(&self.views, &views),
        };
        let whole = part.is_none() && !self.has_part;
        let before = if whole { Vec::new() } else { self.draws.members().to_vec() };
        let in_place = whole && same && views.len() == self.views.len();
        if !(in_place && self.draws.update(&views, &changed, |view| tier.takes(view), slow_start)) {
            let candidates = (0u32..).zip(views.iter()).filter(|(_, view)| tier.takes(view));
            let member = |(index, view): (u32, &EndpointView)| Member { index, weight: view.weight };
            self.draws = match part {
                Some(part) => Draws::new(&views, part.iter().copied(), slow_start),
                None => Draws::new(&views, candidates.map(member), slow_start),
            };
        }
        self.has_part = part.is_some();
        self.tier = tier;
        self.census.reset();
        let members = self.draws.members();
        let (came, left) = if whole {
            // Outside of what changed all that were members are.
            let at = |index: usize| members.partition_point(|&member| (member as usize) < index);
            (members[at(changed.start)..at(changed.end)].to_vec(), Vec::new())
        } else {
            let before = Carried::new(&self.views, &before, &views, &changed);
            (missing(members, &before.outside), before.missing_in(members))
        };
        seed(&views, members, &came, now);
        self.newcomers.clear();
        if policy == Policy::PeakEwma && slow_start.is_none() {
            self.newcomers.extend(newcomers(&views, members, &came));
        }
        match policy {
            Policy::PeakEwma => self.turns = None,
            Policy::RoundRobin => {
                let entry = |index: u32| Entry {
                    id: Arc::as_ptr(&views[index as usize].load).addr(),
                    weight: self.draws.weight_of(index),
                };
                let entries = members.iter().copied().map(entry).collect();
                self.turns.get_or_insert_default().update(entries, rng);
            }
        }
        // The old views go last: while they live, no new Endpoint can have the address of an old one.
        self.views = views;
        Update { changed, left }
    }
}

/// The range of the new views outside which they are the old ones, compared from both ends: no record is touched.
fn changed(old: &[EndpointView], new: &[EndpointView]) -> Range<usize> {
    let same = |(a, b): &(&EndpointView, &EndpointView)| {
        Arc::ptr_eq(&a.load, &b.load) && (a.weight, a.ready, a.fallback) == (b.weight, b.ready, b.fallback)
    };
    let start = old.iter().zip(new).take_while(same).count();
    let tail = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(same).count();
    start..new.len() - tail
}

/// The candidates that were never picked among those that changed, if there are others; where all are new none is in
/// want of a request.
fn newcomers<'a>(
    views: &'a [EndpointView],
    members: &[u32],
    changed: &'a [u32],
) -> impl Iterator<Item = u32> + 'a {
    let is_new = |index: &u32| !views[*index as usize].load.is_met();
    let all_new = changed.len() == members.len() && changed.iter().all(is_new);
    if all_new {
        for &index in changed {
            views[index as usize].load.meet();
        }
    }
    changed.iter().copied().filter(move |index| !all_new && is_new(index))
}

/// Gives those candidates that changed and have no latency average the median of their peers: a mean would let one slow
/// Pod keep new ones without requests for half a minute.
fn seed(views: &[EndpointView], members: &[u32], changed: &[u32], now: Micros) {
    let load = |index: &u32| &views[*index as usize].load;
    if changed.iter().all(|index| load(index).has_latency()) {
        return;
    }
    let peers = members.iter().step_by(members.len() / ASKED + 1);
    let mut known: Vec<f32> = peers.filter_map(|index| load(index).latency_us(now)).collect();
    known.sort_unstable_by(f32::total_cmp);
    let middle = known.len() / 2;
    let median = match known.as_slice() {
        [] => SEED_US,
        known if known.len() % 2 == 1 => known[middle],
        known => f32::midpoint(known[middle - 1], known[middle]),
    };
    for index in changed {
        load(index).seed_latency(now, median.max(SEED_MIN_US));
    }
}

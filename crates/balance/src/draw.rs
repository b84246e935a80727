//! Drawing candidates by weight.
//!
//! Laws
//! 1. A draw takes a candidate in proportion to its weight now, slow start included: draw, then accept with
//!    its weight over the greatest.
//! 2. Two draws without a preference between them leave everybody's share in proportion: see
//!    [`Draws::redraw_chance`].

use std::ops::Range;

use crate::{EndpointView, Member, Micros, Rng, SlowStart};

/// Draws refused before the sums are searched: enough where weights are alike.
const ACCEPT_TRIES: usize = 8;
/// Draws refused by slow start before one is taken as it is.
const SLOW_TRIES: usize = 16;

/// The candidates and their weights.
#[derive(Debug, Default)]
pub(crate) struct Draws {
    /// Indices into the views.
    members: Vec<u32>,
    /// Their weights; empty if all are equal.
    weights: Vec<u32>,
    /// Running sums of the weights; empty if all are equal.
    sums: Vec<u64>,
    heaviest: u32,
    lightest: u32,
    slow_start: Option<SlowStart>,
    /// When the last candidate's slow start ends.
    slow_until: Micros,
}

impl Draws {
    /// Draws among `members`, in the order of the views.
    pub(crate) fn new(
        views: &[EndpointView],
        members: impl Iterator<Item = Member> + Clone,
        slow_start: Option<SlowStart>,
    ) -> Self {
        let mut draws = Self { slow_start, lightest: u32::MAX, ..Self::default() };
        let window = slow_start.map_or(Micros::ZERO, |slow| slow.window);
        for Member { index, weight } in members.clone() {
            draws.members.push(index);
            draws.heaviest = draws.heaviest.max(weight);
            draws.lightest = draws.lightest.min(weight);
            if slow_start.is_some() {
                draws.slow_until = draws.slow_until.max(views[index as usize].load.since() + window);
            }
        }
        if draws.heaviest != draws.lightest {
            draws.weights.extend(members.map(|member| member.weight));
            let mut sum = 0;
            draws.sums.extend(draws.weights.iter().map(|&weight| {
                sum += u64::from(weight);
                sum
            }));
        }
        draws
    }

    /// Looks again at the views of this range alone, where all that are candidates draw, the views outside of it are as
    /// they were, and nobody came or went. False
    /// where that is not enough and nothing was done: weights that differ need their sums anew.
    pub(crate) fn update(
        &mut self,
        views: &[EndpointView],
        changed: &Range<usize>,
        is_member: impl Fn(&EndpointView) -> bool,
        slow_start: Option<SlowStart>,
    ) -> bool {
        let found = || changed.clone().filter(|index| is_member(&views[*index]));
        let even = self.sums.is_empty() && self.slow_start.is_none() && slow_start.is_none();
        if !even || found().any(|index| views[index].weight != self.heaviest) {
            return false;
        }
        let at = |index: usize| self.members.partition_point(|&member| (member as usize) < index);
        let range = at(changed.start)..at(changed.end);
        self.members.splice(range, found().map(|index| index as u32));
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The indices into the views.
    pub(crate) fn members(&self) -> &[u32] {
        &self.members
    }

    /// The weight of the candidate with this index into the views.
    pub(crate) fn weight_of(&self, index: u32) -> u32 {
        if self.weights.is_empty() {
            return self.heaviest;
        }
        self.members.binary_search(&index).map_or(0, |position| self.weights[position])
    }

    /// Whether every draw takes everybody with the same chance.
    pub(crate) fn is_even(&self, now: Micros) -> bool {
        self.sums.is_empty() && !self.is_slow(now)
    }

    /// An index into the views, drawn by weight. Precondition: there are candidates.
    #[inline]
    pub(crate) fn draw(&self, views: &[EndpointView], now: Micros, rng: &mut impl Rng) -> usize {
        if self.is_even(now) {
            return self.members[rng.below(self.members.len() as u32) as usize] as usize;
        }
        let index = self.draw_by_weight(rng);
        if self.is_slow(now) { self.draw_until_accepted(index, views, now, rng) } else { index }
    }

    /// Goes on after the first draw until slow start lets one pass.
    #[cold]
    #[inline(never)]
    fn draw_until_accepted(
        &self,
        mut index: usize,
        views: &[EndpointView],
        now: Micros,
        rng: &mut impl Rng,
    ) -> usize {
        for _ in 1..SLOW_TRIES {
            if self.accepts(&views[index], now, rng) {
                break;
            }
            index = self.draw_by_weight(rng);
        }
        index
    }

    /// Whether a turn of this Endpoint is taken: always, or in slow start with its share.
    #[inline]
    pub(crate) fn accepts(&self, view: &EndpointView, now: Micros, rng: &mut impl Rng) -> bool {
        match self.slow_start {
            Some(slow) if now < self.slow_until => {
                let share = slow.share(now.since(view.load.since()));
                share >= 1.0 || rng.unit() < f64::from(share)
            }
            _ => true,
        }
    }

    /// The chance to draw anew where both draws took the same candidate of this weight.
    ///
    /// Two different candidates make the better choice, but if they always differ, the heavier of two would get
    /// only half of the requests. With p a candidate's share of the weight and q the lightest one's, redrawing
    /// with the chance (1 - p)/p × q/(1 - q) gives away exactly as many picks as it wins, if all else is equal: 1 for
    /// equal weights, near 0 for the heaviest of unequal ones.
    pub(crate) fn redraw_chance(&self, weight: u32, now: Micros) -> f64 {
        if self.is_slow(now) {
            return 0.0;
        }
        let Some(&total) = self.sums.last() else { return 1.0 };
        let odds = |weight: u32| f64::from(weight) / (total as f64 - f64::from(weight));
        odds(self.lightest) / odds(weight)
    }

    fn is_slow(&self, now: Micros) -> bool {
        now < self.slow_until
    }

    #[inline]
    fn draw_by_weight(&self, rng: &mut impl Rng) -> usize {
        let count = self.members.len() as u32;
        if self.sums.is_empty() {
            return self.members[rng.below(count) as usize] as usize;
        }
        for _ in 0..ACCEPT_TRIES {
            let position = rng.below(count) as usize;
            if rng.below(self.heaviest) < self.weights[position] {
                return self.members[position] as usize;
            }
        }
        let total = self.sums.last().copied().unwrap_or(1);
        let point = ((rng.unit() * total as f64) as u64).min(total - 1);
        let position = self.sums.partition_point(|&sum| sum <= point);
        self.members[position] as usize
    }
}

impl SlowStart {
    /// The share of its weight that an Endpoint of this age takes. A function of the age alone, evaluated at each
    /// pick, so that no change of others can disturb it.
    pub(crate) fn share(&self, age: Micros) -> f32 {
        if age >= self.window { 1.0 } else { (age.0 as f32 / self.window.0 as f32).max(self.minimum) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{EndpointLoad, SplitMix64};

    #[test]
    fn an_update_in_place_gives_what_a_new_one_gives() {
        let mut rng = SplitMix64::new(1);
        let load = Arc::new(EndpointLoad::new(Micros::ZERO, 1));
        let view = |weight, ready| EndpointView { load: Arc::clone(&load), weight, ready, fallback: false };
        let ready = |view: &EndpointView| view.ready && view.weight > 0;
        let mut views: Vec<EndpointView> = (0..100).map(|_| view(1, true)).collect();
        let all = |views: &[EndpointView]| {
            let candidates = (0u32..).zip(views).filter(|(_, view)| ready(view));
            let members: Vec<Member> =
                candidates.map(|(index, view)| Member { index, weight: view.weight }).collect();
            Draws::new(views, members.into_iter(), None)
        };
        let mut draws = all(&views);
        let (mut in_place, mut anew) = (0, 0);
        for _ in 0..5_000 {
            let start = rng.below(100) as usize;
            let range = start..(start + rng.below(4) as usize).min(100);
            for at in range.clone() {
                let weight = if rng.below(50) == 0 { rng.below(3) } else { 1 };
                views[at] = view(weight, rng.below(2) == 0);
            }
            let expected = all(&views);
            if draws.update(&views, &range, ready, None) {
                in_place += 1;
                assert_eq!((&draws.members, &draws.sums), (&expected.members, &expected.sums));
                assert_eq!((draws.heaviest, draws.lightest), (expected.heaviest, expected.lightest));
            } else {
                anew += 1;
                draws = expected;
            }
        }
        assert!(in_place > 100 && anew > 100, "{in_place} {anew}");
    }
}

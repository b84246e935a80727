//! Drawing candidates by weight.
//!
//! Laws
//! 1. A draw takes a candidate in proportion to its weight now, slow start included: draw, then accept with
//!    its weight over the greatest.
//! 2. Two draws without a preference between them leave everybody's share in proportion: see
//!    [`Draws::redraw_chance`].

use crate::{EndpointView, Micros, Rng, SlowStart};

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
    pub(crate) fn new(
        views: &[EndpointView],
        is_member: impl Fn(&EndpointView) -> bool,
        slow_start: Option<SlowStart>,
    ) -> Self {
        let mut draws = Self { slow_start, lightest: u32::MAX, ..Self::default() };
        let window = slow_start.map_or(Micros::ZERO, |slow| slow.window);
        for (index, view) in views.iter().enumerate().filter(|(_, view)| is_member(view)) {
            draws.members.push(index as u32);
            draws.heaviest = draws.heaviest.max(view.weight);
            draws.lightest = draws.lightest.min(view.weight);
            if slow_start.is_some() {
                draws.slow_until = draws.slow_until.max(view.load.since() + window);
            }
        }
        if draws.heaviest != draws.lightest {
            draws.weights.extend(draws.members.iter().map(|&index| views[index as usize].weight));
            let mut sum = 0;
            draws.sums.extend(draws.weights.iter().map(|&weight| {
                sum += u64::from(weight);
                sum
            }));
        }
        draws
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The indices into the views.
    pub(crate) fn members(&self) -> &[u32] {
        &self.members
    }

    /// Whether every draw takes everybody with the same chance.
    pub(crate) fn is_even(&self, now: Micros) -> bool {
        self.sums.is_empty() && !self.is_slow(now)
    }

    /// An index into the views, drawn by weight. Precondition: there are candidates.
    #[inline]
    pub(crate) fn draw(&self, views: &[EndpointView], now: Micros, rng: &mut impl Rng) -> usize {
        let mut index = self.draw_by_weight(rng);
        if self.is_slow(now) {
            for _ in 1..SLOW_TRIES {
                if self.accepts(&views[index], now, rng) {
                    break;
                }
                index = self.draw_by_weight(rng);
            }
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

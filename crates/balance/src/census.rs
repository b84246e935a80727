//! Whether a Backend's penalties are applied.
//!
//! A penalty takes nearly all traffic from an Endpoint. That is right for one that fails more than its peers, and
//! harmful where all fail alike: then the rest would carry everything. Hence the two conditions of
//! [`Census::honours`].

use crate::load::{Dialable, Penalty};
use crate::{EndpointView, Micros, Rng};

/// How many Endpoints are asked at most; of more, a random sample stands for all.
const ASKED: usize = 64;
/// How long the answers hold.
const VALID: Micros = Micros::from_millis(10);

/// What is known about the failures of a Backend. Taken only when a penalised candidate is drawn.
#[derive(Debug, Default)]
pub(crate) struct Census {
    taken: Option<Micros>,
    median_rate: f32,
    at_most_half: bool,
}

impl Census {
    /// Forgets what it knew.
    pub(crate) fn reset(&mut self) {
        self.taken = None;
    }

    /// Whether a penalty is applied: it came from a failed dial or from a failure rate above the median of
    /// the Backend, and those that qualify hold at most half of the weight of all that are in service.
    pub(crate) fn honours(
        &mut self,
        penalty: Penalty,
        views: &[EndpointView],
        members: &[u32],
        now: Micros,
        rng: &mut impl Rng,
    ) -> bool {
        if self.taken.is_none_or(|taken| now.since(taken) >= VALID) {
            self.take(views, members, now, rng);
        }
        self.at_most_half && penalty.rate > self.median_rate
    }

    fn take(&mut self, views: &[EndpointView], members: &[u32], now: Micros, rng: &mut impl Rng) {
        let mut asked = [0u32; ASKED];
        let asked = if members.len() <= ASKED {
            members
        } else {
            asked.fill_with(|| members[rng.below(members.len() as u32) as usize]);
            &asked
        };
        let in_service = || {
            let views = asked.iter().map(|&index| &views[index as usize]);
            views.filter(|view| view.load.dialable(now) == Dialable::Yes)
        };
        let mut rates = [0f32; ASKED];
        let mut count = 0;
        for view in in_service() {
            rates[count] = view.load.failure_rate(now);
            count += 1;
        }
        // The lower median: of two Endpoints, the failing one is above it.
        let rates = &mut rates[..count];
        rates.sort_unstable_by(f32::total_cmp);
        self.median_rate = rates.get(count.saturating_sub(1) / 2).copied().unwrap_or(0.0);
        let weight = |view: &EndpointView| u64::from(view.weight);
        let penalised: u64 = in_service()
            .filter(|view| view.load.penalty(now).is_some_and(|penalty| penalty.rate > self.median_rate))
            .map(weight)
            .sum();
        self.at_most_half = 2 * penalised <= in_service().map(weight).sum();
        self.taken = Some(now);
    }
}

//! The pick: a turn, a newcomer, or the better one of two that chance drew.
//!
//! What nearly every pick does is inlined; what is seldom is marked cold and kept out of it, with its registers to save
//! and its stack. That is a fifth of the time of a pick.

use super::update::SEED_US;
use super::{Balancer, Pick, Reason};
use crate::load::{CLOSE_US, Dialable, Penalty, TIE_BAND};
use crate::{Micros, Rng, Work};

/// How often in a row a tie goes to the warm one.
const WARM_STREAK: u8 = 2;
/// Draws that may meet excluded or passed over candidates before they are searched one by one.
const DRAW_TRIES: usize = 8;
/// Turns that slow start may refuse in one pick.
const TURN_TRIES: usize = 16;
/// Passed over candidates that a search meets before it takes all to be so.
const SEARCHED: usize = 256;

impl Balancer {
    /// The Endpoint for a request's next attempt: [`pick_for`](Self::pick_for) it.
    pub fn pick(
        &mut self,
        now: Micros,
        rng: &mut impl Rng,
        exclude: &dyn Fn(usize) -> bool,
        warm: &dyn Fn(usize) -> bool,
    ) -> Option<Pick> {
        self.pick_for(Work::Request, now, rng, exclude, warm)
    }

    /// The Endpoint for the next attempt; `None` if there is no candidate that is not excluded.
    ///
    /// `exclude` tells whether an index was tried before, `warm` whether this worker has an idle connection to it.
    /// Both are asked for few indices only.
    pub fn pick_for(
        &mut self,
        work: Work,
        now: Micros,
        rng: &mut impl Rng,
        exclude: &dyn Fn(usize) -> bool,
        warm: &dyn Fn(usize) -> bool,
    ) -> Option<Pick> {
        if self.draws.len() == 0 {
            return None;
        }
        match self.take_turn(now, rng) {
            Some(index) => Some(match self.judge(index, now, exclude) {
                Standing::Fit => Pick { index, reason: Reason::Turn },
                Standing::Probe => Pick { index, reason: Reason::Probe },
                // Not the next in turn, which would carry a double load for as long as this lasts.
                Standing::PassedOver | Standing::Excluded => self.find(now, rng, exclude, None)?,
            }),
            None => match self.meet_newcomer(now, exclude) {
                Some(index) => Some(Pick { index, reason: Reason::New }),
                None => self.pick_of_two(work, now, rng, exclude, warm),
            },
        }
    }

    /// An Endpoint that no worker has picked yet.
    fn meet_newcomer(&mut self, now: Micros, exclude: &dyn Fn(usize) -> bool) -> Option<usize> {
        while let Some(index) = self.newcomers.pop() {
            let index = index as usize;
            let load = &self.views[index].load;
            if !exclude(index) && load.dialable(now) == Dialable::Yes && load.meet() {
                return Some(index);
            }
        }
        None
    }

    fn take_turn(&mut self, now: Micros, rng: &mut impl Rng) -> Option<usize> {
        let turns = self.turns.as_mut()?;
        let mut index = 0;
        for _ in 0..TURN_TRIES {
            index = self.draws.members()[turns.next()?] as usize;
            if self.draws.accepts(&self.views[index], now, rng) {
                break;
            }
        }
        Some(index)
    }

    fn pick_of_two(
        &mut self,
        work: Work,
        now: Micros,
        rng: &mut impl Rng,
        exclude: &dyn Fn(usize) -> bool,
        warm: &dyn Fn(usize) -> bool,
    ) -> Option<Pick> {
        let first = self.find(now, rng, exclude, None)?;
        if first.reason != Reason::Random {
            return Some(first);
        }
        let alone = Some(Pick { reason: Reason::Only, ..first });
        if self.draws.len() == 1 {
            return alone;
        }
        let Some(second) = self.second(first, now, rng, exclude) else { return alone };
        if second == first {
            return Some(first);
        }
        match second.reason {
            Reason::Random => Some(self.better(work, first.index, second.index, now, rng, warm)),
            Reason::Probe => Some(second),
            _ => alone,
        }
    }

    /// Whom to compare the first one with: itself, if the draw says that it is to be taken as it is.
    fn second(
        &self,
        first: Pick,
        now: Micros,
        rng: &mut impl Rng,
        exclude: &dyn Fn(usize) -> bool,
    ) -> Option<Pick> {
        if !self.draws.is_even(now) {
            let index = self.draws.draw(&self.views, now, rng);
            if index == first.index {
                let chance = self.draws.redraw_chance(self.draws.weight_of(index as u32), now);
                if rng.unit() >= chance {
                    return Some(first);
                }
            } else if let Some(pick) = self.judge(index, now, exclude).pick(index) {
                return Some(pick);
            }
        }
        self.find(now, rng, exclude, Some(first.index))
    }

    /// A candidate drawn by weight that is neither excluded nor passed over ([`Reason::Random`]), or a probe, if one is
    /// due where a draw falls; if there is neither, one that is passed over ([`Reason::LastResort`]).
    #[inline]
    fn find(
        &self,
        now: Micros,
        rng: &mut impl Rng,
        exclude: &dyn Fn(usize) -> bool,
        besides: Option<usize>,
    ) -> Option<Pick> {
        let judge = |index: usize| {
            if Some(index) == besides { Standing::Excluded } else { self.judge(index, now, exclude) }
        };
        let index = self.draws.draw(&self.views, now, rng);
        judge(index).pick(index).or_else(|| self.search(now, rng, judge))
    }

    /// What [`find`](Self::find) gives where its first draw will not do.
    #[cold]
    #[inline(never)]
    fn search(&self, now: Micros, rng: &mut impl Rng, judge: impl Fn(usize) -> Standing) -> Option<Pick> {
        for _ in 1..DRAW_TRIES {
            let index = self.draws.draw(&self.views, now, rng);
            if let Some(pick) = judge(index).pick(index) {
                return Some(pick);
            }
        }
        let members = self.draws.members();
        let (late, early) = members.split_at(rng.below(members.len() as u32) as usize);
        let mut last_resort = None;
        let mut passed_over = 0;
        for &index in early.iter().chain(late) {
            let index = index as usize;
            let standing = judge(index);
            if let Some(pick) = standing.pick(index) {
                return Some(pick);
            }
            if standing == Standing::PassedOver {
                last_resort.get_or_insert(Pick { index, reason: Reason::LastResort });
                passed_over += 1;
                if passed_over == SEARCHED {
                    break;
                }
            }
        }
        last_resort
    }

    /// Whether an Endpoint may be taken. Takes the right to probe where that is the answer.
    #[inline]
    fn judge(&self, index: usize, now: Micros, exclude: &dyn Fn(usize) -> bool) -> Standing {
        if exclude(index) {
            return Standing::Excluded;
        }
        let load = &self.views[index].load;
        match load.dialable(now) {
            Dialable::Yes => Standing::Fit,
            Dialable::Probe if load.claim_probe(now) => Standing::Probe,
            Dialable::Probe | Dialable::PassedOver => Standing::PassedOver,
        }
    }

    /// The one of the lower cost; of two that are alike, the one with less under way; of these a warm one, or any.
    #[inline]
    fn better(
        &mut self,
        work: Work,
        one: usize,
        other: usize,
        now: Micros,
        rng: &mut impl Rng,
        warm: &dyn Fn(usize) -> bool,
    ) -> Pick {
        let choose =
            |take_one: bool, reason: Reason| Pick { index: if take_one { one } else { other }, reason };
        let one_us = self.latency_us(one, now, rng);
        let other_us = self.latency_us(other, now, rng);
        let one_in_flight = self.views[one].load.under_way(work);
        let other_in_flight = self.views[other].load.under_way(work);
        let (low, high) = if one_us < other_us { (one_us, other_us) } else { (other_us, one_us) };
        if high > low.max(CLOSE_US) * TIE_BAND {
            let cost = |us: f32, in_flight: u32| f64::from(us) * (f64::from(in_flight) + 1.0);
            return choose(cost(one_us, one_in_flight) < cost(other_us, other_in_flight), Reason::Latency);
        }
        if one_in_flight != other_in_flight {
            return choose(one_in_flight < other_in_flight, Reason::InFlight);
        }
        let one_warm = warm(one);
        if one_warm != warm(other) {
            // Ties between two warm ones do not count: else one that is cold would be so for good.
            if self.warm_streak < WARM_STREAK {
                self.warm_streak += 1;
                return choose(one_warm, Reason::Warm);
            }
            self.warm_streak = 0;
        }
        choose(rng.below(2) == 0, Reason::Random)
    }

    /// The latency that an Endpoint is taken to have: its average, or a penalty above it.
    #[inline]
    fn latency_us(&mut self, index: usize, now: Micros, rng: &mut impl Rng) -> f32 {
        let load = &self.views[index].load;
        let average = load.latency_us(now).unwrap_or(SEED_US);
        if let Some(penalty) = load.penalty(now) {
            self.penalised_us(average, penalty, now, rng)
        } else {
            average
        }
    }

    #[cold]
    #[inline(never)]
    fn penalised_us(&mut self, average: f32, penalty: Penalty, now: Micros, rng: &mut impl Rng) -> f32 {
        let members = self.draws.members();
        let applies =
            penalty.latency_us > average && self.census.honours(penalty, &self.views, members, now, rng);
        if applies { penalty.latency_us } else { average }
    }
}

/// Whether an Endpoint may be taken for an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Fit,
    Probe,
    PassedOver,
    Excluded,
}

impl Standing {
    /// The pick of an Endpoint that may be taken. A probe must be: the right to it was claimed.
    fn pick(self, index: usize) -> Option<Pick> {
        match self {
            Self::Fit => Some(Pick { index, reason: Reason::Random }),
            Self::Probe => Some(Pick { index, reason: Reason::Probe }),
            Self::PassedOver | Self::Excluded => None,
        }
    }
}

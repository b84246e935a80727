//! [`Balancer`]: a Backend's picker in one worker.

use std::ops::Range;
use std::sync::Arc;

use crate::census::Census;
use crate::draw::Draws;
use crate::load::{CLOSE_US, Dialable, TIE_BAND};
use crate::turns::{Entry, Turns};
use crate::{EndpointLoad, Micros, Rng, Work};

/// The average of an Endpoint where no peer has one.
const SEED_US: f32 = 30_000.0;
/// A seed is at least this: near 0 it would make a new Endpoint look free.
const SEED_MIN_US: f32 = 1_000.0;
/// How often in a row a tie goes to the warm one.
const WARM_STREAK: u8 = 2;
/// Draws that may meet excluded or passed over candidates before they are searched one by one.
const DRAW_TRIES: usize = 8;
/// Turns that slow start may refuse in one pick.
const TURN_TRIES: usize = 16;
/// Peers that are asked for their average when a new Endpoint comes, at most.
const ASKED: usize = 64;
/// Passed over candidates that a search meets before it takes all to be so.
const SEARCHED: usize = 256;

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
    draws: Draws,
    /// For round robin.
    turns: Option<Turns>,
    /// Endpoints that came to others and may not have been met yet. Empty nearly always.
    newcomers: Vec<u32>,
    census: Census,
    warm_streak: u8,
}

impl Balancer {
    /// A balancer of `views`, with a random phase.
    pub fn new(
        policy: Policy,
        slow_start: Option<SlowStart>,
        views: Arc<[EndpointView]>,
        now: Micros,
        rng: &mut impl Rng,
    ) -> Self {
        let mut balancer = Self {
            views: Arc::from([]),
            tier: Tier::Empty,
            draws: Draws::default(),
            turns: None,
            newcomers: Vec::new(),
            census: Census::default(),
            warm_streak: 0,
        };
        balancer.update(policy, slow_start, views, now, rng);
        balancer
    }

    /// Takes over new views and settings; gives the range of indices outside which all is as before. Endpoints that
    /// stay keep phase and credit; new ones enter at a random phase, their latency average seeded with the median of
    /// their peers, else 30 ms. Where chance decides, each new one
    /// that came to others gets one of the next requests: chance would let the last of ten wait three times as long
    /// as the average one, and until it has answered nothing is known of it. Slow start wants no such thing.
    pub fn update(
        &mut self,
        policy: Policy,
        slow_start: Option<SlowStart>,
        views: Arc<[EndpointView]>,
        now: Micros,
        rng: &mut impl Rng,
    ) -> Range<usize> {
        let tier = Tier::of(&views);
        // Endpoints that were not met yet keep no place across an update: look at all again.
        let same = tier == self.tier && self.newcomers.is_empty();
        let changed = if same { changed(&self.views, &views) } else { 0..views.len() };
        self.tier = tier;
        self.draws = Draws::new(&views, |view| tier.takes(view), slow_start);
        self.census.reset();
        let members = self.draws.members();
        let at = |index: usize| members.partition_point(|&member| (member as usize) < index);
        let changed_members = &members[at(changed.start)..at(changed.end)];
        seed(&views, members, changed_members, now);
        self.newcomers.clear();
        if policy == Policy::PeakEwma && slow_start.is_none() {
            self.newcomers.extend(newcomers(&views, members, changed_members));
        }
        match policy {
            Policy::PeakEwma => self.turns = None,
            Policy::RoundRobin => {
                let member = |&index: &u32| {
                    let view = &views[index as usize];
                    Entry { id: Arc::as_ptr(&view.load).addr(), weight: view.weight }
                };
                let entries = self.draws.members().iter().map(member).collect();
                self.turns.get_or_insert_default().update(entries, rng);
            }
        }
        // The old views go last: while they live, no new Endpoint can have the address of an old one.
        self.views = views;
        changed
    }

    /// The views that [`Pick::index`] points into.
    pub fn views(&self) -> &Arc<[EndpointView]> {
        &self.views
    }

    /// Where the candidates come from.
    pub fn tier(&self) -> Tier {
        self.tier
    }

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
                let chance = self.draws.redraw_chance(self.views[index].weight, now);
                if rng.unit() >= chance {
                    return Some(first);
                }
            } else if let Some(pick) = self.judge(index, now, exclude).pick(index) {
                return Some(pick);
            }
        }
        self.find(now, rng, exclude, Some(first.index))
    }

    /// A candidate drawn by weight that is neither excluded nor passed over ([`Reason::Random`]), else a probe, else
    /// one that is passed over ([`Reason::LastResort`]).
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
        for _ in 0..DRAW_TRIES {
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
        let tied = one_us.max(CLOSE_US) <= other_us.max(CLOSE_US) * TIE_BAND
            && other_us.max(CLOSE_US) <= one_us.max(CLOSE_US) * TIE_BAND;
        if !tied {
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
    fn latency_us(&mut self, index: usize, now: Micros, rng: &mut impl Rng) -> f32 {
        let load = &self.views[index].load;
        let average = load.latency_us(now).unwrap_or(SEED_US);
        match load.penalty(now) {
            Some(penalty)
                if penalty.latency_us > average
                    && self.census.honours(penalty, &self.views, self.draws.members(), now, rng) =>
            {
                penalty.latency_us
            }
            _ => average,
        }
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

//! A Backend's balancer in one worker: over all of its Endpoints, or over the worker's subset of a large one.
//!
//! Laws:
//! 1. An update keeps counters, averages and phase of what stays, in the subset too.
//! 2. The subset is where to look first, never a border: where it has nobody without doubt left, because all were
//!    tried or are passed over, the pick is made among all.

use std::sync::Arc;

use fairlead_balance::{Balancer, Dialable, EndpointView, Micros, Pick, Reason, Rng, subset};
use rustc_hash::FxHashSet;

use crate::shared::BackendState;

/// Which worker this is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) worker: usize,
    pub(super) workers: usize,
    /// See [`subset()`].
    pub(super) phase: u64,
}

/// A Backend's balancer, and which Backend it is for.
#[derive(Debug)]
pub(super) struct Balancing {
    incarnation: u64,
    place: Place,
    balancer: Balancer,
    /// By the balancer's index the index in the Backend; absent: they are the same.
    subset: Option<Box<[u32]>>,
    /// Over all, while the subset has nobody.
    whole: Option<Balancer>,
}

impl Balancing {
    pub(super) fn new(state: &BackendState, place: Place, now: Micros, rng: &mut impl Rng) -> Self {
        let (views, subset) = views(state, place);
        let balancer = Balancer::new(state.policy, None, views, now, rng);
        Self { incarnation: state.incarnation, place, balancer, subset, whole: None }
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Takes over another version of the Backend. Gives the indices of Endpoints that the Backend still has, and this
    /// worker's subset has no more.
    pub(super) fn update(&mut self, state: &BackendState, now: Micros, rng: &mut impl Rng) -> Vec<u32> {
        let (views, subset) = views(state, self.place);
        let before = Arc::clone(self.balancer.views());
        self.balancer.update(state.policy, None, views, now, rng);
        self.subset = subset;
        self.whole = None;
        let Some(subset) = &self.subset else { return Vec::new() };
        let record = |view: &EndpointView| Arc::as_ptr(&view.load).addr();
        let mut left: FxHashSet<usize> = before.iter().map(record).collect();
        for index in subset {
            left.remove(&record(&state.views[*index as usize]));
        }
        if left.is_empty() {
            return Vec::new();
        }
        let indices = (0u32..).zip(state.views.iter());
        indices.filter(|(_, view)| left.contains(&record(view))).map(|(index, _)| index).collect()
    }

    /// An Endpoint by its index in the Backend. `again`: this request was let down once; it is not asked to find out
    /// whether another doubtful Endpoint lives, as long as there is one without doubt: it would wait for two hedges.
    pub(super) fn pick(
        &mut self,
        state: &BackendState,
        now: Micros,
        rng: &mut impl Rng,
        again: bool,
        excluded: &dyn Fn(usize) -> bool,
        warm: &dyn Fn(usize) -> bool,
    ) -> Option<Pick> {
        let doubtful = |at: usize| excluded(at) || state.views[at].load.dialable(now) != Dialable::Yes;
        let Some(members) = &self.subset else {
            let sure = if again { self.balancer.pick(now, rng, &doubtful, warm) } else { None };
            return sure.or_else(|| self.balancer.pick(now, rng, excluded, warm));
        };
        let at = |index: usize| members[index] as usize;
        let warm_here = |index: usize| warm(at(index));
        let excluded_here = |index: usize| if again { doubtful(at(index)) } else { excluded(at(index)) };
        let here = self.balancer.pick(now, rng, &excluded_here, &warm_here);
        let here = here.map(|pick| Pick { index: at(pick.index), ..pick });
        if here.is_some_and(|pick| pick.reason != Reason::LastResort) {
            return here;
        }
        let whole = self
            .whole
            .get_or_insert_with(|| Balancer::new(state.policy, None, Arc::clone(&state.views), now, rng));
        let sure = if again { whole.pick(now, rng, &doubtful, warm) } else { None };
        sure.or_else(|| whole.pick(now, rng, excluded, warm)).or(here)
    }
}

/// What this worker's balancer sees of a Backend.
fn views(state: &BackendState, place: Place) -> (Arc<[EndpointView]>, Option<Box<[u32]>>) {
    let Some(members) = subset(&state.views, place.worker, place.workers, place.phase) else {
        return (Arc::clone(&state.views), None);
    };
    let view = |member: &fairlead_balance::Member| EndpointView {
        weight: member.weight,
        ..state.views[member.index as usize].clone()
    };
    (members.iter().map(view).collect(), Some(members.iter().map(|member| member.index).collect()))
}

#[cfg(test)]
mod tests {
    use fairlead_balance::{EndpointLoad, Policy, SplitMix64};

    use super::*;
    use crate::shared::BackendSlot;

    const NOW: Micros = Micros(1_000_000);

    fn state(views: Vec<EndpointView>) -> BackendState {
        BackendState {
            slot: BackendSlot(0),
            incarnation: 1,
            version: 1,
            name: "Service/shop/app/80".into(),
            namespace: "shop".into(),
            policy: Policy::RoundRobin,
            max_connections_per_endpoint: None,
            retry_attempts: 1,
            overflows: Arc::default(),
            endpoints: Arc::from([]),
            views: views.into(),
        }
    }

    fn large() -> BackendState {
        let view = |_| EndpointView {
            load: Arc::new(EndpointLoad::new(NOW, 4)),
            weight: 1,
            ready: true,
            fallback: false,
        };
        state((0..256).map(view).collect())
    }

    fn balancing(state: &BackendState, worker: usize) -> (Balancing, SplitMix64) {
        let mut rng = SplitMix64::new(worker as u64);
        (Balancing::new(state, Place { worker, workers: 4, phase: 99 }, NOW, &mut rng), rng)
    }

    fn pick(balancing: &mut Balancing, state: &BackendState, rng: &mut SplitMix64) -> usize {
        balancing.pick(state, NOW, rng, false, &|_| false, &|_| false).unwrap().index
    }

    #[test]
    fn each_worker_has_a_part_and_all_together_have_all() {
        let state = large();
        let mut seen = FxHashSet::default();
        for worker in 0..4 {
            let (mut balancing, mut rng) = balancing(&state, worker);
            let own: FxHashSet<usize> = (0..64).map(|_| pick(&mut balancing, &state, &mut rng)).collect();
            assert_eq!(own.len(), 64, "one turn each");
            assert!((0..64).all(|_| own.contains(&pick(&mut balancing, &state, &mut rng))));
            seen.extend(own);
        }
        assert_eq!(seen.len(), 256);
    }

    #[test]
    fn a_subset_that_is_passed_over_or_tried_gives_way_to_all() {
        let state = large();
        let (mut balancing, mut rng) = balancing(&state, 0);
        let own: FxHashSet<usize> = (0..64).map(|_| pick(&mut balancing, &state, &mut rng)).collect();
        let exclude = |at: usize| own.contains(&at);
        let other = balancing.pick(&state, NOW, &mut rng, true, &exclude, &|_| false).unwrap();
        assert!(!own.contains(&other.index), "all of the own ones were tried");
        for index in &own {
            state.views[*index].load.suspected(NOW);
            state.views[*index].load.suspected(NOW);
        }
        for _ in 0..100 {
            assert!(!own.contains(&pick(&mut balancing, &state, &mut rng)));
        }
        let none = balancing.pick(&state, NOW, &mut rng, false, &|_| true, &|_| false);
        assert_eq!(none, None);
    }

    #[test]
    fn an_update_tells_who_left_the_subset_and_is_still_there() {
        let before = large();
        let (mut balancing, mut rng) = balancing(&before, 0);
        let own: FxHashSet<usize> = (0..64).map(|_| pick(&mut balancing, &before, &mut rng)).collect();
        let record = |view: &EndpointView| Arc::as_ptr(&view.load).addr();
        let held: FxHashSet<usize> = own.iter().map(|index| record(&before.views[*index])).collect();
        // A quarter goes: the cuts move.
        let after = state(before.views.iter().skip(64).cloned().collect());
        let left = balancing.update(&after, NOW, &mut rng);
        let now_own: FxHashSet<usize> =
            (0..96).map(|_| record(&after.views[pick(&mut balancing, &after, &mut rng)])).collect();
        assert_eq!(now_own.len(), 96, "192 endpoints twice over 4 workers");
        let expected: Vec<u32> = (0u32..)
            .zip(after.views.iter())
            .filter(|(_, view)| held.contains(&record(view)) && !now_own.contains(&record(view)))
            .map(|(index, _)| index)
            .collect();
        assert_eq!(left, expected);
        let few = state(before.views.iter().take(10).cloned().collect());
        assert!(balancing.update(&few, NOW, &mut rng).is_empty());
        let all: FxHashSet<usize> = (0..10).map(|_| pick(&mut balancing, &few, &mut rng)).collect();
        assert_eq!(all.len(), 10);
    }
}

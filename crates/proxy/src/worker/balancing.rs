//! A Backend's balancer in one worker: over all of its Endpoints, or over the worker's part of a large one.
//!
//! Laws:
//! 1. An update keeps counters, averages and phase of what stays, in the part too.
//! 2. The part is where to look first, never a border: where it has nobody without doubt left, because all were
//!    tried or are passed over, the pick is made among all.

use std::ops::Range;
use std::sync::Arc;

use fairlead_balance::{Balancer, Dialable, EndpointView, Member, Micros, Pick, Reason, Rng, Work};
use rustc_hash::FxHashSet;

use crate::shared::BackendState;

/// A Backend's balancer, and which Backend it is for.
#[derive(Debug)]
pub(super) struct Balancing {
    incarnation: u64,
    worker: usize,
    balancer: Balancer,
    /// By the balancer's index the index in the Backend; absent: they are the same.
    part: Option<Box<[u32]>>,
    /// Over all, while the part has nobody.
    whole: Option<Balancer>,
}

/// A request that asks for an Endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    /// What it will be.
    pub(super) work: Work,
    /// It was let down once. It is not asked to find out whether another doubtful Endpoint lives, as long as there is one
    /// without doubt: it would wait for two hedges.
    pub(super) again: bool,
}

/// What a new version of a Backend means for a worker, by index in it.
#[derive(Debug)]
pub(super) struct Update {
    /// Endpoints that the Backend still has, and this worker's part has no more.
    pub(super) left: Vec<u32>,
    /// Outside of it all are served as before.
    pub(super) changed: Range<usize>,
}

impl Balancing {
    pub(super) fn new(state: &BackendState, worker: usize, now: Micros, rng: &mut impl Rng) -> Self {
        let (views, part) = views(state, worker);
        let balancer = Balancer::new(state.policy, None, views, now, rng);
        Self { incarnation: state.incarnation, worker, balancer, part, whole: None }
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Takes over another version of the Backend.
    pub(super) fn update(&mut self, state: &BackendState, now: Micros, rng: &mut impl Rng) -> Update {
        let (views, part) = views(state, self.worker);
        let before = Arc::clone(self.balancer.views());
        let changed = self.balancer.update(state.policy, None, views, now, rng);
        let all = self.part.is_some() || part.is_some() || any_ready(&before) != any_ready(&state.views);
        let changed = if all { 0..state.views.len() } else { changed };
        self.part = part;
        self.whole = None;
        let Some(part) = &self.part else { return Update { left: Vec::new(), changed } };
        let record = |view: &EndpointView| Arc::as_ptr(&view.load).addr();
        let mut left: FxHashSet<usize> = before.iter().map(record).collect();
        for index in part {
            left.remove(&record(&state.views[*index as usize]));
        }
        if left.is_empty() {
            return Update { left: Vec::new(), changed };
        }
        let indices = (0u32..).zip(state.views.iter());
        let left = indices.filter(|(_, view)| left.contains(&record(view))).map(|(index, _)| index).collect();
        Update { left, changed }
    }

    /// An Endpoint by its index in the Backend.
    pub(super) fn pick(
        &mut self,
        state: &BackendState,
        now: Micros,
        rng: &mut impl Rng,
        asking: Asking,
        excluded: &dyn Fn(usize) -> bool,
        warm: &dyn Fn(usize) -> bool,
    ) -> Option<Pick> {
        let Asking { work, again } = asking;
        let doubtful = |at: usize| excluded(at) || state.views[at].load.dialable(now) != Dialable::Yes;
        let Some(members) = &self.part else {
            let sure = if again { self.balancer.pick_for(work, now, rng, &doubtful, warm) } else { None };
            return sure.or_else(|| self.balancer.pick_for(work, now, rng, excluded, warm));
        };
        let at = |index: usize| members[index] as usize;
        let warm_here = |index: usize| warm(at(index));
        let excluded_here = |index: usize| if again { doubtful(at(index)) } else { excluded(at(index)) };
        let here = self.balancer.pick_for(work, now, rng, &excluded_here, &warm_here);
        let here = here.map(|pick| Pick { index: at(pick.index), ..pick });
        if here.is_some_and(|pick| pick.reason != Reason::LastResort) {
            return here;
        }
        let whole = self
            .whole
            .get_or_insert_with(|| Balancer::new(state.policy, None, Arc::clone(&state.views), now, rng));
        let sure = if again { whole.pick_for(work, now, rng, &doubtful, warm) } else { None };
        sure.or_else(|| whole.pick_for(work, now, rng, excluded, warm)).or(here)
    }
}

fn any_ready(views: &[EndpointView]) -> bool {
    views.iter().any(|view| view.ready)
}

/// What this worker's balancer sees of a Backend.
fn views(state: &BackendState, worker: usize) -> (Arc<[EndpointView]>, Option<Box<[u32]>>) {
    let Some(members) = state.parts.as_ref().map(|parts| &parts[worker]) else {
        return (Arc::clone(&state.views), None);
    };
    let view = |member: &Member| EndpointView {
        weight: member.weight,
        ..state.views[member.index as usize].clone()
    };
    (members.iter().map(view).collect(), Some(members.iter().map(|member| member.index).collect()))
}

#[cfg(test)]
mod tests {
    use fairlead_balance::{EndpointLoad, Policy, SplitMix64, parts};

    use super::*;
    use crate::shared::{BackendSlot, Ejections};

    const FIRST: Asking = Asking { work: Work::Request, again: false };
    const NOW: Micros = Micros(1_000_000);

    const WORKERS: usize = 4;

    /// When an Endpoint was first seen is its identity here.
    fn identity(view: &EndpointView) -> u64 {
        view.load.since().0
    }

    fn state(views: Vec<EndpointView>) -> BackendState {
        let identities: Vec<u64> = views.iter().map(identity).collect();
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
            ejections: Arc::new(Ejections::new(WORKERS)),
            endpoints: Arc::from([]),
            parts: parts(&views, &identities, WORKERS),
            views: views.into(),
        }
    }

    fn endpoint(identity: u64) -> EndpointView {
        let load = Arc::new(EndpointLoad::new(Micros(identity), WORKERS));
        EndpointView { load, weight: 1, ready: true, fallback: false }
    }

    fn large() -> BackendState {
        state((0..256).map(endpoint).collect())
    }

    fn balancing(state: &BackendState, worker: usize) -> (Balancing, SplitMix64) {
        let mut rng = SplitMix64::new(worker as u64);
        (Balancing::new(state, worker, NOW, &mut rng), rng)
    }

    fn part(state: &BackendState, worker: usize) -> FxHashSet<u64> {
        let part = &state.parts.as_ref().unwrap()[worker];
        part.iter().map(|member| identity(&state.views[member.index as usize])).collect()
    }

    /// Who takes the next turns.
    fn picks(
        balancing: &mut Balancing,
        state: &BackendState,
        rng: &mut SplitMix64,
        count: usize,
    ) -> FxHashSet<u64> {
        (0..count).map(|_| identity(&state.views[pick(balancing, state, rng)])).collect()
    }

    fn pick(balancing: &mut Balancing, state: &BackendState, rng: &mut SplitMix64) -> usize {
        balancing.pick(state, NOW, rng, FIRST, &|_| false, &|_| false).unwrap().index
    }

    #[test]
    fn each_worker_has_a_part_and_all_together_have_all() {
        let state = large();
        let mut seen = FxHashSet::default();
        for worker in 0..WORKERS {
            let (mut balancing, mut rng) = balancing(&state, worker);
            let own = part(&state, worker);
            assert!(own.len() < 80, "{}", own.len());
            assert_eq!(picks(&mut balancing, &state, &mut rng, own.len()), own, "one turn each");
            assert_eq!(picks(&mut balancing, &state, &mut rng, own.len()), own);
            seen.extend(own);
        }
        assert_eq!(seen.len(), 256);
    }

    #[test]
    fn a_part_that_is_passed_over_or_tried_gives_way_to_all() {
        let state = large();
        let (mut balancing, mut rng) = balancing(&state, 0);
        let own = part(&state, 0);
        let exclude = |at: usize| own.contains(&identity(&state.views[at]));
        let other = balancing
            .pick(&state, NOW, &mut rng, Asking { again: true, ..FIRST }, &exclude, &|_| false)
            .unwrap();
        assert!(!exclude(other.index), "all of the own ones were tried");
        for view in state.views.iter().filter(|view| own.contains(&identity(view))) {
            view.load.suspected(NOW);
            view.load.suspected(NOW);
        }
        assert!(picks(&mut balancing, &state, &mut rng, 100).is_disjoint(&own));
        let none = balancing.pick(&state, NOW, &mut rng, FIRST, &|_| true, &|_| false);
        assert_eq!(none, None);
    }

    #[test]
    fn an_update_tells_who_left_the_part_and_is_still_there() {
        let before = large();
        let (mut balancing, mut rng) = balancing(&before, 0);
        let held = part(&before, 0);
        // All others are replaced. Some that come rank this worker higher than some that it has.
        let stay = before.views.iter().filter(|view| held.contains(&identity(view))).cloned();
        let after = state(stay.chain((held.len() as u64..256).map(|new| endpoint(1_000 + new))).collect());
        let left = balancing.update(&after, NOW, &mut rng).left;
        let own = part(&after, 0);
        assert!(picks(&mut balancing, &after, &mut rng, 1_000).is_subset(&own));
        let expected: Vec<u32> = (0u32..)
            .zip(after.views.iter())
            .filter(|(_, view)| held.contains(&identity(view)) && !own.contains(&identity(view)))
            .map(|(index, _)| index)
            .collect();
        assert_eq!(left, expected);
        assert!(!left.is_empty());
        let few = state(before.views.iter().take(10).cloned().collect());
        assert!(balancing.update(&few, NOW, &mut rng).left.is_empty());
        assert_eq!(picks(&mut balancing, &few, &mut rng, 10).len(), 10);
    }
}

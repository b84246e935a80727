//! A Backend's balancer in one worker: over all of its Endpoints, or over the worker's part of a large one.
//!
//! Laws:
//! 1. An update keeps counters, averages and phase of what stays, in the part too. It looks at what changed since the
//!    version before alone, and at who is in the part; a worker that skipped a version compares all.
//! 2. The part is where to look first, never a border: where it has nobody without doubt left, because all were
//!    tried or are passed over, the pick is made among all.

use std::ops::Range;
use std::sync::Arc;

use fairlead_balance::{
    Balancer, Candidates, Dialable, EndpointView, Micros, Pick, Reason, Rng, Update, Work,
};

use crate::shared::BackendState;

/// A Backend's balancer, and which Backend it is for.
#[derive(Debug)]
pub(super) struct Balancing {
    incarnation: u64,
    /// Of the state taken over last.
    version: u64,
    worker: usize,
    balancer: Balancer,
    has_part: bool,
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

impl Balancing {
    pub(super) fn new(state: &BackendState, worker: usize, now: Micros, rng: &mut impl Rng) -> Self {
        Self {
            incarnation: state.incarnation,
            version: state.version,
            worker,
            balancer: Balancer::of(state.policy, None, candidates(state, worker), now, rng),
            has_part: state.parts.is_some(),
            whole: None,
        }
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Takes over another version of the Backend.
    pub(super) fn update(&mut self, state: &BackendState, now: Micros, rng: &mut impl Rng) -> Update {
        let before = Arc::clone(self.balancer.views());
        let next = state.version == self.version + 1;
        let candidates = candidates(state, self.worker);
        let changed = candidates.changed.filter(|_| next);
        let mut update =
            self.balancer.take(state.policy, None, Candidates { changed, ..candidates }, now, rng);
        if any_ready(&before) != any_ready(&state.views) {
            update.changed = 0..state.views.len();
        }
        self.version = state.version;
        self.has_part = state.parts.is_some();
        self.whole = None;
        update
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
        let sure = if again { self.balancer.pick_for(work, now, rng, &doubtful, warm) } else { None };
        if !self.has_part {
            return sure.or_else(|| self.balancer.pick_for(work, now, rng, excluded, warm));
        }
        let here = if again { sure } else { self.balancer.pick_for(work, now, rng, excluded, warm) };
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

/// The indices outside which a worker that has taken over `old` finds nothing new in `new`.
pub(super) fn known_change(old: Option<&BackendState>, new: &BackendState) -> Range<usize> {
    let known = old.is_some_and(|old| {
        old.incarnation == new.incarnation
            && old.version + 1 == new.version
            && old.views.len() == new.views.len()
            && any_ready(&old.views) == any_ready(&new.views)
    });
    if known { new.changed.clone() } else { 0..new.views.len() }
}

/// What this worker's balancer sees of a Backend.
fn candidates(state: &BackendState, worker: usize) -> Candidates<'_> {
    Candidates {
        views: Arc::clone(&state.views),
        part: state.parts.as_ref().map(|parts| &*parts[worker]),
        changed: Some(state.changed.clone()),
    }
}

#[cfg(test)]
mod tests {
    use fairlead_balance::{EndpointLoad, Policy, SplitMix64, parts};
    use rustc_hash::FxHashSet;

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
            changed: 0..views.len(),
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

    #[test]
    fn any_history_gives_the_part_and_tells_who_left_it() {
        let first = large();
        let (mut balancing, mut rng) = balancing(&first, 0);
        let (mut views, mut version, mut held) = (first.views.to_vec(), first.version, part(&first, 0));
        for step in 0..120 {
            let count = views.len() as u32;
            let at = rng.below(count) as usize;
            version += 1;
            let changed = match rng.below(8) {
                0 => {
                    views.insert(at, endpoint(1_000 + step));
                    0..views.len()
                }
                1 => {
                    views.remove(at);
                    0..views.len()
                }
                2 => {
                    // A version that this worker skips.
                    version += 1;
                    views[at].ready = false;
                    0..0
                }
                _ => {
                    views[at].ready ^= true;
                    at..at + 1
                }
            };
            let after = BackendState { version, changed, ..state(views.clone()) };
            let left = balancing.update(&after, NOW, &mut rng).left;
            let own = part(&after, 0);
            let gone = |index: &u32| {
                let identity = identity(&after.views[*index as usize]);
                held.contains(&identity) && !own.contains(&identity)
            };
            let expected: Vec<u32> = (0..after.views.len() as u32).filter(gone).collect();
            assert_eq!(left, expected, "{step}");
            assert_eq!(picks(&mut balancing, &after, &mut rng, own.len()), own);
            held = own;
        }
    }

    #[test]
    fn a_worker_without_a_balancer_looks_at_what_changed_if_it_knows_the_version_before() {
        let old = large();
        let mut views = old.views.to_vec();
        views[7].ready = false;
        let new = |version: u64, views: &[EndpointView]| BackendState {
            version,
            changed: 7..8,
            ..state(views.to_vec())
        };
        assert_eq!(known_change(Some(&old), &new(2, &views)), 7..8);
        assert_eq!(known_change(Some(&old), &new(3, &views)), 0..256);
        assert_eq!(known_change(None, &new(2, &views)), 0..256);
        assert_eq!(known_change(Some(&old), &new(2, &views[..200])), 0..200);
        for view in &mut views {
            view.ready = false;
        }
        assert_eq!(known_change(Some(&old), &new(2, &views)), 0..256, "all may serve now that did not");
    }
}

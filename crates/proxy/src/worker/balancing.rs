//! A Backend's balancer in one worker: over all of its Endpoints, or over the worker's part of a large one. Where the
//! request's key decides there is none: the Backend's table is all workers'.
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

use crate::shared::{Algorithm, BackendState};

/// A Backend's balancer, and which Backend it is for.
#[derive(Debug)]
pub(super) struct Balancing {
    incarnation: u64,
    /// Of the state taken over last.
    version: u64,
    worker: usize,
    /// Absent where keys decide.
    balancer: Option<Balancer>,
    has_part: bool,
    /// Over all, while the part has nobody.
    whole: Option<Balancer>,
}

/// A request that asks for an Endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    /// What it will be.
    pub(super) work: Work,
    /// The hash that its Endpoint is chosen by, where that goes by a hash.
    pub(super) key: u64,
    /// It was let down once. It is not asked to find out whether another doubtful Endpoint lives, as long as there is one
    /// without doubt: it would wait for two hedges.
    pub(super) again: bool,
}

impl Balancing {
    pub(super) fn new(state: &BackendState, worker: usize, now: Micros, rng: &mut impl Rng) -> Self {
        let balancer = match state.algorithm {
            Algorithm::Drawn(policy) => Some(Balancer::of(policy, None, candidates(state, worker), now, rng)),
            Algorithm::Hashed(..) => None,
        };
        Self {
            incarnation: state.incarnation,
            version: state.version,
            worker,
            balancer,
            has_part: state.parts.is_some(),
            whole: None,
        }
    }

    /// Whether a version of a Backend can be taken over: it is the same Backend, and there is something to keep.
    pub(super) fn is_for(&self, state: &BackendState) -> bool {
        let drawn = self.balancer.is_some() && matches!(state.algorithm, Algorithm::Drawn(_));
        self.incarnation == state.incarnation && drawn
    }

    /// Takes over another version of the Backend, that it [is for](Self::is_for).
    pub(super) fn update(&mut self, state: &BackendState, now: Micros, rng: &mut impl Rng) -> Update {
        let (Algorithm::Drawn(policy), Some(balancer)) = (&state.algorithm, &mut self.balancer) else {
            return Update { changed: 0..state.views.len(), left: Vec::new() };
        };
        let before = Arc::clone(balancer.views());
        let next = state.version == self.version + 1;
        let candidates = candidates(state, self.worker);
        let changed = candidates.changed.filter(|_| next);
        let mut update = balancer.take(*policy, None, Candidates { changed, ..candidates }, now, rng);
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
        Asking { work, key, again }: Asking,
        excluded: &dyn Fn(usize) -> bool,
        warm: &dyn Fn(usize) -> bool,
    ) -> Option<Pick> {
        let doubtful = |at: usize| excluded(at) || state.views[at].load.dialable(now) != Dialable::Yes;
        let policy = match &state.algorithm {
            Algorithm::Drawn(policy) => *policy,
            Algorithm::Hashed(_, table) => {
                let sure = if again { table.pick(&state.views, key, now, &doubtful) } else { None };
                return sure.or_else(|| table.pick(&state.views, key, now, excluded));
            }
        };
        let balancer = self.balancer.as_mut()?;
        let sure = if again { balancer.pick_for(work, now, rng, &doubtful, warm) } else { None };
        if !self.has_part {
            return sure.or_else(|| balancer.pick_for(work, now, rng, excluded, warm));
        }
        let here = if again { sure } else { balancer.pick_for(work, now, rng, excluded, warm) };
        if here.is_some_and(|pick| pick.reason != Reason::LastResort) {
            return here;
        }
        let whole =
            self.whole.get_or_insert_with(|| Balancer::new(policy, None, Arc::clone(&state.views), now, rng));
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
    use fairlead_balance::{EndpointLoad, Maglev, Policy, SplitMix64, TableSize, parts};
    use rustc_hash::FxHashSet;

    use super::*;
    use crate::shared::{BackendSlot, Ejections, HashOn};

    const FIRST: Asking = Asking { work: Work::Request, key: 0, again: false };
    const AGAIN: Asking = Asking { again: true, ..FIRST };
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
            algorithm: Algorithm::Drawn(Policy::RoundRobin),
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
        let other = balancing.pick(&state, NOW, &mut rng, AGAIN, &exclude, &|_| false).unwrap();
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
    fn hashed(views: Vec<EndpointView>) -> BackendState {
        let identities: Vec<u64> = views.iter().map(identity).collect();
        let table = Maglev::new(TableSize::default(), &views, &identities);
        let algorithm = Algorithm::Hashed(HashOn::SourceIp, Arc::new(table));
        BackendState { algorithm, parts: None, ..state(views) }
    }

    #[test]
    fn where_keys_decide_all_workers_agree_and_chance_has_no_say() {
        let state = hashed((0..256).map(endpoint).collect());
        let (mut one, mut rng) = balancing(&state, 0);
        let (mut other, mut other_rng) = balancing(&state, 3);
        let mut seen = FxHashSet::default();
        for key in (0..1_000).map(|number| number * (u64::MAX / 1_000)) {
            let asking = Asking { key, ..FIRST };
            let picked = one.pick(&state, NOW, &mut rng, asking, &|_| false, &|_| false).unwrap();
            assert_eq!(picked.reason, Reason::Hash);
            let same = other.pick(&state, NOW, &mut other_rng, asking, &|_| false, &|at| at == 7);
            assert_eq!(same, Some(picked));
            seen.insert(picked.index);
            let asking = Asking { key, ..AGAIN };
            let next = one.pick(&state, NOW, &mut rng, asking, &|at| at == picked.index, &|_| false).unwrap();
            assert_eq!(next.reason, Reason::Rehash);
        }
        assert!(seen.len() > 200, "{}", seen.len());
    }

    #[test]
    fn a_request_that_was_let_down_once_is_no_probe_while_another_is_without_doubt() {
        let state = hashed((0..3).map(endpoint).collect());
        let (mut balancing, mut rng) = balancing(&state, 0);
        let mut pick =
            |now, asking| balancing.pick(&state, now, &mut rng, asking, &|_| false, &|_| false).unwrap();
        let own = pick(NOW, FIRST).index;
        state.views[own].load.suspected(NOW);
        state.views[own].load.suspected(NOW);
        let later = NOW + Micros::from_secs(6);
        assert_eq!(pick(later, AGAIN).reason, Reason::Rehash);
        assert_eq!(pick(later, FIRST), Pick { index: own, reason: Reason::Probe });
    }

    #[test]
    fn nothing_is_taken_over_from_or_to_a_table() {
        let views: Vec<EndpointView> = (0..10).map(endpoint).collect();
        let (drawn, keyed) = (state(views.clone()), hashed(views.clone()));
        let (turns, _) = balancing(&drawn, 0);
        let (mut table, mut rng) = balancing(&keyed, 0);
        assert!(turns.is_for(&drawn) && !turns.is_for(&BackendState { incarnation: 2, ..state(views) }));
        assert!(!turns.is_for(&keyed) && !table.is_for(&drawn) && !table.is_for(&keyed));
        assert_eq!(table.update(&drawn, NOW, &mut rng).changed, 0..10, "all are looked at");
    }
}

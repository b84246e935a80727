//! Parts of a large Backend: fair in sum, stable under change, the same everywhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead_balance::{
    Balancer, EndpointLoad, EndpointView, MIN_ENDPOINTS, Member, Micros, Parts, Policy, Rng, SplitMix64,
    parts,
};
use proptest::prelude::*;

/// Endpoints with an identity each.
#[derive(Clone)]
struct Backend {
    views: Vec<EndpointView>,
    identities: Vec<u64>,
}

impl Backend {
    fn new(weights: &[u32], seed: u64) -> Self {
        let mut rng = SplitMix64::new(seed);
        let mut backend = Self { views: Vec::new(), identities: Vec::new() };
        for &weight in weights {
            backend.push(weight, rng.next_u64());
        }
        backend
    }

    fn push(&mut self, weight: u32, identity: u64) {
        let load = Arc::new(EndpointLoad::new(Micros::ZERO, 1));
        self.views.push(EndpointView { load, weight, ready: true, fallback: false });
        self.identities.push(identity);
    }

    fn without(&self, index: usize) -> Self {
        let mut fewer = self.clone();
        fewer.views.remove(index);
        fewer.identities.remove(index);
        fewer
    }

    fn reversed(&self) -> Self {
        let mut other = self.clone();
        other.views.reverse();
        other.identities.reverse();
        other
    }

    fn parts(&self, workers: usize) -> Option<Parts> {
        parts(&self.views, &self.identities, workers)
    }

    /// Who is in which part, by identity.
    fn held(&self, workers: usize) -> Option<Vec<BTreeSet<u64>>> {
        let identities =
            |part: &[Member]| part.iter().map(|member| self.identities[member.index as usize]).collect();
        Some(self.parts(workers)?.iter().map(|part| identities(part)).collect())
    }

    /// The views of a worker that has this part.
    fn views_of(&self, part: &[Member]) -> Arc<[EndpointView]> {
        let view = |member: &Member| EndpointView {
            weight: member.weight,
            ..self.views[member.index as usize].clone()
        };
        part.iter().map(view).collect()
    }

    /// What each Endpoint with weight gets of the requests, over its fair share, if all workers have as many: the
    /// most and the least.
    fn extremes(&self, parts: &Parts) -> (f64, f64) {
        let weights = || self.views.iter().map(|view| f64::from(view.weight));
        let total: f64 = weights().sum();
        let mut shares = vec![0.0; self.views.len()];
        for part in parts {
            let own: f64 = part.iter().map(|member| f64::from(member.weight)).sum();
            for member in part {
                shares[member.index as usize] += f64::from(member.weight) / own / parts.len() as f64;
            }
        }
        let over = shares.iter().zip(weights()).filter(|(_, weight)| *weight > 0.0);
        extremes(over.map(|(share, weight)| share * total / weight))
    }
}

fn extremes(shares: impl Iterator<Item = f64>) -> (f64, f64) {
    shares.fold((0.0, f64::MAX), |(most, least), share| (share.max(most), share.min(least)))
}

fn copies(count: usize, workers: usize) -> usize {
    (MIN_ENDPOINTS * workers).div_ceil(count)
}

/// Endpoints that left a part and those that came into one, but for `besides`.
fn moves(before: &[BTreeSet<u64>], after: &[BTreeSet<u64>], besides: u64) -> usize {
    let differing = |(before, after): (&BTreeSet<u64>, &BTreeSet<u64>)| {
        before.symmetric_difference(after).filter(|identity| **identity != besides).count()
    };
    before.iter().zip(after).map(differing).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_of_equal_endpoints_is_in_as_many_parts_and_gets_its_share(
        count in 65..3_000usize,
        workers in 2..64usize,
        seed: u64,
    ) {
        let backend = Backend::new(&vec![3; count], seed);
        if let Some(parts) = backend.parts(workers) {
            let mut seen = vec![0; count];
            parts.iter().flatten().for_each(|member| seen[member.index as usize] += 1);
            prop_assert!(seen.iter().all(|&seen| seen == copies(count, workers)));
            prop_assert!(parts.iter().flatten().all(|member| member.weight == 3));
            prop_assert!(parts.iter().all(|part| part.is_sorted_by_key(|member| member.index)));
            let (hottest, coldest) = backend.extremes(&parts);
            prop_assert!(hottest < 1.05 && coldest > 0.9, "{hottest} {coldest}");
        }
    }

    #[test]
    fn unequal_weights_get_their_share(
        weights in prop::collection::vec(prop_oneof![Just(0u32), 1..10u32, 1..1_000_000u32], 65..1_500),
        workers in 2..64usize,
        seed: u64,
    ) {
        let backend = Backend::new(&weights, seed);
        if let Some(parts) = backend.parts(workers) {
            let (hottest, coldest) = backend.extremes(&parts);
            prop_assert!(hottest < 1.125 && coldest > 0.9, "{hottest} {coldest}");
            prop_assert!(parts.iter().flatten().all(|member| member.weight > 0));
        }
    }

    #[test]
    fn the_parts_do_not_depend_on_the_order_in_which_endpoints_are_listed(
        weights in prop_oneof![
            (129..1_000usize).prop_map(|count| vec![1; count]),
            prop::collection::vec(1..1_000u32, 129..1_000),
        ],
        workers in 2..33usize,
        seed: u64,
    ) {
        let backend = Backend::new(&weights, seed);
        prop_assert_eq!(backend.held(workers), backend.reversed().held(workers));
    }

    #[test]
    fn a_change_of_one_endpoint_moves_few_others(
        count in 129..2_000usize,
        workers in 2..33usize,
        seed: u64,
        at: prop::sample::Index,
    ) {
        let all = Backend::new(&vec![1; count], seed);
        let at = at.index(count);
        let fewer = all.without(at);
        if copies(count, workers) != copies(count - 1, workers) {
            return Ok(());
        }
        if let (Some(before), Some(after)) = (all.held(workers), fewer.held(workers)) {
            let moves = moves(&before, &after, all.identities[at]);
            prop_assert!(moves <= 6 * workers, "{moves}");
        }
    }
}

#[test]
fn endpoints_that_go_one_by_one_move_few_others() {
    const STEPS: usize = 40;
    for (count, workers, limit) in [(300, 4, 3.0), (1_100, 16, 7.0), (10_000, 16, 5.0), (2_000, 64, 20.0)] {
        let mut backend = Backend::new(&vec![1; count], count as u64);
        let mut before = backend.held(workers).expect("parts");
        let mut sum = 0;
        for step in 0..STEPS {
            let at = step * 6;
            let gone = backend.identities[at];
            backend = backend.without(at);
            let after = backend.held(workers).expect("parts");
            sum += moves(&before, &after, gone);
            before = after;
        }
        let average = sum as f64 / STEPS as f64;
        println!("{count} endpoints, {workers} workers: {average:.2} moves for each that goes");
        assert!(average < limit, "{count}, {workers}: {average}");
    }
}

#[test]
fn round_robin_over_all_workers_is_fair_at_10_000_endpoints() {
    const COUNT: usize = 10_000;
    let mixed: Vec<u32> = (0..COUNT as u32).map(|index| 1 + index % 5).collect();
    for (name, weights) in [("equal", vec![1; COUNT]), ("1 to 5", mixed)] {
        for workers in [2, 7, 16] {
            let mut rng = SplitMix64::new(workers as u64);
            let backend = Backend::new(&weights, 7);
            let parts = backend.parts(workers).expect("parts");
            let total: usize = weights.iter().map(|&weight| weight as usize).sum();
            // So many that one pick more or less for an Endpoint, which each phase may give, is 1 %.
            let each = total * 100 / workers;
            let mut counts = vec![0u32; COUNT];
            for part in &parts {
                let own = backend.views_of(part);
                let mut balancer = Balancer::new(Policy::RoundRobin, None, own, Micros::ZERO, &mut rng);
                for _ in 0..each {
                    let pick =
                        balancer.pick(Micros(1), &mut rng, &|_| false, &|_| false).expect("a candidate");
                    counts[part[pick.index].index as usize] += 1;
                }
            }
            let shares = counts.iter().zip(&weights);
            let shares = shares.map(|(&count, &weight)| f64::from(count) / (100.0 * f64::from(weight)));
            let (hottest, coldest) = extremes(shares);
            println!("{name}, {workers} workers: hottest {hottest:.3}, coldest {coldest:.3}");
            assert!(hottest < 1.05 && coldest > 0.9, "{name}, {workers}: {hottest} {coldest}");
        }
    }
}

#[test]
fn one_endpoint_with_nearly_all_the_weight_is_in_all_parts() {
    let mut weights = vec![1; 999];
    weights.push(99_900);
    let backend = Backend::new(&weights, 5);
    let parts = backend.parts(8).expect("parts");
    assert!(parts.iter().all(|part| part.iter().any(|member| member.index == 999)));
    let (hottest, coldest) = backend.extremes(&parts);
    assert!(hottest < 1.01 && coldest > 0.99, "{hottest} {coldest}");
}

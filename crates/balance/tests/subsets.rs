//! Subsets of a large Backend: fair in sum, stable under change.

use std::sync::Arc;

use fairlead_balance::{
    Balancer, EndpointLoad, EndpointView, MIN_ENDPOINTS, Member, Micros, Policy, SplitMix64, subset,
};
use proptest::prelude::*;

fn views(weights: &[u32]) -> Vec<EndpointView> {
    let view = |&weight: &u32| EndpointView {
        load: Arc::new(EndpointLoad::new(Micros::ZERO, 1)),
        weight,
        ready: true,
        fallback: false,
    };
    weights.iter().map(view).collect()
}

fn all(views: &[EndpointView], workers: usize, phase: u64) -> Option<Vec<Vec<Member>>> {
    (0..workers).map(|worker| subset(views, worker, workers, phase)).collect()
}

/// The views of a worker that uses this subset.
fn views_of(views: &[EndpointView], members: &[Member]) -> Arc<[EndpointView]> {
    members
        .iter()
        .map(|member| EndpointView { weight: member.weight, ..views[member.index as usize].clone() })
        .collect()
}

/// What each Endpoint gets of the requests, over its fair share, if all workers have as many.
fn shares(weights: &[u32], subsets: &[Vec<Member>]) -> Vec<f64> {
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let mut shares = vec![0.0; weights.len()];
    for members in subsets {
        let own: f64 = members.iter().map(|member| f64::from(member.weight)).sum();
        for member in members {
            let fair = f64::from(weights[member.index as usize]) / total;
            shares[member.index as usize] += f64::from(member.weight) / own / subsets.len() as f64 / fair;
        }
    }
    shares
}

fn loads(views: &[EndpointView], members: &[Member]) -> Vec<usize> {
    members.iter().map(|member| Arc::as_ptr(&views[member.index as usize].load).addr()).collect()
}

fn extremes(shares: &[f64]) -> (f64, f64) {
    let most = shares.iter().copied().fold(0.0, f64::max);
    (most, shares.iter().copied().fold(f64::MAX, f64::min))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_weights_make_even_subsets(count in 65..3_000usize, workers in 2..64usize, phase: u64) {
        let weights = vec![3; count];
        let views = views(&weights);
        if let Some(subsets) = all(&views, workers, phase) {
            let copies = (MIN_ENDPOINTS * workers).div_ceil(count);
            let mut seen = vec![0; count];
            subsets.iter().flatten().for_each(|member| seen[member.index as usize] += 1);
            prop_assert!(seen.iter().all(|&seen| seen == copies));
            let sizes = subsets.iter().map(Vec::len);
            let (least, most) = (sizes.clone().min().unwrap(), sizes.max().unwrap());
            prop_assert!(most - least <= 1 && least + 1 >= MIN_ENDPOINTS, "{least} to {most}");
            let (hottest, coldest) = extremes(&shares(&weights, &subsets));
            prop_assert!(hottest < 1.0 + 1.0 / 63.0 && coldest > 1.0 - 1.0 / 63.0, "{hottest} {coldest}");
        }
    }

    #[test]
    fn unequal_weights_get_their_share(
        weights in prop::collection::vec(prop_oneof![Just(0u32), 1..10u32, 1..1_000_000u32], 65..1_500),
        workers in 2..64usize,
        phase: u64,
    ) {
        let views = views(&weights);
        if let Some(subsets) = all(&views, workers, phase) {
            prop_assert!(subsets.iter().all(|members| !members.is_empty()));
            let shares = shares(&weights, &subsets);
            let weighted = shares.iter().zip(&weights).filter(|(_, weight)| **weight > 0);
            for (share, weight) in weighted {
                prop_assert!((share - 1.0).abs() < 0.01, "{share} of weight {weight}");
            }
        }
    }

    #[test]
    fn a_change_moves_one_at_each_end(count in 129..2_000usize, workers in 2..33usize, phase: u64, at: prop::sample::Index) {
        let views = views(&vec![1; count]);
        let mut fewer = views.clone();
        let gone = Arc::as_ptr(&fewer.remove(at.index(count)).load).addr();
        if let (Some(before), Some(after)) = (all(&views, workers, phase), all(&fewer, workers, phase)) {
            if (MIN_ENDPOINTS * workers).div_ceil(count) != (MIN_ENDPOINTS * workers).div_ceil(count - 1) {
                return Ok(());
            }
            for (before, after) in before.iter().zip(&after) {
                let (before, after) = (loads(&views, before), loads(&fewer, after));
                let left = before.iter().filter(|load| **load != gone && !after.contains(load)).count();
                let came = after.iter().filter(|load| !before.contains(load)).count();
                prop_assert!(left <= 2 && came <= 2, "{left} left, {came} came");
            }
        }
    }
}

#[test]
fn round_robin_over_all_workers_is_fair_at_10_000_endpoints() {
    const COUNT: usize = 10_000;
    let mixed: Vec<u32> = (0..COUNT as u32).map(|index| 1 + index % 5).collect();
    for (name, weights) in [("equal", vec![1; COUNT]), ("1 to 5", mixed)] {
        for workers in [2, 7, 16] {
            let mut rng = SplitMix64::new(workers as u64);
            let views = views(&weights);
            let subsets = all(&views, workers, 0x1234_5678_9ABC_DEF0).expect("subsets");
            let total: usize = weights.iter().map(|&weight| weight as usize).sum();
            // So many that one pick more or less for an Endpoint, which each phase may give, is 1 %.
            let each = total * 100 / workers;
            let mut counts = vec![0u32; COUNT];
            for members in &subsets {
                let own = views_of(&views, members);
                let mut balancer = Balancer::new(Policy::RoundRobin, None, own, Micros::ZERO, &mut rng);
                for _ in 0..each {
                    let pick =
                        balancer.pick(Micros(1), &mut rng, &|_| false, &|_| false).expect("a candidate");
                    counts[members[pick.index].index as usize] += 1;
                }
            }
            let shares: Vec<f64> = counts
                .iter()
                .zip(&weights)
                .map(|(&count, &weight)| f64::from(count) / (100.0 * f64::from(weight)))
                .collect();
            let (hottest, coldest) = extremes(&shares);
            println!("{name}, {workers} workers: hottest {hottest:.3}, coldest {coldest:.3}");
            assert!(hottest < 1.05 && coldest > 0.95, "{name}, {workers}: {hottest} {coldest}");
        }
    }
}

#[test]
fn one_endpoint_with_nearly_all_the_weight_is_in_all_subsets() {
    let mut weights = vec![1; 999];
    weights.push(99_900);
    let views = views(&weights);
    let subsets = all(&views, 8, 5).expect("subsets");
    let heavy = subsets.iter().filter(|members| members.iter().any(|member| member.index == 999)).count();
    assert_eq!(heavy, 8);
    let (hottest, coldest) = extremes(&shares(&weights, &subsets));
    assert!(hottest < 1.01 && coldest > 0.99, "{hottest} {coldest}");
}

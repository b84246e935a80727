//! How evenly requests spread where nothing is wrong.

use std::sync::Arc;

use fairlead_balance::{
    Balancer, EndpointView, Micros, Policy, Reason, Rng, SlowStart, SplitMix64, Tier, WeightedTargets,
};

use crate::world::{
    OpenLoop, balancer, even_views, extremes, normal, one_connection, pick, view, weighted_views,
};

#[test]
fn even_pods_under_load() {
    let open = OpenLoop {
        policy: Policy::PeakEwma,
        servers: 10,
        proxies: 1,
        per_second: 1_000.0,
        seconds: 60,
        seed: 1,
    };
    let seen = open.run(|_, _, rng| (normal(rng, 20_000.0, 4_000.0).max(1_000.0) as u64, 200));
    let (hottest, coldest) = extremes(&seen.counts);
    println!("even Pods: hottest {hottest:.3}, coldest {coldest:.3}");
    assert!(hottest <= 1.05 && coldest >= 0.95, "{hottest} {coldest}");
}

#[test]
fn one_connection_with_spikes() {
    let counts = one_connection(10, 20_000, 2, Micros::from_secs(4), |_, rng| {
        let spike = if rng.below(1_000) == 0 { 20 } else { 1 };
        300 * spike
    });
    let (hottest, coldest) = extremes(&counts);
    println!("one connection, spikes: hottest {hottest:.3}, coldest {coldest:.3}");
    assert!(hottest <= 1.1 && coldest >= 0.9, "{counts:?}");
}

/// Preemption on a busy node: rare, long, and of any length.
#[test]
fn one_connection_with_rare_long_pauses() {
    let counts = one_connection(10, 20_000, 2, Micros::from_secs(4), |_, rng| {
        let pause = if rng.below(3_000) == 0 { 2_000 + u64::from(rng.below(40_000)) } else { 0 };
        300 + pause
    });
    let (hottest, coldest) = extremes(&counts);
    println!("one connection, rare long pauses: hottest {hottest:.3}, coldest {coldest:.3}");
    assert!(hottest <= 1.1 && coldest >= 0.9, "{counts:?}");
}

#[test]
fn one_connection_to_pods_of_1_to_1_9_ms() {
    let counts = one_connection(10, 20_000, 3, Micros::from_secs(4), |index, _| 1_000 + 100 * index as u64);
    let (hottest, coldest) = extremes(&counts);
    println!("one connection, 1.0 to 1.9 ms: hottest {hottest:.3}, coldest {coldest:.3}");
    assert!(hottest <= 1.1 && coldest >= 0.9, "{counts:?}");
}

#[test]
fn a_warm_connection_wins_ties_at_most_twice_in_a_row() {
    let mut rng = SplitMix64::new(4);
    let views = even_views(2, Micros::ZERO);
    let mut balancer = balancer(Policy::PeakEwma, &views, &mut rng);
    let reasons: Vec<_> = (0..9)
        .map(|_| balancer.pick(Micros(1), &mut rng, &|_| false, &|index| index == 1).expect("a candidate"))
        .map(|choice| {
            assert!(choice.reason == Reason::Random || choice.index == 1);
            choice.reason
        })
        .collect();
    let turn = [Reason::Warm, Reason::Warm, Reason::Random];
    assert_eq!(reasons, turn.repeat(3));
}

#[test]
fn a_tenth_of_the_weight_gets_about_its_share() {
    for policy in [Policy::PeakEwma, Policy::RoundRobin] {
        for peers in [1, 9] {
            let mut rng = SplitMix64::new(5);
            let mut weights = vec![10; peers];
            weights.push(1);
            let views = weighted_views(&weights, Micros::ZERO);
            let mut balancer = balancer(policy, &views, &mut rng);
            let light = (0..50_000).filter(|&us| pick(&mut balancer, Micros(us), &mut rng) == peers).count();
            let fair = 50_000.0 / (10.0 * peers as f64 + 1.0);
            let share = light as f64 / fair;
            println!("{policy:?}, {peers} peers: weight 0.1 gets {share:.3} of its share");
            assert!((0.85..1.15).contains(&share), "{policy:?} {peers}: {share}");
        }
    }
}

#[test]
fn very_unequal_weights_are_drawn_in_proportion() {
    let mut rng = SplitMix64::new(6);
    let mut weights = vec![1; 999];
    weights.push(999_000);
    let views = weighted_views(&weights, Micros::ZERO);
    let mut balancer = balancer(Policy::PeakEwma, &views, &mut rng);
    let heavy = (0..20_000).filter(|&us| pick(&mut balancer, Micros(us), &mut rng) == 999).count();
    assert!((19_930..20_000).contains(&heavy), "{heavy}");
}

#[test]
fn first_picks_of_99_to_1() {
    let mut rng = SplitMix64::new(7);
    let mut light = 0;
    for _ in 0..10_000 {
        let mut targets = WeightedTargets::new([99, 1], &mut rng);
        light += (0..10).filter(|_| targets.pick() == Some(1)).count();
    }
    let share = light as f64 / 100_000.0;
    println!("99:1, first ten picks: {share:.4} to the light one");
    assert!((0.008..0.012).contains(&share), "{share}");
}

#[test]
fn no_resonance_between_proxies() {
    let hottest = |proxies: usize, pods: usize| {
        let mut rng = SplitMix64::new(8);
        let views = even_views(pods, Micros::ZERO);
        let mut counts = vec![0u64; pods];
        for _ in 0..proxies {
            counts[pick(&mut balancer(Policy::RoundRobin, &views, &mut rng), Micros(1), &mut rng)] += 1;
        }
        counts.into_iter().max().expect("pods")
    };
    assert!(hottest(100, 20) <= 14);
    assert!(hottest(1_000, 50) <= 40);
}

#[test]
fn changes_every_ten_requests_leave_no_pod_out() {
    for policy in [Policy::PeakEwma, Policy::RoundRobin] {
        let mut rng = SplitMix64::new(9);
        let mut views: Vec<EndpointView> = even_views(100, Micros::ZERO).to_vec();
        let stay: Vec<_> = views.iter().map(|view| Arc::clone(&view.load)).take(90).collect();
        let mut balancer = balancer(policy, &views.clone().into(), &mut rng);
        let mut counts = vec![0u64; stay.len()];
        for round in 0..1_000u64 {
            let now = Micros::from_millis(round);
            for _ in 0..10 {
                let index = pick(&mut balancer, now, &mut rng);
                let load = &balancer.views()[index].load;
                if let Some(known) = stay.iter().position(|other| Arc::ptr_eq(other, load)) {
                    counts[known] += 1;
                }
            }
            // One of the last ten goes, a new one comes at any place.
            views.retain({
                let mut candidates = 0;
                let victim = rng.below(10);
                let stay = &stay;
                move |view| {
                    if stay.iter().any(|load| Arc::ptr_eq(load, &view.load)) {
                        return true;
                    }
                    candidates += 1;
                    candidates - 1 != victim
                }
            });
            views.insert(rng.below(views.len() as u32) as usize, view(1, now));
            balancer.update(policy, None, views.clone().into(), now, &mut rng);
        }
        let (hottest, coldest) = extremes(&counts);
        println!("{policy:?} under change: hottest {hottest:.3}, coldest {coldest:.3}");
        let (most, least) = if policy == Policy::RoundRobin { (1.08, 0.92) } else { (1.5, 0.6) };
        assert!(hottest <= most && coldest >= least, "{policy:?} {hottest} {coldest}");
    }
}

#[test]
fn weights_of_zero() {
    for policy in [Policy::PeakEwma, Policy::RoundRobin] {
        let mut rng = SplitMix64::new(10);
        let views = weighted_views(&[0, 0, 0], Micros::ZERO);
        let mut balancer = balancer(policy, &views, &mut rng);
        assert_eq!(balancer.pick(Micros(1), &mut rng, &|_| false, &|_| false), None);
        assert_eq!(balancer.tier(), Tier::Empty);
        balancer.update(policy, None, weighted_views(&[0, 3, 0], Micros::ZERO), Micros(1), &mut rng);
        assert!((0..100).all(|us| pick(&mut balancer, Micros(us), &mut rng) == 1));
    }
}

#[test]
fn terminating_pods_serve_only_while_none_is_ready() {
    let mut rng = SplitMix64::new(11);
    let mut views = even_views(3, Micros::ZERO).to_vec();
    views[0].ready = false;
    views[0].fallback = true;
    views[1].ready = false;
    let mut balancer = balancer(Policy::PeakEwma, &views.clone().into(), &mut rng);
    assert_eq!(balancer.tier(), Tier::Ready);
    assert!((0..50).all(|us| pick(&mut balancer, Micros(us), &mut rng) == 2));
    views[2].ready = false;
    balancer.update(Policy::PeakEwma, None, views.into(), Micros(60), &mut rng);
    assert_eq!(balancer.tier(), Tier::Fallback);
    assert!((0..50).all(|us| pick(&mut balancer, Micros(us), &mut rng) == 0));
}

#[test]
fn slow_start_depends_on_age_alone() {
    let slow = Some(SlowStart { window: Micros::from_secs(30), minimum: 0.1 });
    for policy in [Policy::PeakEwma, Policy::RoundRobin] {
        let mut rng = SplitMix64::new(12);
        let mut views = even_views(10, Micros::ZERO).to_vec();
        let born = Micros::from_secs(100);
        views[4] = view(1, born);
        let mut balancer = Balancer::new(policy, slow, views.clone().into(), born, &mut rng);
        for (percent, expected) in [(5, 0.1), (25, 0.25), (50, 0.5), (90, 0.9), (100, 1.0)] {
            let now = born + Micros::from_millis(300 * percent);
            // Somebody else comes and goes, which must not disturb the ramp.
            views.push(view(0, now));
            balancer.update(policy, slow, views.clone().into(), now, &mut rng);
            let count = (0..20_000).filter(|_| pick(&mut balancer, now, &mut rng) == 4).count();
            let share = count as f64 / 20_000.0 * (9.0 + expected) / expected;
            println!("{policy:?}, {percent} % of the window: {share:.3} of the share");
            assert!((0.8..1.2).contains(&share), "{policy:?} {percent}: {share}");
        }
    }
}

#[test]
fn a_new_pod_starts_with_the_mean_of_its_peers() {
    let mut rng = SplitMix64::new(13);
    let mut views = even_views(2, Micros::ZERO).to_vec();
    let mut balancer = balancer(Policy::PeakEwma, &views.clone().into(), &mut rng);
    assert_eq!(views[0].load.latency(Micros::ZERO), Some(Micros::from_millis(30)));
    let now = Micros::from_millis(1);
    for _ in 0..2 {
        // The first answer so far above the seed may be a chance.
        views[0].load.responded(now, 0, Micros::from_millis(100), 200);
        views[1].load.responded(now, 0, Micros::from_millis(300), 200);
    }
    views.push(view(1, now));
    balancer.update(Policy::PeakEwma, None, views.clone().into(), now, &mut rng);
    assert_eq!(views[2].load.latency(now), Some(Micros::from_millis(200)));
}

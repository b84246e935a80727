//! Slow, failing and dead servers.

use fairlead_balance::{Dialable, Micros, Policy, Reason, Rng, SplitMix64};

use crate::world::{Answer, OpenLoop, balancer, even_views, normal, pick};

const SEEDS: u64 = 3;

/// 11 servers with a median of 167 ms, 1,000 requests per second, as in "Beyond Round Robin" (Buoyant 2016).
fn buoyant(policy: Policy, proxies: usize, seed: u64) -> OpenLoop {
    OpenLoop { policy, servers: 11, proxies, per_second: 1_000.0, seconds: 60, seed }
}

fn usual(rng: &mut SplitMix64) -> Answer {
    (normal(rng, 167_000.0, 5_000.0) as u64, 200)
}

/// Server 0 takes 2 s for half of the time.
fn slow_for_a_while(server: usize, at: Micros, rng: &mut SplitMix64) -> Answer {
    let slow = (Micros::from_secs(15)..Micros::from_secs(45)).contains(&at);
    if server == 0 && slow { (2_000_000, 200) } else { usual(rng) }
}

fn slow_server(policy: Policy, proxies: usize) -> (f64, f64) {
    let runs: Vec<_> = (1..=SEEDS).map(|seed| buoyant(policy, proxies, seed).run(slow_for_a_while)).collect();
    let mean = |f: &dyn Fn(&crate::world::Seen) -> f64| runs.iter().map(f).sum::<f64>() / runs.len() as f64;
    (mean(&|seen| seen.within_1_s()), mean(&|seen| seen.quantile_ms(0.999)))
}

#[test]
fn slow_server_1_proxy() {
    let (success, p999_ms) = slow_server(Policy::PeakEwma, 1);
    println!("slow server, 1 proxy: {success:.5} within 1 s, p99.9 {p999_ms:.0} ms");
    assert!(success >= 0.9985, "{success}");
    assert!(p999_ms <= 250.0, "{p999_ms}");
}

#[test]
fn slow_server_10_proxies() {
    let (success, _) = slow_server(Policy::PeakEwma, 10);
    println!("slow server, 10 proxies: {success:.5} within 1 s");
    assert!(success >= 0.998, "{success}");
}

#[test]
fn slow_server_50_proxies() {
    let (success, _) = slow_server(Policy::PeakEwma, 50);
    println!("slow server, 50 proxies: {success:.5} within 1 s");
    assert!(success >= 0.997, "{success}");
}

#[test]
fn slow_server_round_robin_as_published() {
    let (success, _) = slow_server(Policy::RoundRobin, 1);
    assert!((0.952..0.957).contains(&success), "the simulation is the published one: {success}");
}

/// Server 0 answers 500 in 1 ms.
fn black_hole(proxies: usize) -> f64 {
    let run = |seed| {
        let seen = buoyant(Policy::PeakEwma, proxies, seed)
            .run(|server, _, rng| if server == 0 { (1_000, 500) } else { usual(rng) });
        seen.share(0)
    };
    (1..=SEEDS).map(run).sum::<f64>() / SEEDS as f64
}

#[test]
fn black_hole_1_proxy() {
    let share = black_hole(1);
    println!("black hole, 1 proxy: {share:.5}");
    assert!(share <= 0.001, "{share}");
}

#[test]
fn black_hole_10_proxies() {
    let share = black_hole(10);
    println!("black hole, 10 proxies: {share:.5}");
    assert!(share <= 0.003, "{share}");
}

#[test]
fn half_of_one_pods_answers_fail() {
    let seen = buoyant(Policy::PeakEwma, 1, 4).run(|server, _, rng| {
        let fails = server == 0 && rng.below(2) == 0;
        if fails { (1_000, 500) } else { usual(rng) }
    });
    println!("half of one Pod's answers fail: {:.5} errors seen", seen.error_rate());
    assert!(seen.error_rate() <= 0.001, "{}", seen.error_rate());
}

/// Who fails more than the median changes by chance, and with it who is penalised: one run alone is uneven.
#[test]
fn pods_that_all_fail_alike_share_alike() {
    let run = |seed| {
        buoyant(Policy::PeakEwma, 1, seed).run(|_, _, rng| {
            let (us, _) = usual(rng);
            (us, if rng.below(10) == 0 { 500 } else { 200 })
        })
    };
    let runs: Vec<_> = (5..5 + SEEDS).map(run).collect();
    for server in 0..11 {
        let share = runs.iter().map(|seen| seen.share(server)).sum::<f64>() / SEEDS as f64;
        assert!((0.05..0.14).contains(&share), "{server}: {share}");
    }
}

#[test]
fn a_pod_twice_as_slow_takes_less() {
    let seen = buoyant(Policy::PeakEwma, 1, 6).run(|server, _, rng| {
        let (us, status) = usual(rng);
        (if server == 0 { 2 * us } else { us }, status)
    });
    println!("one Pod 2 x slower: {:.4} of the traffic", seen.share(0));
    assert!((0.02..0.07).contains(&seen.share(0)), "{}", seen.share(0));
}

#[test]
fn one_error_takes_no_pod_out() {
    let mut rng = SplitMix64::new(7);
    let views = even_views(2, Micros::ZERO);
    let mut balancer = balancer(Policy::PeakEwma, &views, &mut rng);
    let mut counts = [0; 2];
    for ms in 0..10_000 {
        let now = Micros::from_millis(ms);
        let index = pick(&mut balancer, now, &mut rng);
        counts[index] += 1;
        let status = if ms == 100 { 500 } else { 200 };
        views[index].load.responded(now, 0, Micros(900), status);
    }
    assert!(counts.iter().all(|count| (4_500..5_500).contains(count)), "{counts:?}");
}

#[test]
fn dead_pods_are_passed_over_then_tried_by_one() {
    for policy in [Policy::PeakEwma, Policy::RoundRobin] {
        let mut rng = SplitMix64::new(8);
        let views = even_views(10, Micros::ZERO);
        let mut workers = [balancer(policy, &views, &mut rng), balancer(policy, &views, &mut rng)];
        let mut dials = Vec::new();
        for ms in 0..60_000 {
            let now = Micros::from_millis(ms);
            for worker in &mut workers {
                let choice = worker.pick(now, &mut rng, &|_| false, &|_| false).expect("a candidate");
                let load = &views[choice.index].load;
                if choice.index == 3 {
                    dials.push((ms, choice.reason));
                    load.dial_failed(now);
                } else {
                    load.dial_succeeded(now);
                    load.responded(now, 0, Micros(1_000), 200);
                }
            }
        }
        // By latency the first failed dial is a penalty, so the second comes later.
        let (found_out, later) = dials.split_at(2);
        assert!(found_out.iter().all(|(_, reason)| *reason != Reason::Probe), "{policy:?}");
        assert!(later.iter().all(|(_, reason)| *reason == Reason::Probe), "{policy:?} {later:?}");
        assert!((6..=12).contains(&later.len()), "{policy:?} {later:?}");
        assert!(later.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 5_000), "{policy:?} {later:?}");
    }
}

#[test]
fn the_last_ones_are_never_given_up() {
    for policy in [Policy::PeakEwma, Policy::RoundRobin] {
        let mut rng = SplitMix64::new(9);
        let views = even_views(4, Micros::ZERO);
        let mut balancer = balancer(policy, &views, &mut rng);
        for view in views.iter() {
            view.load.dial_failed(Micros::ZERO);
            view.load.dial_failed(Micros::ZERO);
            assert_eq!(view.load.dialable(Micros(1)), Dialable::PassedOver);
        }
        let mut counts = [0; 4];
        for _ in 0..400 {
            let choice =
                balancer.pick(Micros(1), &mut rng, &|index| index == 2, &|_| false).expect("a candidate");
            assert_eq!(choice.reason, Reason::LastResort);
            counts[choice.index] += 1;
        }
        assert_eq!(counts[2], 0, "excluded");
        assert!(counts.iter().filter(|&&count| count > 60).count() == 3, "{counts:?}");
    }
}

#[test]
fn penalties_never_hold_more_than_half_of_the_weight() {
    let mut rng = SplitMix64::new(10);
    let views = even_views(4, Micros::ZERO);
    let mut balancer = balancer(Policy::PeakEwma, &views, &mut rng);
    let mut shares = |dead: usize, from: Micros| {
        for view in views.iter().take(dead) {
            view.load.dial_failed(from);
            view.load.dial_succeeded(from);
            view.load.dial_failed(from);
        }
        let mut counts = [0; 4];
        (0..1_000).for_each(|us| counts[pick(&mut balancer, from + Micros(us), &mut rng)] += 1);
        counts
    };
    let half = shares(2, Micros::from_secs(1));
    assert!(half[0] + half[1] < 200, "taken only where both choices are penalised: {half:?}");
    let most = shares(3, Micros::from_secs(2));
    assert!(most.iter().all(|count| (200..300).contains(count)), "nobody is better: {most:?}");
}

#[test]
fn who_fails_less_than_the_median_is_not_penalised() {
    let mut rng = SplitMix64::new(11);
    let views = even_views(5, Micros::ZERO);
    let mut balancer = balancer(Policy::PeakEwma, &views, &mut rng);
    let now = Micros::from_secs(1);
    let answers = |index: usize, failures: u64, successes: u64| {
        for i in 0..failures + successes {
            views[index].load.responded(now, 0, Micros(50_000), if i < failures { 500 } else { 200 });
        }
    };
    answers(0, 3, 97);
    (1..5).for_each(|index| answers(index, 2, 2));
    let mut counts = [0; 5];
    (0..1_000).for_each(|us| counts[pick(&mut balancer, now + Micros(us), &mut rng)] += 1);
    assert!((150..250).contains(&counts[0]), "{counts:?}");
}

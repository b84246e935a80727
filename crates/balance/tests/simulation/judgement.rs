//! The default against simpler rules, in situations that it was not tuned on: `docs/balancing.md` shows the table
//! (`cargo test -p fairlead-balance --test simulation judgement -- --nocapture --test-threads 1`).

use fairlead_balance::{Rng, SplitMix64};

use crate::queueing::{Cluster, Load, Outcome, Rule, Work};
use crate::world::normal;

const SEEDS: u64 = 3;
const RULES: [Rule; 4] = [Rule::Default, Rule::Plain, Rule::LeastRequest, Rule::RoundRobin];

/// The worst hottest/mean and most idle Pods of several runs, and means of the rest.
#[derive(Clone, Copy, Default)]
struct Judged {
    hottest: f64,
    idle: usize,
    share: f64,
    mean_ms: f64,
    p99_ms: f64,
}

/// Prints a row per rule; in the order of [`RULES`].
fn judge(name: &str, cluster: &Cluster, work: Work<'_>) -> [Judged; 4] {
    RULES.map(|rule| {
        let runs: Vec<Outcome> = (1..=SEEDS).map(|seed| cluster.run(rule, 100 + seed, work)).collect();
        let mean = |of: fn(&Outcome) -> f64| runs.iter().map(of).sum::<f64>() / SEEDS as f64;
        let judged = Judged {
            hottest: runs.iter().map(Outcome::hottest).fold(0.0, f64::max),
            idle: runs.iter().map(Outcome::idle).max().unwrap_or(0),
            share: mean(|outcome| outcome.share(0)),
            mean_ms: mean(Outcome::mean_ms),
            p99_ms: mean(Outcome::p99_ms),
        };
        let Judged { hottest, idle, share, mean_ms, p99_ms } = judged;
        println!("| {name} | {rule:?} | {hottest:.2} | {idle} | {share:.2} | {mean_ms:.2} | {p99_ms:.1} |");
        judged
    })
}

fn open(pods: usize, per_second: f64, seconds: f64, known_us: u64) -> Cluster {
    Cluster { pods, lanes: 4, workers: 2, load: Load::Open(per_second, seconds), known_us }
}

/// Much the same each time, sometimes longer.
fn lognormal(rng: &mut SplitMix64, median_us: f64, sigma: f64) -> f64 {
    median_us * (sigma * normal(rng, 0.0, 1.0)).exp()
}

/// The end of work of so many µs, begun at `now`, in a Pod that stands still for `pause` µs of every `period`.
fn paused(now: f64, work_us: f64, phase: f64, period: f64, pause: f64) -> f64 {
    let (mut now, mut left) = (now, work_us);
    loop {
        let cycle = ((now - phase) / period).floor() * period + phase;
        now = now.max(cycle + pause);
        let next = cycle + period;
        if now + left < next {
            return now + left;
        }
        left -= (next - now).max(0.0);
        now = next + 1e-3;
    }
}

#[test]
fn a_slower_pod_takes_less_than_by_simpler_rules_at_any_rate() {
    for times in [2.0, 3.0, 10.0] {
        for (per_second, seconds) in [(1_500.0, 20.0), (10.0, 600.0)] {
            let name = format!("10 Pods of 10 ms, one {times} x slower, {per_second}/s");
            let work = |pod, now, rng: &mut SplitMix64| {
                now + lognormal(rng, 10_000.0, 0.3) * if pod == 0 { times } else { 1.0 }
            };
            let [default, plain, least, turns] = judge(&name, &open(10, per_second, seconds, 10_000), &work);
            assert!(default.share < least.share && least.share <= turns.share * 1.05, "{name}");
            assert!(default.p99_ms < least.p99_ms && default.p99_ms < plain.p99_ms * 1.3, "{name}");
        }
    }
}

#[test]
fn of_2_and_of_100_pods_a_slow_one_takes_less() {
    for (pods, per_second) in [(2, 300.0), (100, 15_000.0)] {
        let name = format!("{pods} Pods of 10 ms, one 3 x slower, {per_second}/s");
        let work = |pod, now, rng: &mut SplitMix64| {
            now + lognormal(rng, 10_000.0, 0.3) * if pod == 0 { 3.0 } else { 1.0 }
        };
        let [default, _, least, _] = judge(&name, &open(pods, per_second, 10.0, 10_000), &work);
        assert!(default.share < least.share && default.idle == 0, "{name}");
    }
}

#[test]
fn answers_of_two_kinds_on_all_pods_leave_none_out() {
    for (per_second, seconds) in [(20.0, 600.0), (1_500.0, 60.0)] {
        let name = format!("9 of 10 answers 1 ms, else 80 ms, {per_second}/s");
        let cluster = Cluster { lanes: 8, ..open(10, per_second, seconds, 1_000) };
        let work = |_, now, rng: &mut SplitMix64| now + if rng.below(10) == 0 { 80_000.0 } else { 1_000.0 };
        let [default, plain, ..] = judge(&name, &cluster, &work);
        assert!(default.idle == 0 && default.hottest <= 1.4, "{name}");
        assert!(default.mean_ms <= plain.mean_ms * 1.1, "{name}");
    }
}

#[test]
fn collections_of_garbage() {
    let work_us = |rng: &mut SplitMix64| lognormal(rng, 5_000.0, 0.3);
    let all = |pod: usize, now: f64, rng: &mut SplitMix64| {
        paused(now, work_us(rng), 137_000.0 * pod as f64, 1e6, 50_000.0)
    };
    let one = |pod: usize, now: f64, rng: &mut SplitMix64| {
        if pod == 0 { all(pod, now, rng) } else { now + work_us(rng) }
    };
    let cluster = open(10, 1_500.0, 20.0, 5_000);
    let [default, plain, _, turns] =
        judge("50 ms of pause each second in one of 10 Pods of 5 ms", &cluster, &one);
    assert!(default.share > plain.share && default.mean_ms < turns.mean_ms);
    let [default, .., turns] = judge("the same in all 10 Pods, one after the other", &cluster, &all);
    assert!(default.hottest <= 1.1 && default.mean_ms < turns.mean_ms);
}

#[test]
fn a_pod_that_recovers_comes_back() {
    let work = |pod, now: f64, rng: &mut SplitMix64| {
        let slow = pod == 0 && (10e6..20e6).contains(&now);
        now + lognormal(rng, 5_000.0, 0.3) * if slow { 20.0 } else { 1.0 }
    };
    let name = "10 Pods of 5 ms, one 20 x slower from 10 to 20 s of 60";
    let [default, _, _, turns] = judge(name, &open(10, 1_500.0, 60.0, 5_000), &work);
    assert!(default.share > 0.4 && default.p99_ms < turns.p99_ms);
}

#[test]
fn a_heavy_tail_on_all_pods() {
    let work = |_, now, rng: &mut SplitMix64| now + lognormal(rng, 8_000.0, 1.2);
    let [default, plain, ..] =
        judge("lognormal, median 8 ms, sigma 1.2, 1,000/s", &open(10, 1_000.0, 30.0, 8_000), &work);
    assert!(default.hottest <= plain.hottest * 1.05 && default.idle == 0);
}

#[test]
fn zones_a_millisecond_away() {
    for (us, per_second) in [(1_000.0, 3_000.0), (5_000.0, 1_500.0)] {
        let name = format!("10 Pods of {} ms, half of them 1 ms further away, {per_second}/s", us / 1e3);
        let work = |pod, now, rng: &mut SplitMix64| {
            now + lognormal(rng, us, 0.2) + if pod < 5 { 1_000.0 } else { 0.0 }
        };
        let [default, ..] = judge(&name, &open(10, per_second, 10.0, us as u64), &work);
        assert!(default.hottest <= 1.25, "{name}");
    }
}

/// The goals: no Pod idle; hottest/mean at most 1.25 with ten connections, 1.5 with one and four.
#[test]
fn few_connections_to_fast_pods_that_pause_at_times() {
    for connections in [1, 4, 10] {
        let most = if connections == 10 { 1.25 } else { 1.5 };
        let load = Load::Closed(connections, 20_000);
        let cluster = Cluster { pods: 10, lanes: 8, workers: 4, load, known_us: 600 };
        let pauses = |pod: usize, now: f64, rng: &mut SplitMix64| {
            paused(now, lognormal(rng, 500.0, 0.2), 197_000.0 * pod as f64, 2e6, 20_000.0)
        };
        let preempted = |_, now: f64, rng: &mut SplitMix64| {
            let rare = rng.below(2_000) == 0;
            now + lognormal(rng, 500.0, 0.2) + if rare { 5_000.0 + 35_000.0 * rng.unit() } else { 0.0 }
        };
        let name = format!("10 Pods of 0.5 ms, {connections} connections");
        for (what, work) in
            [("20 ms of pause each 2 s", &pauses as Work<'_>), ("1 of 2,000 held for 5 to 40 ms", &preempted)]
        {
            let [default, ..] = judge(&format!("{name}, {what}"), &cluster, work);
            assert!(default.idle == 0 && default.hottest <= most, "{name}, {what}");
        }
    }
}

//! How soon an Endpoint that comes to others gets its first request.

use std::collections::VecDeque;
use std::sync::Arc;

use fairlead_balance::{
    Balancer, EndpointView, InFlight, Micros, Policy, Reason, Rng, SlowStart, SplitMix64,
};

use crate::world::{balancer, even_views, gap_us, pick, view};

const NOW: Micros = Micros(1_000_000);
/// Endpoints that have been at work.
const OLD: usize = 10;
const WORKERS: [usize; 3] = [1, 2, 4];

/// Ten Endpoints that have been at work, and `count` that join them.
fn joined(balancer: &mut Balancer, count: usize, rng: &mut SplitMix64) -> Arc<[EndpointView]> {
    let more = (0..count).map(|_| view(1, NOW));
    let views: Arc<[EndpointView]> = balancer.views().iter().cloned().chain(more).collect();
    balancer.update(Policy::PeakEwma, None, Arc::clone(&views), NOW, rng);
    views
}

#[test]
fn each_new_endpoint_gets_one_of_the_next_requests() {
    let mut rng = SplitMix64::new(1);
    let mut balancer = balancer(Policy::PeakEwma, &even_views(OLD, Micros::ZERO), &mut rng);
    joined(&mut balancer, 3, &mut rng);
    let choices: Vec<_> = (0..4).map(|_| balancer.pick(NOW, &mut rng, &|_| false, &|_| false)).collect();
    let mut first: Vec<_> = choices[..3].iter().flatten().map(|pick| (pick.index, pick.reason)).collect();
    first.sort_unstable_by_key(|pick| pick.0);
    assert_eq!(first, [(10, Reason::New), (11, Reason::New), (12, Reason::New)]);
    assert!(choices[3].is_some_and(|pick| pick.reason != Reason::New));
}

#[test]
fn one_worker_meets_a_new_endpoint_for_all() {
    let mut rng = SplitMix64::new(2);
    let mut one = balancer(Policy::PeakEwma, &even_views(OLD, Micros::ZERO), &mut rng);
    let mut other = balancer(Policy::PeakEwma, one.views(), &mut rng);
    let views = joined(&mut one, 1, &mut rng);
    other.update(Policy::PeakEwma, None, views, NOW, &mut rng);
    assert_eq!(pick(&mut other, NOW, &mut rng), 10);
    let then = one.pick(NOW, &mut rng, &|_| false, &|_| false);
    assert!(then.is_some_and(|pick| pick.reason != Reason::New));
}

#[test]
fn among_endpoints_that_are_all_new_chance_decides() {
    let mut rng = SplitMix64::new(3);
    let mut balancer = balancer(Policy::PeakEwma, &even_views(OLD, Micros::ZERO), &mut rng);
    let choice = balancer.pick(NOW, &mut rng, &|_| false, &|_| false);
    assert_eq!(choice.map(|pick| pick.reason), Some(Reason::Random));
}

#[test]
fn slow_start_and_a_failed_dial_are_respected() {
    let mut rng = SplitMix64::new(4);
    let mut balancer = balancer(Policy::PeakEwma, &even_views(OLD, Micros::ZERO), &mut rng);
    let views = joined(&mut balancer, 1, &mut rng);
    views[10].load.dial_failed(NOW);
    views[10].load.dial_failed(NOW);
    assert_ne!(pick(&mut balancer, NOW, &mut rng), 10);

    let more: Arc<[EndpointView]> = views.iter().cloned().chain([view(1, NOW)]).collect();
    let slow = SlowStart { window: Micros::from_secs(30), minimum: 0.1 };
    balancer.update(Policy::PeakEwma, Some(slow), more, NOW, &mut rng);
    let choice = balancer.pick(NOW, &mut rng, &|_| false, &|_| false);
    assert!(choice.is_some_and(|pick| pick.reason != Reason::New));
}

/// Nine of 1 ms and one of 2 s: a mean would be 200 ms, and the new Pod without requests until that has decayed.
#[test]
fn one_slow_peer_does_not_hold_a_new_pod_back() {
    let mut rng = SplitMix64::new(5);
    let mut balancer = balancer(Policy::PeakEwma, &even_views(OLD, Micros::ZERO), &mut rng);
    for (index, view) in balancer.views().iter().enumerate() {
        let rtt = if index == 0 { Micros::from_secs(2) } else { Micros::from_millis(1) };
        for _ in 0..10_000 {
            view.load.responded(NOW, 0, rtt, 200);
        }
        let later = Micros::from_secs(100);
        view.load.responded(later, 0, rtt, 200);
        view.load.responded(later + rtt, 0, rtt, 200);
    }
    let now = Micros::from_secs(103);
    let views: Arc<[EndpointView]> = balancer.views().iter().cloned().chain([view(1, now)]).collect();
    balancer.update(Policy::PeakEwma, None, views, now, &mut rng);
    let picks = (0..1_000).filter(|_| pick(&mut balancer, now, &mut rng) == 10).count();
    assert!((60..200).contains(&picks), "{picks}");
}

/// A Pod without a connection of this worker, all others with one: it loses two ties of three, not all.
#[test]
fn a_cold_pod_among_warm_ones_gets_its_turn() {
    let mut rng = SplitMix64::new(6);
    let mut balancer = balancer(Policy::PeakEwma, &even_views(OLD, Micros::ZERO), &mut rng);
    let cold = |balancer: &mut Balancer, rng: &mut SplitMix64| {
        balancer.pick(NOW, rng, &|_| false, &|index| index != 3).is_some_and(|pick| pick.index == 3)
    };
    let picks = (0..30_000).filter(|_| cold(&mut balancer, &mut rng)).count();
    assert!((900..1_100).contains(&picks), "a third of its share: {picks}");
}

#[test]
fn an_update_tells_what_changed() {
    let mut rng = SplitMix64::new(7);
    let mut balancer = balancer(Policy::PeakEwma, &even_views(OLD, Micros::ZERO), &mut rng);
    let mut views = balancer.views().to_vec();
    let mut update = |views: &Vec<EndpointView>| {
        balancer.update(Policy::PeakEwma, None, views.clone().into(), NOW, &mut rng)
    };
    assert!(update(&views).is_empty());
    views[4].ready = false;
    assert_eq!(update(&views), 4..5);
    views.remove(7);
    assert!(update(&views).is_empty(), "what is gone has no index");
    views.insert(2, view(1, NOW));
    assert_eq!(update(&views), 2..3);
}

/// The first request to a new Endpoint.
struct First {
    /// The how many-th it is of those that came to workers that knew of the Endpoint.
    place: usize,
    /// How long after the first worker knew.
    after: Micros,
    reason: Reason,
}

/// 1,500 requests per second in all come by chance to any worker. Beside the Endpoints that have been at work come
/// `new` ones, of which the workers learn within 2 ms of each other; until all of them have had a request.
fn first_requests(policy: Policy, workers: usize, new: usize, seed: u64) -> Vec<First> {
    const ANSWER: Micros = Micros::from_millis(5);
    let mut rng = SplitMix64::new(seed);
    let old = even_views(OLD, Micros::ZERO);
    let mut balancers: Vec<Balancer> = (0..workers).map(|_| balancer(policy, &old, &mut rng)).collect();
    let views: Arc<[EndpointView]> = old.iter().cloned().chain((0..new).map(|_| view(1, NOW))).collect();
    let knows: Vec<Micros> = (0..workers).map(|_| NOW + Micros(rng.below(2_000).into())).collect();
    let known = knows.iter().min().copied().expect("workers");
    let mut learnt = vec![false; workers];
    let mut firsts: Vec<Option<First>> = (0..new).map(|_| None).collect();
    let mut answers: VecDeque<(Micros, InFlight)> = VecDeque::new();
    let (mut now, mut place) = (0.0, 0);
    while firsts.iter().any(Option::is_none) {
        // Work began before, so that some requests are in flight.
        now += gap_us(&mut rng, 1_500.0);
        let at = Micros::from_millis(980) + Micros(now as u64);
        while answers.front().is_some_and(|(due, _)| *due <= at) {
            let (due, attempt) = answers.pop_front().expect("the front");
            attempt.load().responded(due, 0, ANSWER, 200);
        }
        for worker in 0..workers {
            if knows[worker] <= at && !learnt[worker] {
                learnt[worker] = true;
                balancers[worker].update(policy, None, Arc::clone(&views), knows[worker], &mut rng);
            }
        }
        let worker = rng.below(workers as u32) as usize;
        place += usize::from(learnt[worker]);
        let choice = balancers[worker].pick(at, &mut rng, &|_| false, &|_| false).expect("a candidate");
        answers.push_back((at + ANSWER, views[choice.index].load.started()));
        if let Some(newcomer) = choice.index.checked_sub(OLD) {
            firsts[newcomer].get_or_insert(First { place, after: at.since(known), reason: choice.reason });
        }
    }
    firsts.into_iter().flatten().collect()
}

/// However many workers there are: so many new Endpoints, so many requests.
#[test]
fn the_next_requests_go_to_the_new_endpoints_whichever_workers_they_come_to() {
    for workers in WORKERS {
        for new in [1, 3] {
            let mut waits = Vec::new();
            for seed in 0..500 {
                let mut firsts = first_requests(Policy::PeakEwma, workers, new, seed);
                firsts.sort_by_key(|first| first.place);
                for (expected, first) in (1..).zip(&firsts) {
                    assert_eq!((first.place, first.reason), (expected, Reason::New), "{workers} workers");
                }
                waits.extend(firsts.iter().map(|first| first.after.0 as f64 / 1e3));
            }
            waits.sort_by(f64::total_cmp);
            let (median, worst) = (waits[waits.len() / 2], waits[waits.len() - 1]);
            println!("{workers} workers, {new} new: first request after {median:.2} ms, worst {worst:.2} ms");
            assert!(median < 2.5 && worst < 15.0, "{workers} workers, {new} new: {median} {worst}");
        }
    }
}

/// In turn each worker goes round once at most before it has had a new one.
#[test]
fn in_turn_a_new_endpoint_waits_for_one_round_of_the_workers() {
    for workers in WORKERS {
        for new in [1, 3] {
            let others = OLD + new - 1;
            for seed in 0..200 {
                for first in first_requests(Policy::RoundRobin, workers, new, seed) {
                    assert_eq!(first.reason, Reason::Turn);
                    assert!(first.place <= workers * others + 1, "{workers} workers: {}", first.place);
                }
            }
        }
    }
}

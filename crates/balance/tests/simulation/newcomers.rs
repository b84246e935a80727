//! How soon an Endpoint that comes to others gets its first request.

use std::sync::Arc;

use fairlead_balance::{Balancer, EndpointView, Micros, Policy, Reason, SlowStart, SplitMix64};

use crate::world::{balancer, even_views, pick, view};

const NOW: Micros = Micros(1_000_000);

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
    let mut balancer = balancer(Policy::PeakEwma, &even_views(10, Micros::ZERO), &mut rng);
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
    let mut one = balancer(Policy::PeakEwma, &even_views(10, Micros::ZERO), &mut rng);
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
    let mut balancer = balancer(Policy::PeakEwma, &even_views(10, Micros::ZERO), &mut rng);
    let choice = balancer.pick(NOW, &mut rng, &|_| false, &|_| false);
    assert_eq!(choice.map(|pick| pick.reason), Some(Reason::Random));
}

#[test]
fn slow_start_and_a_failed_dial_are_respected() {
    let mut rng = SplitMix64::new(4);
    let mut balancer = balancer(Policy::PeakEwma, &even_views(10, Micros::ZERO), &mut rng);
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
    let mut balancer = balancer(Policy::PeakEwma, &even_views(10, Micros::ZERO), &mut rng);
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
    let mut balancer = balancer(Policy::PeakEwma, &even_views(10, Micros::ZERO), &mut rng);
    let cold = |balancer: &mut Balancer, rng: &mut SplitMix64| {
        balancer.pick(NOW, rng, &|_| false, &|index| index != 3).is_some_and(|pick| pick.index == 3)
    };
    let picks = (0..30_000).filter(|_| cold(&mut balancer, &mut rng)).count();
    assert!((900..1_100).contains(&picks), "a third of its share: {picks}");
}

#[test]
fn an_update_tells_what_changed() {
    let mut rng = SplitMix64::new(7);
    let mut balancer = balancer(Policy::PeakEwma, &even_views(10, Micros::ZERO), &mut rng);
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

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

//! Prints what a pick and an update cost at 10,000 Endpoints.
//!
//! `cargo run --release -p fairlead-balance --example pick_cost`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use fairlead_balance::{Balancer, EndpointLoad, EndpointView, Micros, Policy, Rng, SplitMix64};

const ENDPOINTS: usize = 10_000;
/// Rounds are short and many, and the best one counts: on a busy machine few run undisturbed.
const ROUNDS: usize = 200;
const PICKS: u32 = 20_000;
const UPDATES: u32 = 10;

fn views(heaviest: u32, rng: &mut SplitMix64) -> Vec<EndpointView> {
    let view = |_| EndpointView {
        load: Arc::new(EndpointLoad::new(Micros::ZERO, 1)),
        weight: 1 + rng.below(heaviest),
        ready: true,
        fallback: false,
    };
    (0..ENDPOINTS).map(view).collect()
}

fn best_ns(count: u32, mut work: impl FnMut()) -> f64 {
    let round = |_| {
        let start = Instant::now();
        (0..count).for_each(|_| work());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn main() {
    let mut rng = SplitMix64::new(1);
    let cases = [
        ("peak EWMA, equal weights", Policy::PeakEwma, 1),
        ("peak EWMA, weights 1 to 100", Policy::PeakEwma, 100),
        ("round robin, equal weights", Policy::RoundRobin, 1),
        ("round robin, weights 1 to 100", Policy::RoundRobin, 100),
    ];
    for (name, policy, heaviest) in cases {
        let all = views(heaviest, &mut rng);
        let mut balancer = Balancer::new(policy, None, all.clone().into(), Micros::ZERO, &mut rng);
        let mut now = Micros(1);
        let pick = best_ns(PICKS, || {
            now = now + Micros(1);
            black_box(balancer.pick(now, &mut rng, &|_| false, &|_| false));
        });
        let one_less: Arc<[EndpointView]> = all.iter().skip(1).cloned().collect();
        let all: Arc<[EndpointView]> = all.into();
        let mut grown = true;
        let update = best_ns(UPDATES, || {
            grown = !grown;
            let views = if grown { &all } else { &one_less };
            balancer.update(policy, None, Arc::clone(views), now, &mut rng);
        });
        println!("{name}: {pick:.1} ns per pick, {:.1} us per update of one Endpoint", update / 1e3);
    }
}

//! Prints what a pick and an update cost at 10,000 Endpoints, and how even turns are.
//!
//! `cargo run --release -p fairlead-balance --example pick_cost [-- --json]`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use fairlead_balance::{
    Balancer, EndpointLoad, EndpointView, Maglev, Micros, Policy, Rng, SplitMix64, TableSize,
};

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

/// The greatest distance of an Endpoint's count from its share, over all prefixes of so many picks.
fn prefix_error(balancer: &mut Balancer, views: &[EndpointView], picks: usize, rng: &mut SplitMix64) -> f64 {
    let total: f64 = views.iter().map(|view| f64::from(view.weight)).sum();
    let share: Vec<f64> = views.iter().map(|view| f64::from(view.weight) / total).collect();
    let mut counts = vec![0.0; views.len()];
    let mut worst = 0.0_f64;
    for count in 1..=picks {
        let Some(pick) = balancer.pick(Micros(1), rng, &|_| false, &|_| false) else { return f64::NAN };
        let (share, picked) = (share[pick.index], &mut counts[pick.index]);
        // It is furthest behind just before its turn and furthest ahead just after.
        worst = worst.max(share * (count - 1) as f64 - *picked);
        *picked += 1.0;
        worst = worst.max(*picked - share * count as f64);
    }
    let behind = share.iter().zip(&counts).map(|(share, count)| share * picks as f64 - count);
    behind.fold(worst, f64::max)
}

/// One way to balance.
struct Row {
    name: &'static str,
    weighted: bool,
    pick_ns: f64,
    update_us: f64,
    prefix_error: Option<f64>,
}

fn drawn(name: &'static str, policy: Policy, heaviest: u32, rng: &mut SplitMix64) -> Row {
    let all = views(heaviest, rng);
    let mut balancer = Balancer::new(policy, None, all.clone().into(), Micros::ZERO, rng);
    let prefix_error =
        (policy == Policy::RoundRobin).then(|| prefix_error(&mut balancer, &all, 20 * ENDPOINTS, rng));
    let mut now = Micros(1);
    let pick_ns = best_ns(PICKS, || {
        now = now + Micros(1);
        black_box(balancer.pick(now, rng, &|_| false, &|_| false));
    });
    let one_less: Arc<[EndpointView]> = all.iter().skip(1).cloned().collect();
    let all: Arc<[EndpointView]> = all.into();
    let mut grown = true;
    let update_us = best_ns(UPDATES, || {
        grown = !grown;
        let views = if grown { &all } else { &one_less };
        balancer.update(policy, None, Arc::clone(views), now, rng);
    }) / 1e3;
    Row { name, weighted: heaviest > 1, pick_ns, update_us, prefix_error }
}

/// Keys are hashed already: what that costs goes by their length.
fn hashed(name: &'static str, heaviest: u32, rng: &mut SplitMix64) -> Row {
    let all = views(heaviest, rng);
    let identities: Vec<u64> = all.iter().map(|_| rng.next_u64()).collect();
    let mut table = Maglev::new(TableSize::default(), &all, &identities);
    let mut now = Micros(1);
    let pick_ns = best_ns(PICKS, || {
        now = now + Micros(1);
        black_box(table.pick(&all, rng.next_u64(), now, &|_| false));
    });
    let mut skipped = 0;
    let update_us = best_ns(1, || {
        skipped = 1 - skipped;
        table = table.updated(TableSize::default(), &all[skipped..], &identities[skipped..]);
    }) / 1e3;
    Row { name, weighted: heaviest > 1, pick_ns, update_us, prefix_error: None }
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut rng = SplitMix64::new(1);
    let rows = [
        drawn("two choices, equal weights", Policy::PeakEwma, 1, &mut rng),
        drawn("two choices, weights 1 to 100", Policy::PeakEwma, 100, &mut rng),
        drawn("round robin, equal weights", Policy::RoundRobin, 1, &mut rng),
        drawn("round robin, weights 1 to 100", Policy::RoundRobin, 100, &mut rng),
        hashed("Maglev, equal weights", 1, &mut rng),
        hashed("Maglev, weights 1 to 100", 100, &mut rng),
    ];
    let mut documents = Vec::new();
    for Row { name, weighted, pick_ns, update_us, prefix_error } in rows {
        if json {
            let error = prefix_error.map_or_else(|| "null".to_owned(), |error| format!("{error:.3}"));
            documents.push(format!(
                r#"{{"name":"{name}","weighted":{weighted},"pick_ns":{pick_ns:.2},"update_us":{update_us:.2},"prefix_error":{error}}}"#
            ));
        } else {
            let error = prefix_error.map_or_else(String::new, |error| format!(", prefix error {error:.2}"));
            println!("{name}: {pick_ns:.1} ns per pick{error}, {update_us:.1} us per update of one Endpoint");
        }
    }
    if json {
        println!("[{}]", documents.join(","));
    }
}

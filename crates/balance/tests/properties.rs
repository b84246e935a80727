//! What holds for every Backend, history and policy.

use std::sync::Arc;

use fairlead_balance::{
    Balancer, Candidates, EndpointLoad, EndpointView, Failure, InFlight, Micros, Policy, Reason, SlowStart,
    SplitMix64, Tier,
};
use proptest::prelude::*;

/// One thing that happens to a Backend in one worker.
#[derive(Clone, Debug)]
enum Event {
    Wait {
        us: u64,
    },
    /// A pick without the indices whose bit is set; of the others, `warm` ones have a connection.
    Pick {
        exclude: u64,
        warm: u64,
    },
    /// The oldest attempt ends, or the dial of it does.
    End {
        outcome: u8,
        rtt_us: u64,
    },
    Update {
        views: Vec<ViewSpec>,
    },
    /// One Endpoint changes, and the caller knows which.
    Change {
        at: usize,
        weight: u32,
        ready: bool,
    },
}

#[derive(Clone, Debug)]
struct ViewSpec {
    endpoint: usize,
    weight: u32,
    ready: bool,
    fallback: bool,
}

fn view_specs() -> impl Strategy<Value = Vec<ViewSpec>> {
    let weight = prop_oneof![Just(1u32), 0..5u32, Just(1_000_000u32)];
    let spec = (0..64usize, weight, any::<bool>(), any::<bool>())
        .prop_map(|(endpoint, weight, ready, fallback)| ViewSpec { endpoint, weight, ready, fallback });
    prop::collection::vec(spec, 0..48).prop_map(|mut specs| {
        specs.sort_by_key(|spec| spec.endpoint);
        specs.dedup_by_key(|spec| spec.endpoint);
        specs
    })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let sparse = prop_oneof![Just(0u64), any::<u64>(), Just(u64::MAX)];
    let event = prop_oneof![
        2 => (0..8_000_000u64).prop_map(|us| Event::Wait { us }),
        8 => (sparse, any::<u64>()).prop_map(|(exclude, warm)| Event::Pick { exclude, warm }),
        6 => (0..6u8, 0..10_000_000u64).prop_map(|(outcome, rtt_us)| Event::End { outcome, rtt_us }),
        1 => view_specs().prop_map(|views| Event::Update { views }),
        2 => (0..48usize, 0..3u32, any::<bool>())
            .prop_map(|(at, weight, ready)| Event::Change { at, weight, ready }),
        2 => (0..48usize, 0..3u32, any::<bool>()).prop_map(|(at, weight, ready)| Event::Change { at, weight, ready }),
    ];
    prop::collection::vec(event, 0..200)
}

fn views(specs: &[ViewSpec], loads: &[Arc<EndpointLoad>]) -> Arc<[EndpointView]> {
    let view = |spec: &ViewSpec| EndpointView {
        load: Arc::clone(&loads[spec.endpoint]),
        weight: spec.weight,
        ready: spec.ready,
        fallback: spec.fallback,
    };
    specs.iter().map(view).collect()
}

fn end(guard: &InFlight, now: Micros, outcome: u8, rtt: Micros) {
    let load = guard.load();
    match outcome {
        0 => {
            load.dial_failed(now);
        }
        1 => {
            load.suspected(now);
        }
        2 => load.failed(now, 0, Failure::Reset),
        3 => load.responded(now, 0, rtt, 500),
        _ => {
            load.dial_succeeded(now);
            load.responded(now, 0, rtt, 200);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_pick_is_a_candidate_and_all_attempts_end(
        round_robin in any::<bool>(),
        slow in any::<bool>(),
        seed in any::<u64>(),
        first in view_specs(),
        events in events(),
    ) {
        let policy = if round_robin { Policy::RoundRobin } else { Policy::PeakEwma };
        let slow_start = slow.then_some(SlowStart { window: Micros::from_secs(30), minimum: 0.1 });
        let mut rng = SplitMix64::new(seed);
        let mut now = Micros(seed % 1_000_000_000);
        let loads: Vec<_> = (0..64).map(|_| Arc::new(EndpointLoad::new(now, 1))).collect();
        let mut balancer = Balancer::new(policy, slow_start, views(&first, &loads), now, &mut rng);
        let mut attempts: Vec<InFlight> = Vec::new();
        for event in events {
            match event {
                Event::Wait { us } => now = now + Micros(us),
                Event::Pick { exclude, warm } => {
                    let excluded = |index: usize| exclude >> (index % 64) & 1 == 1;
                    let warm = |index: usize| warm >> (index % 64) & 1 == 1;
                    let current = Arc::clone(balancer.views());
                    let any_ready = current.iter().any(|view| view.ready && view.weight > 0);
                    let candidate = |index: usize| {
                        let view = &current[index];
                        view.weight > 0 && if any_ready { view.ready } else { view.fallback && !view.ready }
                    };
                    let open = (0..current.len()).filter(|&index| candidate(index) && !excluded(index)).count();
                    let choice = balancer.pick(now, &mut rng, &excluded, &warm);
                    prop_assert_eq!(choice.is_some(), open > 0);
                    prop_assert_eq!(balancer.tier() == Tier::Empty, !(0..current.len()).any(candidate));
                    if let Some(choice) = choice {
                        prop_assert!(candidate(choice.index) && !excluded(choice.index));
                        prop_assert!(choice.reason != Reason::Only || open >= 1);
                        attempts.push(current[choice.index].load.started());
                    }
                }
                Event::End { outcome, rtt_us } => {
                    if !attempts.is_empty() {
                        end(&attempts.remove(0), now, outcome, Micros(rtt_us));
                    }
                }
                Event::Update { views: specs } => {
                    balancer.update(policy, slow_start, views(&specs, &loads), now, &mut rng);
                }
                Event::Change { at, weight, ready } => {
                    let mut next = balancer.views().to_vec();
                    if let Some(view) = next.get_mut(at) {
                        *view = EndpointView { weight, ready, ..view.clone() };
                        let next = Candidates { views: next.into(), part: None, changed: Some(at..at + 1) };
                        balancer.take(policy, slow_start, next, now, &mut rng);
                    }
                }
            }
            let in_flight: u32 = loads.iter().map(|load| load.in_flight()).sum();
            prop_assert_eq!(in_flight as usize, attempts.len());
        }
        drop(attempts);
        prop_assert!(loads.iter().all(|load| load.in_flight() == 0));
    }

    #[test]
    fn round_robin_under_any_change_serves_in_proportion(seed in any::<u64>(), weights in prop::collection::vec(1..50u32, 1..60)) {
        let mut rng = SplitMix64::new(seed);
        let views: Arc<[EndpointView]> = weights
            .iter()
            .map(|&weight| EndpointView {
                load: Arc::new(EndpointLoad::new(Micros::ZERO, 1)),
                weight,
                ready: true,
                fallback: false,
            })
            .collect();
        let mut balancer = Balancer::new(Policy::RoundRobin, None, Arc::clone(&views), Micros::ZERO, &mut rng);
        let total: u32 = weights.iter().sum();
        let mut counts = vec![0u32; weights.len()];
        for pick in 0..total * 3 {
            if pick % 7 == 0 {
                balancer.update(Policy::RoundRobin, None, views.iter().cloned().collect(), Micros::ZERO, &mut rng);
            }
            counts[balancer.pick(Micros(1), &mut rng, &|_| false, &|_| false).unwrap().index] += 1;
        }
        for (count, weight) in counts.iter().zip(&weights) {
            prop_assert!(count.abs_diff(3 * weight) <= 4, "{:?} {:?}", counts, weights);
        }
    }
}

//! Parts are what comes out when each Endpoint asks one worker after the other, and each worker answers at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use fairlead_balance::{
    EndpointLoad, EndpointView, MIN_CONNECTIONS, MIN_ENDPOINTS, Member, Micros, Rng, SplitMix64, parts,
};
use proptest::prelude::*;

const LOOSE: u64 = 64;
const HEAVIEST: u64 = 32;
const FINE: u64 = 256;

struct Seeker {
    member: Member,
    identity: u64,
    copies: usize,
    /// The worker asked last.
    asked: u64,
}

#[derive(Default)]
struct Seats {
    firm: u64,
    taken: u64,
    /// Standing and seeker.
    holders: BinaryHeap<Reverse<(u64, usize)>>,
}

fn rank(seeker: &Seeker, worker: usize) -> u64 {
    let salt = SplitMix64::new(worker as u64).next_u64();
    SplitMix64::new(seeker.identity ^ salt).next_u64() & !0xFFFF | worker as u64
}

/// The Endpoints that are ready and have weight, as they set out; `None`: all workers use all.
fn seekers(views: &[EndpointView], identities: &[u64], workers: usize) -> Option<Vec<Seeker>> {
    let candidates: Vec<(usize, u64)> = (0..views.len())
        .filter(|&index| views[index].ready && views[index].weight > 0)
        .map(|index| (index, u64::from(views[index].weight)))
        .collect();
    let copies = (MIN_ENDPOINTS * workers).div_ceil(candidates.len());
    if candidates.len() <= MIN_ENDPOINTS || candidates.len() * workers < MIN_CONNECTIONS || copies >= workers
    {
        return None;
    }
    let total: u64 = candidates.iter().map(|(_, weight)| weight).sum();
    let copies_of =
        |weight: u64| ((weight * HEAVIEST * workers as u64).div_ceil(total) as usize).clamp(copies, workers);
    let fine = candidates.iter().any(|(_, weight)| copies_of(*weight) > copies);
    let seeker = |&(index, weight): &(usize, u64)| {
        let own = copies_of(weight);
        let weight = if fine { weight * FINE * copies as u64 / own as u64 } else { weight };
        let member = Member { index: index as u32, weight: u32::try_from(weight).unwrap_or(u32::MAX) };
        Seeker { member, identity: identities[index], copies: own, asked: u64::MAX }
    };
    Some(candidates.iter().map(seeker).collect())
}

fn one_by_one(mut seekers: Vec<Seeker>, workers: usize) -> Vec<Vec<Member>> {
    let weight = |seeker: &Seeker| u64::from(seeker.member.weight) * FINE;
    let wanted: u64 = seekers.iter().map(|seeker| seeker.copies as u64).sum();
    let all: u64 = seekers.iter().map(|seeker| seeker.copies as u64 * weight(seeker)).sum();
    let even = all / workers as u64;
    let firm = |worker: usize| even - even / LOOSE - all / wanted * worker as u64 / workers as u64;
    let mut seats: Vec<Seats> =
        (0..workers).map(|worker| Seats { firm: firm(worker), ..Seats::default() }).collect();
    let mut asking: Vec<usize> =
        (0..seekers.len()).flat_map(|index| std::iter::repeat_n(index, seekers[index].copies)).collect();
    let mut homeless = Vec::new();
    while let Some(index) = asking.pop() {
        let seeker = &mut seekers[index];
        let ranks = (0..workers).map(|worker| rank(seeker, worker));
        let Some(next) = ranks.filter(|rank| *rank < seeker.asked).max() else {
            homeless.push(index);
            continue;
        };
        seeker.asked = next;
        let standing = if seeker.copies == workers { u64::MAX } else { next };
        let seats = &mut seats[(next & 0xFFFF) as usize];
        seats.holders.push(Reverse((standing, index)));
        seats.taken += weight(&seekers[index]);
        while let Some(&Reverse((_, lowest))) = seats.holders.peek() {
            let without = seats.taken - weight(&seekers[lowest]);
            if without < seats.firm {
                break;
            }
            seats.holders.pop();
            seats.taken = without;
            asking.push(lowest);
        }
    }
    let mut parts: Vec<Vec<usize>> = seats
        .into_iter()
        .map(|seats| seats.holders.into_iter().map(|Reverse((_, index))| index).collect())
        .collect();
    for index in homeless {
        let others = (0..workers).filter(|worker| !parts[*worker].contains(&index));
        let highest = others.max_by_key(|worker| rank(&seekers[index], *worker)).expect("copies <= workers");
        parts[highest].push(index);
    }
    let members = |mut part: Vec<usize>| {
        part.sort_unstable();
        part.iter().map(|index| seekers[*index].member).collect()
    };
    parts.into_iter().map(members).collect()
}

/// Weights of a Backend's Endpoints: all the same, a few different ones, any, and some with most of the sum.
fn weights() -> impl Strategy<Value = Vec<u32>> {
    let counts = || prop_oneof![65..500usize, 65..5_000usize];
    let of = |weight: BoxedStrategy<u32>| {
        counts().prop_flat_map(move |count| prop::collection::vec(weight.clone(), count))
    };
    prop_oneof![
        (counts(), 1..100u32).prop_map(|(count, weight)| vec![weight; count]),
        of((0..6u32).boxed()),
        of((1..1_000_000u32).boxed()),
        of(prop_oneof![200 => 1..3u32, 1 => 100..1_000_000u32].boxed()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rounds_give_what_asking_one_by_one_gives(
        weights in weights(),
        workers in prop_oneof![2..9usize, 2..65usize],
        unready in 0..3u32,
        seed: u64,
    ) {
        let mut rng = SplitMix64::new(seed);
        let identities: Vec<u64> = weights.iter().map(|_| rng.next_u64()).collect();
        let view = |(index, &weight): (usize, &u32)| EndpointView {
            load: Arc::new(EndpointLoad::new(Micros::ZERO, 1)),
            weight: if index == 0 { weight.max(1) } else { weight },
            ready: index == 0 || rng.below(10) >= unready,
            fallback: false,
        };
        let views: Vec<EndpointView> = weights.iter().enumerate().map(view).collect();
        let found = parts(&views, &identities, workers);
        let expected = seekers(&views, &identities, workers).map(|seekers| one_by_one(seekers, workers));
        prop_assert_eq!(found.is_some(), expected.is_some());
        for (worker, (found, expected)) in found.iter().flatten().zip(expected.iter().flatten()).enumerate() {
            prop_assert_eq!(&**found, &**expected, "worker {}", worker);
        }
    }
}

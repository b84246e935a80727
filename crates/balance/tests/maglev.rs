//! The table of consistent hashing: how even it is, what a change moves, and who stands in for whom.
//!
//! The figures are those of other implementations of the paper's rule.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use fairlead_balance::{
    EndpointLoad, EndpointView, Maglev, Micros, Reason, Rng, SplitMix64, StableHash, TableSize,
};
use proptest::prelude::*;

const NOW: Micros = Micros(1_000_000);

/// An Endpoint by its name, from which its identity is made.
#[derive(Clone, Debug)]
struct Member {
    name: String,
    view: EndpointView,
}

fn member(name: impl std::fmt::Display, weight: u32) -> Member {
    let load = Arc::new(EndpointLoad::new(Micros::ZERO, 1));
    Member { name: format!("uid-{name}"), view: EndpointView { load, weight, ready: true, fallback: false } }
}

fn members(count: usize) -> Vec<Member> {
    (0..count).map(|name| member(name, 1)).collect()
}

fn views(members: &[Member]) -> Vec<EndpointView> {
    members.iter().map(|member| member.view.clone()).collect()
}

fn identities(members: &[Member]) -> Vec<u64> {
    members.iter().map(|member| StableHash::of(member.name.as_bytes())).collect()
}

fn table_of(size: u32, members: &[Member]) -> Maglev {
    Maglev::new(TableSize::new(size).unwrap(), &views(members), &identities(members))
}

fn table(members: &[Member]) -> Maglev {
    table_of(65_537, members)
}

/// Slots per member.
fn counts(table: &Maglev, members: &[Member]) -> Vec<u32> {
    let mut counts = vec![0; members.len()];
    table.slots().for_each(|index| counts[index] += 1);
    counts
}

/// By slot the member's name.
fn names<'a>(table: &Maglev, members: &'a [Member]) -> Vec<&'a str> {
    table.slots().map(|index| &*members[index].name).collect()
}

fn keys(count: usize) -> impl Iterator<Item = u64> {
    let mut rng = SplitMix64::new(7);
    (0..count).map(move |_| rng.next_u64())
}

fn pick(
    table: &Maglev,
    members: &[Member],
    key: u64,
    exclude: &dyn Fn(usize) -> bool,
) -> Option<(usize, Reason)> {
    pick_at(table, members, key, NOW, exclude)
}

fn pick_at(
    table: &Maglev,
    members: &[Member],
    key: u64,
    now: Micros,
    exclude: &dyn Fn(usize) -> bool,
) -> Option<(usize, Reason)> {
    let found = table.pick(&views(members), key, now, exclude);
    found.map(|pick| (pick.index, pick.reason))
}

#[test]
fn equal_endpoints_have_equal_shares() {
    for (count, most_over_mean) in [(5, 1.0001), (10, 1.0001), (50, 1.0003), (100, 1.001), (1_000, 1.0071)] {
        let members = members(count);
        let counts = counts(&table(&members), &members);
        let (most, least) = (*counts.iter().max().unwrap(), *counts.iter().min().unwrap());
        assert!(most - least <= 1, "{count}: {least} to {most}");
        let found = f64::from(most) * count as f64 / 65_537.0;
        assert!(found <= most_over_mean, "{count}: {found}");
    }
}

#[test]
fn shares_go_by_weight() {
    let two = [member("light", 1), member("heavy", 2)];
    assert_eq!(counts(&table(&two), &two), [21_846, 43_691]);
    let two = [member("light", 500_000), member("heavy", 1_000_000)];
    assert_eq!(counts(&table(&two), &two), [21_846, 43_691]);
    let three = [member("none", 0), member("one", 1), member("three", 3)];
    assert_eq!(counts(&table(&three), &three), [0, 16_385, 49_152]);
}

#[test]
fn everybody_has_a_slot_as_long_as_there_are_some() {
    let mut skewed = members(5_000);
    skewed[17].view.weight = 1_000_000;
    let shares = counts(&table(&skewed), &skewed);
    assert_eq!((*shares.iter().min().unwrap(), shares[17]), (1, 65_537 - 4_999));
    let many = members(10);
    let shares = counts(&table_of(5, &many), &many);
    assert_eq!((shares.iter().sum::<u32>(), *shares.iter().max().unwrap()), (5, 1));
    let crowd = members(70_000);
    let shares = counts(&table_of(131_071, &crowd), &crowd);
    assert_eq!(
        (*shares.iter().min().unwrap(), *shares.iter().max().unwrap()),
        (1, 2),
        "more than 16 bits count"
    );
}

/// The share of all slots that changes hands when the last of so many goes.
fn moved(count: usize) -> f64 {
    let members = members(count);
    let (before, after) = (table(&members), table(&members[..count - 1]));
    let pairs = names(&before, &members).into_iter().zip(names(&after, &members));
    pairs.filter(|(one, other)| one != other).count() as f64 / 65_537.0
}

#[test]
fn an_endpoint_that_comes_or_goes_moves_its_keys_and_few_others() {
    // Which of the two tables is the later one makes no difference.
    for count in [5, 10, 50, 100, 1_000] {
        let (found, own) = (moved(count), 1.0 / count as f64);
        assert!((own - 0.000_1..own + 0.007).contains(&found), "{count}: {found}");
    }
}

#[test]
fn a_replaced_endpoint_moves_its_keys_those_that_the_new_one_gets_and_few_others() {
    let before = members(50);
    let mut after = before.clone();
    after[20] = member("new", 1);
    let (one, other) = (table(&before), table(&after));
    let pairs = names(&one, &before).into_iter().zip(names(&other, &after));
    let moved = pairs.filter(|(one, other)| one != other).count() as f64 / 65_537.0;
    assert!((0.039..0.04 + 0.014).contains(&moved), "{moved}");
}

#[test]
fn the_order_in_which_things_came_makes_no_difference() {
    let mut members: Vec<Member> = (0..100).map(|name| member(name, 1 + name % 7)).collect();
    let table_before = table(&members);
    let before: Vec<String> = names(&table_before, &members).into_iter().map(str::to_owned).collect();
    members.reverse();
    members.swap(3, 70);
    assert_eq!(names(&table(&members), &members), before);
    let mut other: Vec<Member> =
        members.iter().map(|it| member(&it.name["uid-".len()..], it.view.weight)).collect();
    other.rotate_left(33);
    assert_eq!(names(&table(&other), &other), before, "nor do the records' places in memory");
}

#[test]
fn a_table_is_built_again_only_where_its_candidates_change() {
    let mut members = members(20);
    members[4].view.ready = false;
    let size = TableSize::default();
    let first = table(&members);
    let updated =
        |table: &Maglev, members: &[Member]| table.updated(size, &views(members), &identities(members));
    // One more that takes no requests: all behind it have another index.
    members.insert(0, member("idle", 0));
    let second = updated(&first, &members);
    assert!(second.shares_slots_with(&first));
    assert_eq!(names(&second, &members), names(&table(&members), &members));
    let changes: [fn(&mut Vec<Member>); 4] = [
        |members| members[5].view.ready = true,
        |members| members[9].view.weight = 2,
        |members| drop(members.remove(9)),
        |members| members.push(member("new", 1)),
    ];
    for change in changes {
        let mut changed = members.clone();
        change(&mut changed);
        let third = updated(&second, &changed);
        assert!(!third.shares_slots_with(&second));
        assert_eq!(names(&third, &changed), names(&table(&changed), &changed));
    }
    let larger = second.updated(TableSize::new(655_373).unwrap(), &views(&members), &identities(&members));
    assert_eq!(larger.slots().count(), 655_373);
}

#[test]
fn a_size_is_a_prime_within_the_limit() {
    for size in [2, 3, 5, 65_537, 655_373, TableSize::MAX] {
        assert!(TableSize::new(size).is_some(), "{size}");
    }
    for size in [0, 1, 4, 65_535, 65_536, 65_521 * 3, TableSize::MAX + 1, 5_000_077, u32::MAX] {
        assert_eq!(TableSize::new(size), None, "{size}");
    }
    assert_eq!(TableSize::new(65_537), Some(TableSize::default()));
}

#[test]
fn serving_and_terminating_endpoints_are_taken_while_none_is_ready() {
    let mut members = members(6);
    for member in &mut members[..4] {
        member.view.ready = false;
    }
    members[0].view.fallback = true;
    members[1].view.fallback = true;
    let taken = |members: &[Member]| -> Vec<bool> {
        counts(&table(members), members).iter().map(|count| *count > 0).collect()
    };
    assert_eq!(taken(&members), [false, false, false, false, true, true]);
    members[4].view.ready = false;
    members[5].view.weight = 0;
    assert_eq!(taken(&members), [true, true, false, false, false, false]);
    members[0].view.fallback = false;
    members[1].view.fallback = false;
    let empty = table(&members);
    assert_eq!((empty.slots().count(), pick(&empty, &members, 1, &|_| false)), (0, None));
}

#[test]
fn equal_keys_go_to_the_same_endpoint_and_keys_spread_by_slots() {
    let members = members(10);
    let (one, other) = (table(&members), table(&members));
    let mut counts = [0u32; 10];
    for key in keys(20_000) {
        let picked = pick(&one, &members, key, &|_| false);
        assert_eq!(picked, pick(&other, &members, key, &|_| false));
        let (index, reason) = picked.unwrap();
        assert_eq!(reason, Reason::Hash);
        counts[index] += 1;
    }
    assert!(counts.iter().all(|count| (1_850..2_150).contains(count)), "{counts:?}");
}

#[test]
fn keys_of_an_excluded_endpoint_spread_over_all_others() {
    let members = members(10);
    let table = table(&members);
    let mut counts = [0u32; 10];
    for key in keys(100_000) {
        let (own, _) = pick(&table, &members, key, &|_| false).unwrap();
        let (index, reason) = pick(&table, &members, key, &|index| index == 3).unwrap();
        assert_eq!(reason, if own == 3 { Reason::Rehash } else { Reason::Hash });
        assert!(own == 3 || own == index, "the others stay");
        if own == 3 {
            counts[index] += 1;
        }
    }
    assert_eq!(counts[3], 0);
    let others = counts.iter().enumerate().filter(|(index, _)| *index != 3);
    assert!(others.clone().all(|(_, count)| (950..1_280).contains(count)), "{counts:?}");
}

#[test]
fn an_endpoint_that_is_passed_over_gets_one_probe_and_then_its_keys_back() {
    let members = members(3);
    let table = table(&members);
    let is_own = |key: &u64| pick(&table, &members, *key, &|_| false).unwrap().0 == 1;
    let own: Vec<u64> = keys(100).filter(is_own).collect();
    let load = &members[1].view.load;
    load.suspected(NOW);
    load.suspected(NOW);
    for key in &own {
        let (index, reason) = pick(&table, &members, *key, &|_| false).unwrap();
        assert!(index != 1 && reason == Reason::Rehash);
    }
    let later = NOW + Micros::from_secs(6);
    let reasons: Vec<Reason> =
        own.iter().map(|key| pick_at(&table, &members, *key, later, &|_| false).unwrap().1).collect();
    assert_eq!(reasons[0], Reason::Probe);
    assert!(reasons[1..].iter().all(|reason| *reason == Reason::Rehash), "one is enough");
    load.dial_succeeded(later);
    for key in &own {
        assert_eq!(pick_at(&table, &members, *key, later, &|_| false), Some((1, Reason::Hash)));
    }
}

#[test]
fn where_all_are_passed_over_a_key_stays_with_its_own() {
    let members = members(600);
    let table = table(&members);
    let own: Vec<_> = keys(50).map(|key| pick(&table, &members, key, &|_| false).unwrap().0).collect();
    for member in &members {
        member.view.load.suspected(NOW);
        member.view.load.suspected(NOW);
    }
    for (key, own) in keys(50).zip(own) {
        assert_eq!(pick(&table, &members, key, &|_| false), Some((own, Reason::LastResort)));
        assert_eq!(pick(&table, &members, key, &|_| true), None);
    }
}

#[test]
fn the_last_one_that_is_not_excluded_is_found() {
    let members = members(2_000);
    let table = table(&members);
    for key in keys(20) {
        assert_eq!(pick(&table, &members, key, &|index| index != 1_234), Some((1_234, Reason::Rehash)));
    }
}

fn any_members() -> impl Strategy<Value = Vec<Member>> {
    let weight = prop_oneof![4 => Just(1u32), 2 => 0..100u32, 1 => Just(1_000_000u32)];
    let spec = (0..1_000u32, weight, any::<bool>(), any::<bool>());
    prop::collection::vec(spec, 1..60).prop_map(|mut specs| {
        specs.sort_by_key(|spec| spec.0);
        specs.dedup_by_key(|spec| spec.0);
        let make = |(name, weight, ready, fallback): (u32, u32, bool, bool)| {
            let mut member = member(name, weight);
            (member.view.ready, member.view.fallback) = (ready, fallback);
            member
        };
        specs.into_iter().map(make).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn turns_are_due_by_weight(members in any_members()) {
        let counts = counts(&table_of(2_003, &members), &members);
        let candidates: Vec<(u64, u64)> = members
            .iter()
            .zip(&counts)
            .filter(|(_, count)| **count > 0)
            .map(|(member, count)| (u64::from(member.view.weight), u64::from(*count)))
            .collect();
        let ready = members.iter().any(|member| member.view.ready && member.view.weight > 0);
        for (member, count) in members.iter().zip(&counts) {
            let in_tier = if ready { member.view.ready } else { member.view.fallback };
            prop_assert_eq!(*count > 0, in_tier && member.view.weight > 0);
        }
        let heaviest = candidates.iter().map(|(weight, _)| *weight).max().unwrap_or(1);
        // Nobody has had a turn before one that was due earlier.
        for (weight, count) in &candidates {
            for (other, others) in &candidates {
                let last = ((count - 1) * heaviest).div_ceil(*weight);
                prop_assert!(last <= (others * heaviest).div_ceil(*other));
            }
        }
    }

    #[test]
    fn a_pick_is_a_candidate_that_is_not_excluded_if_there_is_one(
        members in any_members(), key in any::<u64>(), excluded in any::<u64>(), suspect in any::<u64>(),
    ) {
        let table = table_of(503, &members);
        let bit = |bits: u64, index: usize| (bits >> (index % 64)) & 1 == 1;
        for (_, member) in members.iter().enumerate().filter(|(index, _)| bit(suspect, *index)) {
            member.view.load.suspected(NOW);
            member.view.load.suspected(NOW);
        }
        let candidates = counts(&table, &members);
        let may = |index: usize| candidates[index] > 0 && !bit(excluded, index);
        let picked = pick(&table, &members, key, &|index| bit(excluded, index));
        prop_assert_eq!(picked, pick(&table, &members, key, &|index| bit(excluded, index)));
        let sure = (0..members.len()).any(|index| may(index) && !bit(suspect, index));
        match picked {
            None => prop_assert!(!(0..members.len()).any(may)),
            Some((index, reason)) => {
                prop_assert!(may(index));
                prop_assert_eq!(bit(suspect, index), reason == Reason::LastResort);
                prop_assert_eq!(sure, reason != Reason::LastResort);
            }
        }
    }
}

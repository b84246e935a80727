//! [`Maglev`]: the Endpoint of a key, by a table (Eisenbud et al. 2016, section 3.4).
//!
//! Each candidate has an order of its own in which it would take all slots of the table: from a first one on in even
//! steps, both made of its identity. Round by round each takes the first slot of its order that is still free, the
//! lighter ones not in every round, until none is free. A key's slot then holds its Endpoint.
//!
//! Laws
//! 1. The table is a function of its size and of the candidates' identities and weights (ready ones, else the fallback
//!    ones): the same in all workers, processes and replicas, in whatever order things came.
//! 2. A candidate has slots in proportion to its weight, rounded up for the lighter ones, so at least one if there are
//!    as many slots as candidates. Where weights differ by more than there are slots for each, the heaviest give some up.
//! 3. When a candidate comes or goes, its keys move, and few others: less than 0.7 % of all, at 65,537 slots and with up
//!    to 1,000 candidates.
//! 4. A pick has no chance in it and changes nothing but the right to probe: for the same key, table and health it
//!    is the same everywhere.
//! 5. Where a key's Endpoint is excluded or passed over, the key is hashed again, so that the keys of one Endpoint
//!    spread over all others; they are back with the first pick after it is fit again. A last resort is the first one
//!    that the key met.
//! 6. Slow start does not act here: it would move keys twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::{Dialable, EndpointView, Micros, Pick, Reason, Rng, SplitMix64, Tier};

/// Slots of a key that are looked at before all candidates are searched.
const HASHES: usize = 16;
/// Passed over candidates that a search meets before it takes all to be so.
const SEARCHED: usize = 256;
/// A slot that nobody has taken.
const FREE: u32 = u32::MAX;

/// How many slots a table has: a prime, so that every step leads through all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSize(u32);

impl TableSize {
    /// The greatest, as in Envoy.
    pub const MAX: u32 = 5_000_011;

    /// `None` if it is not a prime of at most [`TableSize::MAX`].
    pub fn new(size: u32) -> Option<Self> {
        let mut divisors = (2..).take_while(|divisor| divisor * divisor <= size);
        let is_valid =
            (2..=Self::MAX).contains(&size) && !divisors.any(|divisor| size.is_multiple_of(divisor));
        is_valid.then_some(Self(size))
    }
}

impl Default for TableSize {
    /// Even to within a hundredth up to about 1,000 candidates.
    fn default() -> Self {
        Self(65_537)
    }
}

/// What the table depends on. In this order candidates take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    identity: u64,
    weight: u32,
}

/// Places among the candidates.
#[derive(Debug)]
enum Slots {
    /// Half the memory: what is looked up stays in the processor's caches.
    Narrow(Box<[u16]>),
    Wide(Box<[u32]>),
}

impl Slots {
    fn at(&self, slot: usize) -> usize {
        match self {
            Self::Narrow(slots) => usize::from(slots[slot]),
            Self::Wide(slots) => slots[slot] as usize,
        }
    }
}

/// A table of slots over the candidates of a Backend.
#[derive(Debug)]
pub struct Maglev {
    size: TableSize,
    candidates: Arc<[Candidate]>,
    slots: Arc<Slots>,
    /// By place among the candidates the index into the views.
    members: Box<[u32]>,
}

impl Maglev {
    /// The table of `views`, by the hashes of their identities, which are told apart by them.
    pub fn new(size: TableSize, views: &[EndpointView], identities: &[u64]) -> Self {
        let (candidates, members) = candidates(views, identities);
        let slots = Arc::new(fill(size, &candidates));
        Self { size, candidates, slots, members }
    }

    /// The same of other views: built only where the candidates, their weights or the size differ.
    #[must_use]
    pub fn updated(&self, size: TableSize, views: &[EndpointView], identities: &[u64]) -> Self {
        let (candidates, members) = candidates(views, identities);
        if size == self.size && candidates == self.candidates {
            return Self { size, candidates, slots: Arc::clone(&self.slots), members };
        }
        let slots = Arc::new(fill(size, &candidates));
        Self { size, candidates, slots, members }
    }

    /// Whether both look up the same slots in memory.
    pub fn shares_slots_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.slots, &other.slots)
    }

    /// By slot the index into the views; nothing if there are no candidates.
    pub fn slots(&self) -> impl Iterator<Item = usize> + '_ {
        let count = if self.members.is_empty() { 0 } else { self.size.0 as usize };
        (0..count).map(|slot| self.members[self.slots.at(slot)] as usize)
    }

    /// The Endpoint of `key`, a hash whose high bits are even; `None` if there is no candidate that is not excluded.
    ///
    /// `views` are those that the table was made of, `exclude` tells whether an index was tried before. It is asked
    /// for few indices only.
    #[inline]
    pub fn pick(
        &self,
        views: &[EndpointView],
        key: u64,
        now: Micros,
        exclude: &dyn Fn(usize) -> bool,
    ) -> Option<Pick> {
        if self.members.is_empty() {
            return None;
        }
        let index = self.members[self.place(key)] as usize;
        if !exclude(index) && views[index].load.dialable(now) == Dialable::Yes {
            return Some(Pick { index, reason: Reason::Hash });
        }
        self.pick_further(views, key, now, exclude)
    }

    /// The place among the candidates that a hash falls on.
    fn place(&self, hash: u64) -> usize {
        let slot = (u128::from(hash) * u128::from(self.size.0)) >> 64;
        self.slots.at(slot as usize)
    }

    /// The same for a key whose first slot may not do.
    fn pick_further(
        &self,
        views: &[EndpointView],
        key: u64,
        now: Micros,
        exclude: &dyn Fn(usize) -> bool,
    ) -> Option<Pick> {
        let mut search = Search { views, now, exclude, last_resort: None, passed_over: 0 };
        let mut place = self.place(key);
        let mut hashes = SplitMix64::new(key);
        for tried in 0..HASHES {
            let reason = if tried == 0 { Reason::Hash } else { Reason::Rehash };
            if let Some(pick) = search.judge(self.members[place], reason) {
                return Some(pick);
            }
            place = self.place(hashes.next_u64());
        }
        let (late, early) = self.members.split_at(place);
        for index in early.iter().chain(late) {
            if let Some(pick) = search.judge(*index, Reason::Rehash) {
                return Some(pick);
            }
            if search.passed_over > SEARCHED {
                break;
            }
        }
        search.last_resort
    }
}

/// A look for an Endpoint that may be taken.
struct Search<'a> {
    views: &'a [EndpointView],
    now: Micros,
    exclude: &'a dyn Fn(usize) -> bool,
    last_resort: Option<Pick>,
    passed_over: usize,
}

impl Search<'_> {
    /// The pick of an Endpoint, if it may be taken. A probe must be: the right to it was claimed.
    fn judge(&mut self, index: u32, reason: Reason) -> Option<Pick> {
        let index = index as usize;
        if (self.exclude)(index) {
            return None;
        }
        let load = &self.views[index].load;
        match load.dialable(self.now) {
            Dialable::Yes => Some(Pick { index, reason }),
            Dialable::Probe if load.claim_probe(self.now) => Some(Pick { index, reason: Reason::Probe }),
            Dialable::Probe | Dialable::PassedOver => {
                self.last_resort.get_or_insert(Pick { index, reason: Reason::LastResort });
                self.passed_over += 1;
                None
            }
        }
    }
}

/// The candidates in the order in which they take turns, and their indices into the views.
fn candidates(views: &[EndpointView], identities: &[u64]) -> (Arc<[Candidate]>, Box<[u32]>) {
    let tier = Tier::of(views);
    let mut found: Vec<(Candidate, u32)> = (0u32..)
        .zip(views.iter().zip(identities))
        .filter(|(_, (view, _))| tier.takes(view))
        .map(|(index, (view, identity))| (Candidate { identity: *identity, weight: view.weight }, index))
        .collect();
    found.sort_unstable();
    let members = found.iter().map(|(_, index)| *index).collect();
    (found.into_iter().map(|(candidate, _)| candidate).collect(), members)
}

/// The order in which a candidate would take the slots: where it stands, and its step.
struct Order {
    next: u32,
    step: u32,
}

impl Order {
    fn of(identity: u64, size: u32) -> Self {
        let mut hashes = SplitMix64::new(identity);
        let mut below = |bound: u32| (hashes.next_u64() % u64::from(bound)) as u32;
        Self { next: below(size), step: 1 + below(size - 1) }
    }

    /// Takes the first free slot of the order. Precondition: there is one.
    fn take(&mut self, slots: &mut [u32], candidate: u32) {
        let size = slots.len() as u32;
        loop {
            let slot = &mut slots[self.next as usize];
            self.next += self.step;
            if self.next >= size {
                self.next -= size;
            }
            if *slot == FREE {
                *slot = candidate;
                return;
            }
        }
    }
}

/// Lets the candidates take turns until no slot is free.
fn fill(size: TableSize, candidates: &[Candidate]) -> Slots {
    let mut slots = vec![FREE; size.0 as usize];
    let mut orders: Vec<Order> = candidates.iter().map(|it| Order::of(it.identity, size.0)).collect();
    let mut take = |candidate: u32| orders[candidate as usize].take(&mut slots, candidate);
    let all = 0..candidates.len() as u32;
    let heaviest = candidates.iter().map(|it| it.weight).max().unwrap_or_default();
    if candidates.iter().all(|it| it.weight == heaviest) {
        all.cycle().take(size.0 as usize).for_each(&mut take);
    } else {
        // All take part in the first round; a turn more is due in the round that its weight has come to.
        let mut taken = vec![0u64; candidates.len()];
        let mut due: BinaryHeap<Reverse<(u64, u32)>> = all.map(|candidate| Reverse((0, candidate))).collect();
        for _ in 0..size.0 {
            let Some(mut first) = due.peek_mut() else { break };
            let Reverse((round, candidate)) = &mut *first;
            take(*candidate);
            let turns = &mut taken[*candidate as usize];
            *turns += 1;
            let weight = candidates[*candidate as usize].weight;
            *round = (*turns * u64::from(heaviest)).div_ceil(u64::from(weight));
        }
    }
    if u16::try_from(candidates.len()).is_ok() {
        Slots::Narrow(slots.into_iter().map(|candidate| candidate as u16).collect())
    } else {
        Slots::Wide(slots.into())
    }
}

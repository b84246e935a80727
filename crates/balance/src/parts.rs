//! Which workers keep connections to which Endpoints of a large Backend.
//!
//! With many Endpoints and many workers each connection would be used so seldom that it goes cold. So each worker has
//! a part of the Endpoints.
//!
//! The rule is rendezvous hashing from the Endpoint's side, with firm seats. Each Endpoint ranks the workers by a hash
//! of its identity and the worker, and asks the `copies` highest to have it. A worker has firm seats for a 64th less
//! than its even share, and gives them to those who rank it highest; whom it turns down asks the next. When all firm
//! seats are taken, those without one go to the workers that they rank highest, firm seat or not. The order of asking
//! does not matter (this is deferred acceptance, Gale and Shapley 1962). So they ask in rounds, and pass over workers that
//! would turn them down.
//!
//! Laws
//! 1. There are parts from [`MIN_ENDPOINTS`] + 1 candidates on (ready ones with weight, else the fallback ones), if
//!    candidates × workers is at least [`MIN_CONNECTIONS`] and a part is smaller than the whole. `copies` is the least
//!    number that gives parts of about [`MIN_ENDPOINTS`] where weights are equal.
//! 2. Each Endpoint is in exactly `copies` parts; one heavier than a 32nd of a part is in more, with less of its
//!    weight in each, so that seats can be given out evenly. So no Endpoint is left out.
//! 3. Workers with the same number of requests give no Endpoint more than a 20th above its share, with unequal weights
//!    an 8th: the firm seats see to that. Plain rendezvous hashing gives up to four 10ths more, and if each worker
//!    chose its Endpoints, some would be left out.
//! 4. The parts are a function of the candidates' identities and weights and of the number of workers: the same on all
//!    replicas, in whatever order things came. Where two Backends share an Endpoint, mostly the same workers have it.
//! 5. When an Endpoint comes or goes, it changes the parts that have it; besides, about one other for each four to
//!    eight workers moves, unless `copies` changes.
//!
//! The price: an Endpoint's share is that of its workers' traffic. A single busy connection reaches one part only.
//! Why so and not otherwise: `docs/adr/0005-parts-of-large-backends.md`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{EndpointView, Rng, SplitMix64, Tier};

/// Up to so many candidates all workers use all; about the size of the smallest part.
pub const MIN_ENDPOINTS: usize = 64;
/// Below so many connections, one per candidate and worker, all workers use all.
pub const MIN_CONNECTIONS: usize = 512;
/// This fraction of a worker's even share is not in firm seats.
const LOOSE: u64 = 64;
/// The greatest fraction of a part that one Endpoint may be, unless it is in all.
const HEAVIEST: u64 = 32;
/// What weights are multiplied by before they are divided.
const FINE: u64 = 256;

/// An Endpoint in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Index into the views.
    pub index: u32,
    /// Its weight within the part.
    pub weight: u32,
}

/// The parts by worker, each in the order of the views.
pub type Parts = Box<[Box<[Member]>]>;

/// How high an Endpoint ranks a worker: by the hash of both, with the worker's number in the low bits. Numbers
/// start at 1, so no rank is 0.
type Rank = u64;

/// The bits of a rank that hold the worker; no process has more workers.
const WORKER: Rank = 0xFFFF;

/// An Endpoint that looks for workers.
#[derive(Debug)]
struct Seeker {
    member: Member,
    identity: u64,
    /// The worker asked last.
    asked: Rank,
    copies: u32,
    /// How many of them have no worker.
    missing: u32,
}

impl Seeker {
    /// The worker to ask next; `None` if the others would turn it away.
    fn next(&self, workers: &[Worker]) -> Option<Rank> {
        let open = |worker: &Worker| {
            let rank = worker.rank(self);
            if rank < self.asked && rank >= worker.bar { rank } else { 0 }
        };
        workers.iter().map(open).max().filter(|rank| *rank > 0)
    }
}

/// Who has a seat. The least gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    standing: Rank,
    /// Index of the seeker.
    seeker: u32,
    weight: u32,
}

/// A worker and its firm seats, counted as weight × [`FINE`].
#[derive(Debug)]
struct Worker {
    number: Rank,
    salt: u64,
    firm: u64,
    taken: u64,
    holders: BinaryHeap<Reverse<Holder>>,
    /// Who asks in this round.
    asking: Vec<Reverse<Holder>>,
    /// Who ranks the worker lower is turned away; 0 as long as firm seats are free. It never falls.
    bar: Rank,
}

impl Worker {
    fn all(count: u64, seekers: &[Seeker]) -> Vec<Self> {
        let (mut wanted, mut weight) = (0, 0);
        for seeker in seekers {
            wanted += u64::from(seeker.copies);
            weight += u64::from(seeker.copies) * seats(seeker.member.weight);
        }
        let (even, one) = (weight / count, weight / wanted);
        let worker = |index| Self {
            number: index + 1,
            salt: SplitMix64::new(index).next_u64(),
            // A little less for each worker: so an Endpoint more does not give all of them a seat more at once.
            firm: even - even / LOOSE - one * index / count,
            taken: 0,
            holders: BinaryHeap::new(),
            asking: Vec::new(),
            bar: 0,
        };
        (0..count).map(worker).collect()
    }

    fn rank(&self, seeker: &Seeker) -> Rank {
        SplitMix64::new(seeker.identity ^ self.salt).next_u64() & !WORKER | self.number
    }

    /// Gives a seat to all who ask. A heap made of many at once is cheaper than one that grows.
    fn seat(&mut self) {
        self.taken += self.asking.iter().map(|Reverse(holder)| seats(holder.weight)).sum::<u64>();
        self.holders.append(&mut BinaryHeap::from(std::mem::take(&mut self.asking)));
    }

    /// Turns the least holder away, if no firm seat is free without it.
    fn turn_away(&mut self) -> Option<Holder> {
        let Reverse(least) = *self.holders.peek()?;
        let without = self.taken - seats(least.weight);
        if without < self.firm {
            if self.taken >= self.firm {
                self.bar = least.standing;
            }
            return None;
        }
        self.taken = without;
        self.holders.pop();
        Some(least)
    }
}

/// What an Endpoint of this weight takes of a worker's seats.
fn seats(weight: u32) -> u64 {
    u64::from(weight) * FINE
}

/// Who is in a part: a bit per seeker, so that they come out in their order.
#[derive(Debug)]
struct Marks(Vec<u64>);

impl Marks {
    fn new(holders: &BinaryHeap<Reverse<Holder>>, seekers: usize) -> Self {
        let mut marks = Self(vec![0; seekers.div_ceil(64)]);
        for Reverse(holder) in holders {
            marks.set(holder.seeker as usize);
        }
        marks
    }

    fn set(&mut self, seeker: usize) {
        self.0[seeker / 64] |= 1 << (seeker % 64);
    }

    fn has(&self, seeker: usize) -> bool {
        self.0[seeker / 64] & (1 << (seeker % 64)) != 0
    }

    fn members(&self, seekers: &[Seeker]) -> Box<[Member]> {
        let count = self.0.iter().map(|bits| bits.count_ones() as usize).sum();
        let mut members = Vec::with_capacity(count);
        for (seekers, bits) in seekers.chunks(64).zip(&self.0) {
            let mut bits = *bits;
            while bits != 0 {
                members.push(seekers[bits.trailing_zeros() as usize].member);
                bits &= bits - 1;
            }
        }
        members.into()
    }
}

/// The parts of `workers` workers; `None`: each uses all. `identities` holds a hash of each view's identity.
pub fn parts(views: &[EndpointView], identities: &[u64], workers: usize) -> Option<Parts> {
    let tier = Tier::of(views);
    let mut seekers = Vec::with_capacity(views.len());
    let (mut total, mut heaviest) = (0, 0);
    for (index, (view, identity)) in (0..).zip(views.iter().zip(identities)) {
        if tier.takes(view) {
            let member = Member { index, weight: view.weight };
            seekers.push(Seeker { member, identity: *identity, asked: Rank::MAX, copies: 0, missing: 0 });
            total += u64::from(view.weight);
            heaviest = heaviest.max(view.weight);
        }
    }
    let count = seekers.len();
    if count <= MIN_ENDPOINTS || count * workers < MIN_CONNECTIONS || workers as Rank > WORKER {
        return None;
    }
    let copies = (MIN_ENDPOINTS * workers).div_ceil(count);
    if copies >= workers {
        return None;
    }
    let copies_of = |weight: u32| {
        let least = (u64::from(weight) * HEAVIEST * workers as u64).div_ceil(total) as usize;
        least.clamp(copies, workers)
    };
    let unequal = copies_of(heaviest) > copies;
    for seeker in &mut seekers {
        let mut own = copies;
        if unequal {
            own = copies_of(seeker.member.weight);
            let fine = u64::from(seeker.member.weight) * FINE * copies as u64 / own as u64;
            seeker.member.weight = u32::try_from(fine).unwrap_or(u32::MAX);
        }
        seeker.copies = own as u32;
        seeker.missing = seeker.copies;
    }
    Some(assign(seekers, workers))
}

fn assign(mut seekers: Vec<Seeker>, workers: usize) -> Parts {
    let mut workers = Worker::all(workers as u64, &seekers);
    take_firm_seats(&mut seekers, &mut workers);
    let mut parts: Vec<Marks> =
        workers.iter().map(|worker| Marks::new(&worker.holders, seekers.len())).collect();
    for (index, seeker) in seekers.iter().enumerate() {
        for _ in 0..seeker.missing {
            let others = workers.iter().zip(&parts).filter(|(_, part)| !part.has(index));
            if let Some(rank) = others.map(|(worker, _)| worker.rank(seeker)).max() {
                parts[place(rank)].set(index);
            }
        }
    }
    parts.iter().map(|part| part.members(&seekers)).collect()
}

/// Fills the firm seats. Who finds too few of them is left with some missing.
fn take_firm_seats(seekers: &mut [Seeker], workers: &mut [Worker]) {
    let mut asking: Vec<u32> = (0..seekers.len() as u32).collect();
    while !asking.is_empty() {
        for index in asking.drain(..) {
            let seeker = &mut seekers[index as usize];
            while seeker.missing > 0
                && let Some(rank) = seeker.next(workers)
            {
                // Who is to be everywhere is not left to chance.
                let standing = if seeker.copies as usize == workers.len() { Rank::MAX } else { rank };
                let holder = Holder { standing, seeker: index, weight: seeker.member.weight };
                workers[place(rank)].asking.push(Reverse(holder));
                seeker.asked = rank;
                seeker.missing -= 1;
            }
        }
        for worker in &mut *workers {
            worker.seat();
            while let Some(holder) = worker.turn_away() {
                let seeker = &mut seekers[holder.seeker as usize];
                // Who missed one before is about to ask, or has nobody left to ask.
                if seeker.missing == 0 {
                    asking.push(holder.seeker);
                }
                seeker.missing += 1;
            }
        }
    }
}

/// Index of the worker of this rank.
fn place(rank: Rank) -> usize {
    (rank & WORKER) as usize - 1
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{EndpointLoad, Micros};

    fn views(weights: impl IntoIterator<Item = u32>) -> (Vec<EndpointView>, Vec<u64>) {
        let view = |weight| EndpointView {
            load: Arc::new(EndpointLoad::new(Micros::ZERO, 1)),
            weight,
            ready: true,
            fallback: false,
        };
        let views: Vec<EndpointView> = weights.into_iter().map(view).collect();
        let identities = (0..views.len() as u64).collect();
        (views, identities)
    }

    fn sizes(count: usize, workers: usize) -> Option<Vec<usize>> {
        let (views, identities) = views(vec![1; count]);
        let parts = parts(&views, &identities, workers)?;
        Some(parts.iter().map(|part| part.len()).collect())
    }

    #[test]
    fn few_endpoints_or_few_workers_use_all() {
        assert_eq!(sizes(64, 256), None);
        assert_eq!(sizes(127, 4), None, "508 connections");
        assert_eq!(sizes(65, 8), None, "a part of 64 would be nearly all");
        assert_eq!(sizes(10_000, 1), None);
        assert_eq!(sizes(128, 4).unwrap().iter().sum::<usize>(), 256);
        assert_eq!(sizes(256, 2).unwrap().iter().sum::<usize>(), 256);
    }

    #[test]
    fn only_candidates_take_part() {
        let (mut views, identities) = views([1; 600]);
        for view in &mut views[..300] {
            view.ready = false;
            view.fallback = true;
        }
        let all = |views: &[EndpointView]| -> Vec<u32> {
            let parts = parts(views, &identities, 2).unwrap();
            let mut all: Vec<u32> = parts.iter().flatten().map(|member| member.index).collect();
            all.sort_unstable();
            all
        };
        assert_eq!(all(&views), (300..600).collect::<Vec<u32>>());
        for view in &mut views {
            view.ready = false;
        }
        assert_eq!(all(&views), (0..300).collect::<Vec<u32>>());
    }
}

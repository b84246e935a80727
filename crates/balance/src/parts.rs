//! Which workers keep connections to which Endpoints of a large Backend.
//!
//! With many Endpoints and many workers each connection would be used so seldom that it goes cold. So each worker has
//! a part of the Endpoints.
//!
//! The rule is rendezvous hashing from the Endpoint's side, with firm seats. Each Endpoint ranks the workers by a hash
//! of its identity and the worker, and asks the `copies` highest to have it. A worker has firm seats for a 64th less
//! than its even share, and gives them to those who rank it highest; whom it turns down asks the next. When all firm
//! seats are taken, those without one go to the workers that they rank highest, firm seat or not. The order of asking
//! does not matter (this is deferred acceptance, Gale and Shapley 1962).
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

/// How high an Endpoint ranks a worker: by the hash of both, with the worker's index in the low bits.
type Rank = u64;

/// The bits of a rank that hold the worker; no process has more workers.
const WORKER: Rank = 0xFFFF;

/// An Endpoint that looks for workers.
#[derive(Debug)]
struct Seeker {
    member: Member,
    identity: u64,
    copies: usize,
    /// The worker asked last.
    asked: Rank,
}

impl Seeker {
    /// What it takes of a worker's seats.
    fn seats(&self) -> u64 {
        u64::from(self.member.weight) * FINE
    }

    fn rank(&self, worker: usize, salt: u64) -> Rank {
        SplitMix64::new(self.identity ^ salt).next_u64() & !WORKER | worker as Rank
    }

    /// The worker to ask next; `None` after the last.
    fn next(&mut self, salts: &[u64]) -> Option<Rank> {
        let ranks = salts.iter().enumerate().map(|(worker, salt)| self.rank(worker, *salt));
        let next = ranks.filter(|rank| *rank < self.asked).max()?;
        self.asked = next;
        Some(next)
    }
}

/// A worker's firm seats, counted as weight × [`FINE`].
#[derive(Debug, Default)]
struct Seats {
    firm: u64,
    taken: u64,
    /// By index of the seeker; the one who ranks this worker lowest is on top.
    holders: BinaryHeap<Reverse<(Rank, u32)>>,
}

/// The parts of `workers` workers; `None`: each uses all. `identities` holds a hash of each view's identity.
pub fn parts(views: &[EndpointView], identities: &[u64], workers: usize) -> Option<Parts> {
    let tier = Tier::of(views);
    let candidates = || (0u32..).zip(views.iter().zip(identities)).filter(|(_, (view, _))| tier.takes(view));
    let (count, total) = candidates()
        .fold((0, 0), |(count, total), (_, (view, _))| (count + 1, total + u64::from(view.weight)));
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
    let fine = candidates().any(|(_, (view, _))| copies_of(view.weight) > copies);
    let seekers = candidates().map(|(index, (view, identity))| {
        let own = copies_of(view.weight);
        let weight = if fine {
            u32::try_from(u64::from(view.weight) * FINE * copies as u64 / own as u64).unwrap_or(u32::MAX)
        } else {
            view.weight
        };
        Seeker { member: Member { index, weight }, identity: *identity, copies: own, asked: Rank::MAX }
    });
    Some(assign(seekers.collect(), workers))
}

fn assign(mut seekers: Vec<Seeker>, workers: usize) -> Parts {
    let salts: Vec<u64> = (0..workers as u64).map(|worker| SplitMix64::new(worker).next_u64()).collect();
    let (mut seats, homeless) = take_firm_seats(&mut seekers, &salts);
    let mut parts: Vec<Vec<u32>> = seats
        .iter_mut()
        .map(|seats| {
            let mut part: Vec<u32> = seats.holders.drain().map(|Reverse((_, seeker))| seeker).collect();
            part.sort_unstable();
            part
        })
        .collect();
    let firm: Vec<usize> = parts.iter().map(Vec::len).collect();
    for (seeker, missing) in homeless {
        let found = &seekers[seeker as usize];
        let has = |worker: usize| parts[worker][..firm[worker]].binary_search(&seeker).is_ok();
        let mut ranks: Vec<Rank> = (0..workers)
            .filter(|worker| !has(*worker))
            .map(|worker| found.rank(worker, salts[worker]))
            .collect();
        ranks.sort_unstable();
        for rank in ranks.iter().rev().take(missing) {
            parts[(rank & WORKER) as usize].push(seeker);
        }
    }
    let members = |mut part: Vec<u32>| {
        part.sort_unstable();
        part.iter().map(|seeker| seekers[*seeker as usize].member).collect()
    };
    parts.into_iter().map(members).collect()
}

/// Fills the firm seats. Gives also who found too few, by seeker, and how many it misses.
fn take_firm_seats(seekers: &mut [Seeker], salts: &[u64]) -> (Vec<Seats>, Vec<(u32, usize)>) {
    let workers = salts.len() as u64;
    let (mut wanted, mut weight) = (0, 0);
    for seeker in seekers.iter() {
        wanted += seeker.copies as u64;
        weight += seeker.copies as u64 * seeker.seats();
    }
    let (even, one) = (weight / workers, weight / wanted);
    // A little less for each worker: so an Endpoint more does not give all of them a seat more at once.
    let firm = |worker: u64| even - even / LOOSE - one * worker / workers;
    let mut seats: Vec<Seats> =
        (0..workers).map(|worker| Seats { firm: firm(worker), ..Seats::default() }).collect();
    let mut asking: Vec<u32> = Vec::with_capacity(wanted as usize);
    for (index, seeker) in (0u32..).zip(seekers.iter()) {
        asking.extend(std::iter::repeat_n(index, seeker.copies));
    }
    let mut homeless = Vec::new();
    while let Some(index) = asking.pop() {
        let Some(rank) = seekers[index as usize].next(salts) else {
            homeless.push(index);
            continue;
        };
        let seeker = &seekers[index as usize];
        // Who is to be everywhere is not left to chance.
        let standing = if seeker.copies == salts.len() { Rank::MAX } else { rank };
        let seats = &mut seats[(rank & WORKER) as usize];
        seats.holders.push(Reverse((standing, index)));
        seats.taken += seeker.seats();
        while let Some(Reverse((_, lowest))) = seats.holders.peek().copied() {
            let without = seats.taken - seekers[lowest as usize].seats();
            if without < seats.firm {
                break;
            }
            seats.holders.pop();
            seats.taken = without;
            asking.push(lowest);
        }
    }
    homeless.sort_unstable();
    let missing = homeless.chunk_by(PartialEq::eq).map(|chunk| (chunk[0], chunk.len())).collect();
    (seats, missing)
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

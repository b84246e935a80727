//! Smooth weighted round robin in constant time.
//!
//! The smooth scheme (nginx 2012): each entry's credit grows by its weight, the richest is served and pays the total.
//! It spreads 5:1:1 as `aabacaa`, but costs a pass over all entries. Here that pass is over *lanes*:
//! * few entries, or weights that differ: a lane each, the scheme as it is;
//! * equal weights: one lane with all;
//! * many entries: a lane for each doubling of weight. Inside it entries take turns; each visit earns an entry
//!   its weight, and once it owns the lane's greatest weight it pays that and is served (at most two visits
//!   per pick on average).
//!
//! Laws
//! 1. Over any run of picks an entry's count is within 2.5 of its share.
//! 2. The phase is random from the first pick: entry by entry, so that a light entry's first turn is uniform over its
//!    period, and so that workers and replicas do not march in step.
//! 3. Credit and position stay with the entries and lanes that stay.

use rustc_hash::FxHashMap;

use crate::Rng;

/// Above this number entries share lanes.
const OWN_LANES: usize = 24;

/// Steps that a random phase is chosen from, where the schedule's period is longer.
const PHASE_STEPS: i64 = 1_024;

/// An entry: what identifies it across updates, and its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: usize,
    pub(crate) weight: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LaneKey {
    All,
    Entry(usize),
    Doubling(u32),
}

#[derive(Clone, Debug)]
struct Lane {
    key: LaneKey,
    /// Sum of its entries' weights.
    weight: i64,
    credit: i64,
    /// Its entries' greatest weight: what a turn costs.
    price: u32,
    seats: Vec<Seat>,
    cursor: usize,
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    /// Index of the entry.
    index: u32,
    weight: u32,
    /// Below the lane's price.
    credit: u32,
}

/// Whose turn it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    entries: Vec<Entry>,
    lanes: Vec<Lane>,
    total: i64,
}

impl Turns {
    pub(crate) fn new(entries: Vec<Entry>, rng: &mut impl Rng) -> Self {
        let mut turns = Self::default();
        turns.update(entries, rng);
        turns
    }

    /// The index of the entry whose turn it is; `None` if all weights are 0.
    pub(crate) fn next(&mut self) -> Option<usize> {
        let lane = match self.lanes.as_mut_slice() {
            [] => return None,
            [only] => only,
            lanes => {
                let richest = serve(lanes.iter_mut().map(|lane| (lane.weight, &mut lane.credit)));
                let lane = &mut lanes[richest];
                lane.credit -= self.total;
                lane
            }
        };
        Some(lane.next())
    }

    /// Takes over new entries; weight 0 has no turn.
    pub(crate) fn update(&mut self, entries: Vec<Entry>, rng: &mut impl Rng) {
        let kept = Kept::new(&self.entries, &entries);
        let old = std::mem::take(&mut self.lanes);
        self.lanes = seat(&entries);
        self.total = self.lanes.iter().map(|lane| lane.weight).sum();
        self.keep_seats(&old, &kept, rng);
        self.keep_lanes(&old, &kept, rng);
        self.entries = entries;
    }

    /// Gives seats of entries that stay their credit, and new ones a random one.
    fn keep_seats(&mut self, old: &[Lane], kept: &Kept, rng: &mut impl Rng) {
        for lane in &mut self.lanes {
            lane.cursor = rng.below(lane.seats.len() as u32) as usize;
        }
        if matches!(self.lanes.as_slice(), [Lane { key: LaneKey::All, .. }]) {
            return; // a seat with the lane's greatest weight is served at each visit: its credit does not matter
        }
        let mut credits = vec![None; kept.old_len];
        for seat in old.iter().flat_map(|lane| &lane.seats) {
            credits[seat.index as usize] = Some(seat.credit);
        }
        for lane in &mut self.lanes {
            for seat in &mut lane.seats {
                let credit = kept.old_index(seat.index as usize).and_then(|index| credits[index]);
                seat.credit =
                    credit.map_or_else(|| rng.below(lane.price), |credit| credit.min(lane.price - 1));
            }
        }
    }

    /// Gives lanes that stay their credit and position, and new ones a random phase.
    fn keep_lanes(&mut self, old: &[Lane], kept: &Kept, rng: &mut impl Rng) {
        let mut stayed: Vec<Option<i64>> = Vec::with_capacity(self.lanes.len());
        // Both sides are short.
        for lane in &mut self.lanes {
            let before = old.iter().find(|before| before.key == lane.key);
            if let Some(before) = before {
                lane.keep_position(before, kept);
            }
            stayed.push(before.map(|before| before.credit));
        }
        if stayed.contains(&None) {
            self.randomise(rng);
        }
        // Only differences between credits matter. Without centring, what left with its debts would leave the
        // others rich or poor together, and a newcomer would wait for long or be served in a row.
        let (sum, count) =
            stayed.iter().flatten().fold((0, 0), |(sum, count), credit| (sum + credit, count + 1));
        let mean = sum / i64::max(count, 1);
        for (lane, stayed) in self.lanes.iter_mut().zip(stayed) {
            if let Some(credit) = stayed {
                lane.credit = (credit - mean).clamp(-self.total, self.total);
            }
        }
    }

    /// Lets a random number of picks pass, so that the schedule starts anywhere in its period. A long period is passed
    /// in fewer, coarser steps: only the phase needs to be right, not the steps that led to it.
    fn randomise(&mut self, rng: &mut impl Rng) {
        if self.lanes.len() < 2 {
            return;
        }
        let divisor = self.lanes.iter().fold(0, |divisor, lane| gcd(divisor, lane.weight));
        let scale = (self.total / PHASE_STEPS).max(divisor);
        let mut coarse: Vec<(i64, i64)> =
            self.lanes.iter().map(|lane| ((lane.weight / scale).max(1), 0)).collect();
        let total: i64 = coarse.iter().map(|(weight, _)| weight).sum();
        for _ in 0..rng.below(total as u32) {
            let richest = serve(coarse.iter_mut().map(|(weight, credit)| (*weight, credit)));
            coarse[richest].1 -= total;
        }
        for (lane, (_, credit)) in self.lanes.iter_mut().zip(coarse) {
            lane.credit = credit * self.total / total;
        }
    }
}

/// Lets each credit grow by its weight; the position of the greatest, which is to pay the total. Ties go to the first.
fn serve<'a>(accounts: impl Iterator<Item = (i64, &'a mut i64)>) -> usize {
    let mut richest = 0;
    let mut most = i64::MIN;
    for (position, (weight, credit)) in accounts.enumerate() {
        *credit += weight;
        if *credit > most {
            (richest, most) = (position, *credit);
        }
    }
    richest
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Lane {
    fn next(&mut self) -> usize {
        loop {
            let last = self.cursor + 1 == self.seats.len();
            let seat = &mut self.seats[self.cursor];
            self.cursor = if last { 0 } else { self.cursor + 1 };
            let credit = seat.credit + seat.weight;
            if credit >= self.price {
                seat.credit = credit - self.price;
                return seat.index as usize;
            }
            seat.credit = credit;
        }
    }

    /// Goes on with the first entry, in the old order, that is still here.
    fn keep_position(&mut self, before: &Self, kept: &Kept) {
        let (late, early) = before.seats.split_at(before.cursor);
        for old in early.iter().chain(late) {
            let Some(index) = kept.new_index(old.index as usize) else { continue };
            // Seats are in the order of their indices.
            if let Ok(cursor) = self.seats.binary_search_by_key(&(index as u32), |seat| seat.index) {
                self.cursor = cursor;
                return;
            }
        }
    }
}

/// Puts entries into lanes, without credit.
fn seat(entries: &[Entry]) -> Vec<Lane> {
    let mut weights = entries.iter().map(|entry| entry.weight).filter(|&weight| weight > 0);
    let first = weights.next();
    let equal = weights.all(|weight| Some(weight) == first);
    let mut lanes: Vec<Lane> = Vec::new();
    let mut lane_of_doubling = [usize::MAX; 32];
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.weight > 0) {
        let doubling = entry.weight.ilog2();
        let (key, known) = if equal {
            (LaneKey::All, lanes.len().checked_sub(1))
        } else if entries.len() <= OWN_LANES {
            (LaneKey::Entry(entry.id), None)
        } else {
            let lane = lane_of_doubling[doubling as usize];
            (LaneKey::Doubling(doubling), (lane != usize::MAX).then_some(lane))
        };
        let lane = known.unwrap_or_else(|| {
            lane_of_doubling[doubling as usize] = lanes.len();
            lanes.push(Lane { key, weight: 0, credit: 0, price: 0, seats: Vec::new(), cursor: 0 });
            lanes.len() - 1
        });
        let lane = &mut lanes[lane];
        lane.weight += i64::from(entry.weight);
        lane.price = lane.price.max(entry.weight);
        lane.seats.push(Seat { index: index as u32, weight: entry.weight, credit: 0 });
    }
    lanes
}

/// Which entries stay, by index. What is equal at both ends costs a comparison each; only between them,
/// normally where one entry came or went, are identities looked up.
struct Kept {
    prefix: usize,
    suffix: usize,
    old_len: usize,
    new_len: usize,
    old_by_new: FxHashMap<usize, usize>,
    new_by_old: FxHashMap<usize, usize>,
}

impl Kept {
    fn new(old: &[Entry], new: &[Entry]) -> Self {
        let same = |(a, b): &(&Entry, &Entry)| a.id == b.id;
        let prefix = old.iter().zip(new).take_while(same).count();
        let suffix = old[prefix..].iter().rev().zip(new[prefix..].iter().rev()).take_while(same).count();
        let mut kept = Self {
            prefix,
            suffix,
            old_len: old.len(),
            new_len: new.len(),
            old_by_new: FxHashMap::default(),
            new_by_old: FxHashMap::default(),
        };
        let by_id: FxHashMap<usize, usize> =
            (prefix..old.len() - suffix).map(|index| (old[index].id, index)).collect();
        if !by_id.is_empty() {
            for (index, entry) in new.iter().enumerate().take(new.len() - suffix).skip(prefix) {
                if let Some(&before) = by_id.get(&entry.id) {
                    kept.old_by_new.insert(index, before);
                    kept.new_by_old.insert(before, index);
                }
            }
        }
        kept
    }

    fn old_index(&self, new: usize) -> Option<usize> {
        if new < self.prefix {
            Some(new)
        } else if new >= self.new_len - self.suffix {
            Some(new + self.old_len - self.new_len)
        } else {
            self.old_by_new.get(&new).copied()
        }
    }

    fn new_index(&self, old: usize) -> Option<usize> {
        if old < self.prefix {
            Some(old)
        } else if old >= self.old_len - self.suffix {
            Some(old + self.new_len - self.old_len)
        } else {
            self.new_by_old.get(&old).copied()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SplitMix64;

    /// Chooses phase 0.
    struct Zero;

    impl Rng for Zero {
        fn next_u64(&mut self) -> u64 {
            0
        }
    }

    fn entries(weights: &[u32]) -> Vec<Entry> {
        weights.iter().enumerate().map(|(id, &weight)| Entry { id, weight }).collect()
    }

    /// The greatest distance of an entry's count from its share, over all entries and prefixes.
    fn prefix_error(weights: &[u32], picks: usize, rng: &mut impl Rng) -> f64 {
        let mut turns = Turns::new(entries(weights), rng);
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let share: Vec<f64> = weights.iter().map(|&weight| f64::from(weight) / total).collect();
        let mut counts = vec![0f64; weights.len()];
        let mut worst = 0f64;
        for pick in 1..=picks {
            let index = turns.next().unwrap();
            // An entry is furthest behind just before its turn and furthest ahead just after.
            worst = worst.max(share[index] * (pick - 1) as f64 - counts[index]);
            counts[index] += 1.0;
            worst = worst.max(counts[index] - share[index] * pick as f64);
        }
        let behind = (0..weights.len()).map(|i| (share[i] * picks as f64 - counts[i]).abs());
        behind.fold(worst, f64::max)
    }

    #[test]
    fn five_one_one_is_smooth() {
        let mut turns = Turns::new(entries(&[5, 1, 1]), &mut Zero);
        let order: String = (0..14).map(|_| ['a', 'b', 'c'][turns.next().unwrap()]).collect();
        assert_eq!(order, "aabacaaaabacaa");
    }

    #[test]
    fn the_prefix_error_is_small_for_few() {
        let mut rng = SplitMix64::new(1);
        let mut worst = 0f64;
        for _ in 0..200 {
            let count = 2 + rng.below(22) as usize;
            let weights: Vec<u32> = (0..count).map(|_| 1 + rng.below(100)).collect();
            worst = worst.max(prefix_error(&weights, 2_000, &mut rng));
        }
        println!("up to {OWN_LANES} entries: {worst:.2}");
        assert!(worst <= 2.5, "{worst}");
    }

    #[test]
    fn the_prefix_error_is_small_for_many() {
        let mut rng = SplitMix64::new(2);
        for (count, spread) in [(25, 100), (40, 5), (100, 100), (1_000, 1_000), (10_000, 100)] {
            let mut worst = 0f64;
            for _ in 0..(20_000 / count).clamp(2, 100) {
                let weights: Vec<u32> = (0..count).map(|_| 1 + rng.below(spread)).collect();
                worst = worst.max(prefix_error(&weights, 10 * count, &mut rng));
            }
            println!("{count} entries, weights to {spread}: {worst:.2}");
            assert!(worst <= 2.5, "{count} {spread}: {worst}");
        }
    }

    #[test]
    fn the_prefix_error_is_small_for_one_heavy_among_many() {
        let mut rng = SplitMix64::new(3);
        let mut weights = vec![1; 999];
        weights.push(999);
        let worst = prefix_error(&weights, 20_000, &mut rng);
        assert!(worst <= 2.5, "{worst}");
    }

    #[test]
    fn equal_weights_take_turns() {
        let mut turns = Turns::new(entries(&[7; 5]), &mut SplitMix64::new(4));
        let first: Vec<_> = (0..5).map(|_| turns.next().unwrap()).collect();
        let second: Vec<_> = (0..5).map(|_| turns.next().unwrap()).collect();
        assert_eq!(first, second);
        assert!((0..5).all(|index| first.contains(&index)));
    }

    #[test]
    fn an_update_keeps_the_place() {
        let mut rng = SplitMix64::new(5);
        let mut turns = Turns::new(entries(&[1; 100]), &mut rng);
        let last = turns.next().unwrap();
        let mut after: Vec<Entry> = entries(&[1; 100]);
        after.retain(|entry| entry.id != last && entry.id != (last + 50) % 100);
        after.insert(0, Entry { id: 1_000, weight: 1 });
        let next = after.iter().position(|entry| entry.id == (last + 1) % 100).unwrap();
        turns.update(after.clone(), &mut rng);
        assert_eq!(turns.next(), Some(next));
    }

    #[test]
    fn an_update_keeps_the_credit() {
        for weights in [vec![5, 3, 1], (1..=60).collect()] {
            let mut rng = SplitMix64::new(6);
            let mut turns = Turns::new(entries(&weights), &mut rng);
            let mut undisturbed = turns.clone();
            for _ in 0..1_000 {
                turns.update(entries(&weights), &mut rng);
                assert_eq!(turns.next(), undisturbed.next());
            }
        }
    }
}

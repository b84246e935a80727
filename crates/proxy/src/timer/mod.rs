//! A worker's timer wheel.
//!
//! Laws:
//! 1. An entry never fires before its moment; it fires at most one fine tick (10 ms) after it.
//! 2. The wheel holds *alarms*, not deadlines. A connection keeps its deadline to itself and moves it at will; only a
//!    deadline earlier than its queued alarm costs an entry ([`Alarm::set`]). When an alarm rings too early the
//!    connection queues the next one: a kept-alive connection costs one entry per idle period, not one per request.
//! 3. An alarm that was overtaken by an earlier one rings too, and is recognised by its moment ([`Alarm::rang`]).
//! 4. Time is an argument.

use fairlead_balance::Micros;

/// Width of a fine slot: the resolution of dial, hedge and request deadlines.
const FINE_US: u64 = 10_000;
/// Width of a coarse slot: all of the fine slots.
const COARSE_US: u64 = FINE_US * SLOTS as u64;
/// Slots of each level: 2.56 s fine, 655 s coarse.
const SLOTS: usize = 256;

/// "No deadline": later than every moment.
pub(crate) const NEVER: Micros = Micros(u64::MAX);

/// One queued entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry<K> {
    at: Micros,
    key: K,
}

/// One level: a ring of slots and a bit for each that is not empty.
#[derive(Debug)]
struct Level<K> {
    slots: Vec<Vec<Entry<K>>>,
    occupied: [u64; SLOTS / 64],
}

impl<K: Copy> Level<K> {
    fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), occupied: [0; SLOTS / 64] }
    }

    fn push(&mut self, tick: u64, entry: Entry<K>) {
        let slot = tick as usize % SLOTS;
        self.slots[slot].push(entry);
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// Moves the entries of a slot to the end of `out`.
    fn take(&mut self, tick: u64, out: &mut Vec<Entry<K>>) {
        let slot = tick as usize % SLOTS;
        if self.occupied[slot / 64] & (1 << (slot % 64)) != 0 {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
            out.append(&mut self.slots[slot]);
        }
    }

    /// The first tick at or after `from` whose slot holds an entry.
    fn next(&self, from: u64) -> Option<u64> {
        let start = from as usize % SLOTS;
        let mut distance = 0;
        while distance < SLOTS {
            let slot = (start + distance) % SLOTS;
            let word = self.occupied[slot / 64] >> (slot % 64);
            if word != 0 {
                return Some(from + (distance + word.trailing_zeros() as usize) as u64)
                    .filter(|tick| tick - from < SLOTS as u64);
            }
            distance += 64 - slot % 64;
        }
        None
    }
}

/// Alarms of many connections; `K` says whose.
#[derive(Debug)]
pub(crate) struct Wheel<K> {
    fine: Level<K>,
    coarse: Level<K>,
    /// The next fine tick to be rung.
    tick: u64,
    scratch: Vec<Entry<K>>,
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel that starts at `now`.
    pub(crate) fn new(now: Micros) -> Self {
        Self { fine: Level::new(), coarse: Level::new(), tick: now.0 / FINE_US, scratch: Vec::new() }
    }

    fn insert(&mut self, at: Micros, key: K) {
        // Rounded up: law 1. Never behind the hand, or the entry would wait for a whole turn of the ring.
        let tick = (at.0.saturating_add(FINE_US - 1) / FINE_US).max(self.tick);
        let entry = Entry { at, key };
        if tick - self.tick < SLOTS as u64 {
            self.fine.push(tick, entry);
        } else {
            // Rounded down: it comes back into the fine level in time. Beyond the horizon it makes another round.
            let coarse = (tick * FINE_US / COARSE_US).min(self.tick * FINE_US / COARSE_US + SLOTS as u64 - 1);
            self.coarse.push(coarse, entry);
        }
    }

    /// Rings all alarms up to `now` into `rung`, as (whose, the moment it was set to).
    pub(crate) fn advance(&mut self, now: Micros, rung: &mut Vec<(K, Micros)>) {
        let until = now.0 / FINE_US;
        while self.tick <= until {
            if self.tick.is_multiple_of(SLOTS as u64) {
                self.open_coarse();
            }
            // Where the next coarse slot opens, or the end.
            let stop = ((self.tick / SLOTS as u64 + 1) * SLOTS as u64).min(until + 1);
            match self.fine.next(self.tick).filter(|tick| *tick < stop) {
                Some(tick) => {
                    let mut due = std::mem::take(&mut self.scratch);
                    self.fine.take(tick, &mut due);
                    rung.extend(due.drain(..).map(|entry| (entry.key, entry.at)));
                    self.scratch = due;
                    self.tick = tick + 1;
                }
                None => self.tick = stop,
            }
        }
    }

    fn open_coarse(&mut self) {
        let mut moved = std::mem::take(&mut self.scratch);
        self.coarse.take(self.tick / SLOTS as u64, &mut moved);
        for entry in moved.drain(..) {
            self.insert(entry.at, entry.key);
        }
        self.scratch = moved;
    }

    /// When [`advance`](Self::advance) is needed next: never late, early by at most a coarse slot.
    pub(crate) fn next_ring(&self) -> Option<Micros> {
        let fine = self.fine.next(self.tick).map(|tick| tick * FINE_US);
        // A coarse slot that opens with the very tick under the hand has not been opened yet.
        let from = self.tick.div_ceil(SLOTS as u64);
        let coarse = self.coarse.next(from).map(|tick| tick * COARSE_US);
        match (fine, coarse) {
            (Some(a), Some(b)) => Some(Micros(a.min(b))),
            (a, b) => a.or(b).map(Micros),
        }
    }
}

/// A connection's deadline and its earliest queued alarm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm {
    deadline: Micros,
    queued: Micros,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { deadline: NEVER, queued: NEVER }
    }
}

impl Alarm {
    /// Moves the deadline; [`NEVER`] clears it.
    pub(crate) fn set<K: Copy>(&mut self, deadline: Micros, key: K, wheel: &mut Wheel<K>) {
        self.deadline = deadline;
        if deadline < self.queued {
            self.queued = deadline;
            wheel.insert(deadline, key);
        }
    }

    /// Takes a ring that was queued for `at`; true when the deadline has passed, which is then cleared.
    pub(crate) fn rang<K: Copy>(&mut self, at: Micros, now: Micros, key: K, wheel: &mut Wheel<K>) -> bool {
        if at != self.queued {
            return false;
        }
        self.queued = NEVER;
        if self.deadline <= now {
            self.deadline = NEVER;
            return true;
        }
        if self.deadline < NEVER {
            self.set(self.deadline, key, wheel);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(value: u64) -> Micros {
        Micros(value * 1_000)
    }

    /// Every ring between `from` and `to`, looked at each `step` milliseconds.
    fn rings(wheel: &mut Wheel<u32>, from: u64, to: u64, step: u64) -> Vec<(u32, u64)> {
        let mut seen = Vec::new();
        let mut rung = Vec::new();
        for now in (from..=to).step_by(step as usize) {
            wheel.advance(ms(now), &mut rung);
            seen.extend(rung.drain(..).map(|(key, at)| {
                assert!(at <= ms(now), "rang before its moment");
                (key, now)
            }));
        }
        seen
    }

    #[test]
    fn rings_within_a_fine_tick_after_the_moment_at_every_distance() {
        for distance in
            [0, 1, 5, 10, 200, 1_000, 2_559, 2_560, 2_561, 5_120, 60_000, 654_000, 700_000, 3_600_000]
        {
            for start in [0, 7, 2_555, 2_560, 1_234_567] {
                let mut wheel = Wheel::new(ms(start));
                wheel.insert(ms(start + distance), 1);
                let seen = rings(&mut wheel, start, start + distance + 40, 1);
                assert_eq!(seen.len(), 1, "distance {distance} from {start}");
                let late = seen[0].1 - (start + distance);
                assert!(late <= 10, "{late} ms late at distance {distance} from {start}");
                assert_eq!(wheel.next_ring(), None);
            }
        }
    }

    #[test]
    fn one_late_look_rings_all_that_is_due_and_nothing_else() {
        let mut wheel = Wheel::new(ms(3));
        for (key, at) in [(1, 5), (2, 900), (3, 2_600), (4, 59_000), (5, 61_000)] {
            wheel.insert(ms(at), key);
        }
        let mut rung = Vec::new();
        wheel.advance(ms(60_000), &mut rung);
        let mut keys: Vec<u32> = rung.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        assert_eq!(keys, [1, 2, 3, 4]);
        assert_eq!(rings(&mut wheel, 60_000, 62_000, 1).iter().map(|ring| ring.0).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn next_ring_never_oversleeps() {
        for distance in [1, 15, 2_559, 2_570, 10_000, 654_321, 2_000_000] {
            let mut wheel = Wheel::new(ms(17));
            wheel.insert(ms(17 + distance), 9);
            let mut rung = Vec::new();
            let mut wakes = 0;
            let mut now = ms(17);
            while rung.is_empty() {
                now = wheel.next_ring().expect("an alarm is queued").max(now);
                wheel.advance(now, &mut rung);
                wakes += 1;
                assert!(wakes < 2_000, "spins at distance {distance}");
            }
            assert!(now.0 - ms(17 + distance).0 <= FINE_US, "overslept at distance {distance}");
        }
    }

    #[test]
    fn a_later_deadline_is_lazy_and_an_earlier_one_rings_in_time() {
        let mut wheel = Wheel::new(ms(0));
        let mut alarm = Alarm::default();
        alarm.set(ms(3_600_000), 1, &mut wheel);
        alarm.set(ms(300), 1, &mut wheel);
        alarm.set(ms(500), 1, &mut wheel);
        let mut rung = Vec::new();
        let mut fired = Vec::new();
        for now in (0..4_000_000).step_by(5) {
            wheel.advance(ms(now), &mut rung);
            for (key, at) in rung.drain(..) {
                if alarm.rang(at, ms(now), key, &mut wheel) {
                    fired.push(now);
                }
            }
        }
        assert_eq!(fired.len(), 1, "the overtaken alarm fires nothing");
        assert!((500..=515).contains(&fired[0]));
    }

    #[test]
    fn a_cleared_deadline_does_not_fire() {
        let mut wheel = Wheel::new(ms(0));
        let mut alarm = Alarm::default();
        alarm.set(ms(100), 1, &mut wheel);
        alarm.set(NEVER, 1, &mut wheel);
        for (key, at) in rings(&mut wheel, 0, 1_000, 10).into_iter().map(|(key, _)| (key, ms(100))) {
            assert!(!alarm.rang(at, ms(110), key, &mut wheel));
        }
        assert_eq!(wheel.next_ring(), None);
    }
}

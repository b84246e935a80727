//! A worker's timer wheel.
//!
//! Laws:
//! 1. An entry never fires before its moment; it fires at most one fine tick (10 ms) after it.
//! 2. The wheel holds *alarms*, not deadlines. A connection keeps its deadline to itself and moves it at will; only a
//!    deadline earlier than its queued alarm costs an entry ([`Alarm::set`]). When an alarm rings too early the
//!    connection queues the next one: a kept-alive connection costs one entry per idle period, not one per request.
//! 3. An alarm that was overtaken by an earlier one stays and takes over when that one has rung. An entry is known by
//!    its owner and its moment ([`Alarm::rang`]); one that nothing knows any more rings in vain.
//! 4. Idle connections stand in the coarse level. The fine one holds what is due within 2.56 s: dials, hedges and
//!    attempts while there are some, and what is about to fire. An empty level wakes nobody.
//! 5. Time is an argument.

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

/// A connection's deadline and its queued alarms: the earliest one and, if that has overtaken another, the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm {
    deadline: Micros,
    queued: Micros,
    /// Later than `queued`.
    behind: Micros,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { deadline: NEVER, queued: NEVER, behind: NEVER }
    }
}

impl Alarm {
    /// Moves the deadline; [`NEVER`] clears it.
    pub(crate) fn set<K: Copy>(&mut self, deadline: Micros, key: K, wheel: &mut Wheel<K>) {
        self.deadline = deadline;
        if deadline < self.queued {
            // Of three, the one in the middle is forgotten: it is soon over, and the last is the one worth keeping.
            if self.behind == NEVER {
                self.behind = self.queued;
            }
            self.queued = deadline;
            wheel.insert(deadline, key);
        }
    }

    /// Takes a ring that was queued for `at`; true when the deadline has passed, which is then cleared.
    pub(crate) fn rang<K: Copy>(&mut self, at: Micros, now: Micros, key: K, wheel: &mut Wheel<K>) -> bool {
        if at == self.behind {
            // Both were due at the same tick.
            self.behind = NEVER;
        }
        if at != self.queued {
            return false;
        }
        self.queued = std::mem::replace(&mut self.behind, NEVER);
        if self.deadline <= now {
            self.deadline = NEVER;
            return true;
        }
        self.set(self.deadline, key, wheel);
        false
    }
}

#[cfg(test)]
mod tests;

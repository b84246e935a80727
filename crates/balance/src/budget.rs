//! [`RepeatBudget`]: bounds repeats and hedged dials, so that they cannot multiply an overload.

use crate::Micros;

const SLOTS: usize = 10;
const SLOT: Micros = Micros::from_secs(1);
/// Repeats per requests: one for five.
const REQUESTS_PER_REPEAT: u64 = 5;
/// Repeats per second that are always allowed.
const FLOOR_PER_SLOT: u64 = 3;

/// Repeats are at most 20 % of the requests of the last 10 s, plus 3 per second. One per worker.
///
/// The window lets a burst through at once, as when a node dies and all that was in flight is repeated, and is
/// exact afterwards.
#[derive(Clone, Debug)]
pub struct RepeatBudget {
    slots: [Slot; SLOTS],
    /// Number of the present slot since the epoch.
    present: u64,
    sum: Slot,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u64,
    repeats: u64,
}

impl RepeatBudget {
    /// A budget that has seen nothing.
    pub fn new(now: Micros) -> Self {
        Self { slots: [Slot::default(); SLOTS], present: now.0 / SLOT.0, sum: Slot::default() }
    }

    /// A request arrived (the first attempt, not a repeat).
    pub fn request(&mut self, now: Micros) {
        self.turn(now).requests += 1;
        self.sum.requests += 1;
    }

    /// Whether one more repeat or hedged dial may be made; if so, it is counted.
    #[must_use]
    pub fn try_spend(&mut self, now: Micros) -> bool {
        self.turn(now);
        let allowed = self.sum.requests / REQUESTS_PER_REPEAT + FLOOR_PER_SLOT * SLOTS as u64;
        if self.sum.repeats >= allowed {
            return false;
        }
        self.turn(now).repeats += 1;
        self.sum.repeats += 1;
        true
    }

    /// The present slot, after what is older than the window was dropped.
    fn turn(&mut self, now: Micros) -> &mut Slot {
        let present = (now.0 / SLOT.0).max(self.present);
        for number in (self.present + 1..=present).take(SLOTS) {
            let gone = std::mem::take(&mut self.slots[number as usize % SLOTS]);
            self.sum.requests -= gone.requests;
            self.sum.repeats -= gone.repeats;
        }
        self.present = present;
        &mut self.slots[present as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend_all(budget: &mut RepeatBudget, now: Micros) -> u32 {
        let mut spent = 0;
        while budget.try_spend(now) {
            spent += 1;
        }
        spent
    }

    #[test]
    fn without_requests_there_is_the_floor() {
        let mut budget = RepeatBudget::new(Micros::ZERO);
        assert_eq!(spend_all(&mut budget, Micros::ZERO), 30);
        assert_eq!(spend_all(&mut budget, Micros::from_millis(9_999)), 0);
        assert_eq!(spend_all(&mut budget, Micros::from_secs(10)), 30);
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_repeated() {
        let mut budget = RepeatBudget::new(Micros::from_secs(100));
        for ms in 0..10_000 {
            budget.request(Micros::from_millis(100_000 + ms));
        }
        assert_eq!(spend_all(&mut budget, Micros::from_millis(109_999)), 2_030);
        assert_eq!(spend_all(&mut budget, Micros::from_secs(1_000)), 30, "old requests do not count");
    }

    #[test]
    fn under_constant_failure_the_long_run_is_the_rate() {
        let mut budget = RepeatBudget::new(Micros::ZERO);
        let mut spent = 0;
        for ms in 0..100_000 {
            budget.request(Micros::from_millis(ms));
            spent += u32::from(budget.try_spend(Micros::from_millis(ms)));
        }
        assert!((20_000..=20_400).contains(&spent), "{spent}");
    }
}

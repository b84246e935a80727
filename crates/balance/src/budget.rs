//! [`RepeatBudget`]: bounds repeats and hedged dials, so that they cannot multiply an overload.

use crate::Micros;

/// Repeats are at most 20 % of the requests of the last 10 s, plus 3 per second. One per worker.
#[derive(Clone, Debug)]
pub struct RepeatBudget {}

impl RepeatBudget {
    /// A full budget.
    pub fn new(_now: Micros) -> Self {
        todo!()
    }

    /// A request arrived (the first attempt, not a repeat).
    pub fn request(&mut self, _now: Micros) {
        todo!()
    }

    /// Whether one more repeat or hedged dial may be made; if so, it is counted.
    #[must_use]
    pub fn try_spend(&mut self, _now: Micros) -> bool {
        todo!()
    }
}

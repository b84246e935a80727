//! [`WeightedTargets`]: which backendRef of a Rule takes the next request.

use crate::Rng;

/// Smooth weighted choice among a Rule's targets, with a random phase. One per worker and Rule.
#[derive(Clone, Debug)]
pub struct WeightedTargets {}

impl WeightedTargets {
    /// Targets with these weights; a weight of 0 takes no requests.
    pub fn new(_weights: impl IntoIterator<Item = u32>, _rng: &mut impl Rng) -> Self {
        todo!()
    }

    /// The index of the target for the next request; `None` if there is no target or all weights are 0.
    pub fn pick(&mut self) -> Option<usize> {
        todo!()
    }
}

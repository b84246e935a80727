//! [`WeightedTargets`]: which backendRef of a Rule takes the next request.

use crate::Rng;
use crate::turns::{Entry, Turns};

/// Smooth weighted choice among a Rule's targets, with a random phase. One per worker and Rule.
#[derive(Clone, Debug)]
pub struct WeightedTargets(Turns);

impl WeightedTargets {
    /// Targets with these weights; a weight of 0 takes no requests.
    pub fn new(weights: impl IntoIterator<Item = u32>, rng: &mut impl Rng) -> Self {
        let entries = weights.into_iter().enumerate().map(|(id, weight)| Entry { id, weight }).collect();
        Self(Turns::new(entries, rng))
    }

    /// The index of the target for the next request; `None` if there is no target or all weights are 0.
    pub fn pick(&mut self) -> Option<usize> {
        self.0.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SplitMix64;

    #[test]
    fn shares_follow_the_weights_exactly() {
        let mut targets = WeightedTargets::new([90, 0, 10], &mut SplitMix64::new(5));
        let mut counts = [0; 3];
        for _ in 0..1_000 {
            counts[targets.pick().unwrap()] += 1;
        }
        assert_eq!(counts, [900, 0, 100]);
    }

    #[test]
    fn all_zero_or_none_is_no_target() {
        let mut rng = SplitMix64::new(6);
        assert_eq!(WeightedTargets::new([0, 0], &mut rng).pick(), None);
        assert_eq!(WeightedTargets::new([], &mut rng).pick(), None);
    }
}

//! [`StableHash`]: a hash that all processes compute alike.
//!
//! Law: the hash of the same bytes never changes, from process to process, machine to machine and version to version.
//! All replicas must agree where a key belongs, also while one of them is of another version. So there is no seed,
//! and no library whose next version may do otherwise. Whoever chooses the bytes can choose the hash.
//!
//! It is FNV-1a of 64 bits (draft-eastlake-fnv), made even by one number of [`SplitMix64`] with that seed: FNV alone
//! leaves the high bits of short inputs poor, and tables are looked up by the high bits.

use crate::{Rng, SplitMix64};

const OFFSET_BASIS: u64 = 0xCBF2_9CE4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01B3;

/// A hash under way. Pieces count as if they were one.
#[derive(Clone, Copy, Debug)]
pub struct StableHash(u64);

impl Default for StableHash {
    fn default() -> Self {
        Self(OFFSET_BASIS)
    }
}

impl StableHash {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> u64 {
        Self::default().with(bytes).finish()
    }

    /// With these bytes behind those before.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME)))
    }

    /// The hash of all bytes.
    pub fn finish(self) -> u64 {
        SplitMix64::new(self.0).next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_it_is_made_even_it_is_the_published_hash() {
        let published =
            [("", 0xCBF2_9CE4_8422_2325), ("a", 0xAF63_DC4C_8601_EC8C), ("foobar", 0x8594_4171_F739_67E8)];
        for (text, expected) in published {
            assert_eq!(StableHash::default().with(text.as_bytes()).0, expected, "{text:?}");
        }
    }

    #[test]
    fn the_hash_of_pieces_is_that_of_the_whole() {
        let pieces = StableHash::default().with(b"user").with(b"").with(b"-17").finish();
        assert_eq!(pieces, StableHash::of(b"user-17"));
        assert_ne!(pieces, StableHash::of(b"user-71"));
    }

    #[test]
    fn the_high_bits_of_short_and_similar_inputs_are_even() {
        let mut counts = [0u32; 16];
        for number in 0..16_000 {
            counts[(StableHash::of(format!("u{number}").as_bytes()) >> 60) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }
}

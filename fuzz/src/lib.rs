//! What is fuzzed; the programs in `fuzz_targets` only pass bytes on.

pub mod targets;

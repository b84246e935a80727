//! What is fuzzed; the programs in `fuzz_targets` only pass bytes on.
#![allow(clippy::unwrap_used, reason = "a panic is how a target reports")]

pub mod driver;
#[allow(dead_code, unused_imports, reason = "shared with the tests of the data path, which use all of it")]
#[path = "../../crates/proxy/tests/data_path/support/mod.rs"]
mod support;
pub mod targets;

//! A short run of the codec's fuzz targets. Seeds are also the cases of `http_desync_guardian`, and messages of the grammar
//! that the properties are tested with.
#![allow(clippy::unwrap_used, reason = "a panic is how a target reports")]

#[path = "common/generate.rs"]
mod generate;
#[path = "common/guardian.rs"]
#[expect(dead_code, reason = "shared with the test of its verdicts")]
mod guardian;
#[path = "../../../fuzz/src/rounds.rs"]
mod rounds;
#[path = "../../../fuzz/src/targets.rs"]
#[allow(unreachable_pub, dead_code, reason = "the fuzzer's programs use it as a library")]
mod targets;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const ROUNDS: usize = 20_000;

/// Messages of a grammar, the same in every run.
fn drawn(strategy: impl Strategy<Value = Vec<u8>>) -> impl Iterator<Item = Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    (0..200).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

fn requests() -> Vec<Vec<u8>> {
    let cases = guardian::cases().into_iter().map(|case| case.message);
    cases
        .chain(drawn(generate::request_text()))
        .chain(drawn(generate::broken(generate::request_text())))
        .collect()
}

#[test]
fn request_heads() {
    rounds::run("request_head", ROUNDS, requests(), targets::request_head);
}

#[test]
fn response_heads() {
    let response = |fields: String| format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes();
    let drawn = drawn(generate::broken(generate::fields().prop_map(response)));
    rounds::run("response_head", ROUNDS, drawn.collect(), targets::response_head);
}

#[test]
fn chunked_bodies() {
    rounds::run("chunks", ROUNDS, vec![], targets::chunks);
}

#[test]
fn connections() {
    rounds::run("connection", ROUNDS, requests(), targets::connection);
}

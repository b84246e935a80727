//! A short run of the driver's fuzz targets: any bytes of a client, and of an Endpoint, through a real proxy.
#![allow(clippy::unwrap_used, reason = "a panic is how a target reports")]

#[path = "../../../../fuzz/src/driver.rs"]
#[allow(unreachable_pub, reason = "the fuzzer's programs use it as a library")]
mod driver;
#[path = "../../../../fuzz/src/rounds.rs"]
mod rounds;
#[path = "../data_path/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests of the data path, which use all of it")]
mod support;
#[path = "../../../../fuzz/src/targets.rs"]
#[allow(unreachable_pub, dead_code, reason = "the fuzzer's programs use it as a library")]
mod targets;

const ROUNDS: usize = 2_000;

#[test]
fn whatever_a_client_sends_the_same_requests_arrive_and_the_next_client_is_served() {
    rounds::run("proxied_requests", ROUNDS, vec![], driver::proxied_requests);
}

#[test]
fn whatever_an_endpoint_sends_its_client_is_not_misled_and_the_next_one_is_served() {
    rounds::run("proxied_responses", ROUNDS, vec![], driver::proxied_responses);
}

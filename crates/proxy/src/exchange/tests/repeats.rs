//! What was sent is repeated once, where nothing forbids it.

use super::Mood::{Dials, Refuses, Warm};
use super::{GET, POST, T0, after, begin};
use crate::exchange::{AttemptId, Death, Event, Failure, Flags, Plan, Report, Retry, Step, Want};

#[test]
fn sent_and_died_before_a_response_byte_repeats_once_for_idempotent_methods() {
    let (mut exchange, mut driver, step) = begin(GET, &[Warm, Warm, Warm]);
    assert_eq!(step, Step::Send(AttemptId(0)));
    exchange.on(Event::Sent, T0, &mut driver);
    assert_eq!(exchange.on(Event::Died(Death::Closed), T0, &mut driver), Step::Wait);
    assert_eq!(driver.opened, [(Want::Any, 10), (Want::Dial, 11)], "a repeat dials");
    exchange.on(Event::Connected(AttemptId(1)), T0, &mut driver);
    exchange.on(Event::Sent, T0, &mut driver);
    let step = exchange.on(Event::Died(Death::Reset), T0, &mut driver);
    assert_eq!(step, Step::Fail(Failure::RESET.with(Flags::URX)), "once, not twice");
    assert_eq!(driver.budget, 99, "a repeat is taken from the budget");
    assert_eq!(driver.retries, [Retry::Repeat]);
}

#[test]
fn sent_then_refused_dials_still_move_on() {
    let (mut exchange, mut driver, _) = begin(GET, &[Warm, Refuses, Dials]);
    exchange.on(Event::Sent, T0, &mut driver);
    assert_eq!(exchange.on(Event::Died(Death::Closed), T0, &mut driver), Step::Wait);
    assert_eq!(driver.peers(), [10, 11, 12]);
}

#[test]
fn never_repeated_once_sent() {
    let refused = [
        ("POST", POST),
        ("an Upgrade", Plan { upgrade: true, ..GET }),
        ("a body that is not at hand", Plan { replayable: false, ..GET }),
        ("attempts: 0", Plan { repeats: 0, ..GET }),
    ];
    for (what, plan) in refused {
        for death in [Death::Closed, Death::Reset, Death::Silent] {
            let (mut exchange, mut driver, _) = begin(plan, &[Warm, Warm]);
            exchange.on(Event::Sent, T0, &mut driver);
            let step = exchange.on(Event::Died(death), T0, &mut driver);
            assert!(matches!(step, Step::Fail(failure) if failure.flags.has(Flags::UC)), "{what}: {step:?}");
            assert_eq!(driver.opened.len(), 1, "{what}");
        }
    }
}

#[test]
fn without_repeats_only_what_was_never_sent_moves_on() {
    let plan = Plan { repeats: 0, ..GET };
    let (mut exchange, mut driver, _) = begin(plan, &[Warm, Dials, Dials]);
    exchange.on(Event::Sent, T0, &mut driver);
    let step = exchange.on(Event::Died(Death::Closed), T0, &mut driver);
    assert_eq!(step, Step::Fail(Failure::CLOSED), "no limit was exceeded: there was none to use up");

    let (mut exchange, mut driver, _) = begin(plan, &[Warm, Dials, Dials]);
    assert_eq!(exchange.on(Event::Died(Death::Closed), T0, &mut driver), Step::Wait);
    exchange.on(Event::Tick, after(200), &mut driver);
    assert_eq!(driver.peers(), [10, 11, 12], "a late dial is hedged: nothing was sent");
}

#[test]
fn never_repeated_after_a_part_of_the_body_was_streamed() {
    let (mut exchange, mut driver, _) = begin(GET, &[Warm, Warm]);
    exchange.on(Event::Sent, T0, &mut driver);
    exchange.on(Event::Unrepeatable, T0, &mut driver);
    assert_eq!(exchange.on(Event::Died(Death::Closed), T0, &mut driver), Step::Fail(Failure::CLOSED));
}

#[test]
fn never_repeated_after_a_response_byte() {
    let (mut exchange, mut driver, _) = begin(GET, &[Warm, Warm]);
    exchange.on(Event::Sent, T0, &mut driver);
    exchange.on(Event::FirstByte, T0, &mut driver);
    assert_eq!(exchange.on(Event::Broke(Death::Closed), T0, &mut driver), Step::Fail(Failure::TRUNCATED));
    assert_eq!(driver.opened.len(), 1);
    assert_eq!(driver.reports, [(10, Report::Died(Death::Closed))]);
}

#[test]
fn what_is_not_http_is_never_repeated() {
    let (mut exchange, mut driver, _) = begin(GET, &[Warm, Warm]);
    exchange.on(Event::Sent, T0, &mut driver);
    assert_eq!(exchange.on(Event::Died(Death::Protocol), T0, &mut driver), Step::Fail(Failure::PROTOCOL));
}

#[test]
fn repeats_and_hedges_stop_when_the_budget_is_spent() {
    let (mut exchange, mut driver, _) = begin(GET, &[Warm, Warm]);
    driver.budget = 0;
    exchange.on(Event::Sent, T0, &mut driver);
    let step = exchange.on(Event::Died(Death::Closed), T0, &mut driver);
    assert_eq!(step, Step::Fail(Failure::CLOSED.with(Flags::URX)));

    let (mut exchange, mut driver, _) = begin(GET, &[Dials, Dials]);
    driver.budget = 0;
    assert_eq!(exchange.on(Event::Tick, after(200), &mut driver), Step::Continue);
    assert_eq!(driver.opened.len(), 1);
    assert_eq!(driver.retries, [Retry::BudgetExhausted]);
    assert_eq!(exchange.next_deadline(), after(1_000), "the dial itself goes on");
}

#[test]
fn a_silent_endpoint_is_reported_and_not_dialled_again() {
    let (mut exchange, mut driver, _) = begin(GET, &[Warm]);
    exchange.on(Event::Sent, T0, &mut driver);
    let step = exchange.on(Event::Died(Death::Silent), after(2_000), &mut driver);
    assert_eq!(step, Step::Fail(Failure::SILENT));
    assert_eq!(driver.reports, [(10, Report::Died(Death::Silent))]);
}

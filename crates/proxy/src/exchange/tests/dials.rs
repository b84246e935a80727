//! Dials that are late: hedged, and given up.

use super::Mood::{Dials, Refuses};
use super::{GET, POST, after, begin};
use crate::exchange::{AttemptId, DialError, Event, Failure, Flags, Report, Step, Want};

#[test]
fn a_dial_without_answer_is_hedged_and_suspect_at_that_moment() {
    let (mut exchange, mut driver, _) = begin(POST, &[Dials, Dials]);
    assert_eq!(exchange.next_deadline(), after(200));
    assert_eq!(exchange.on(Event::Tick, after(199), &mut driver), Step::Continue);
    assert_eq!(driver.opened.len(), 1, "not early");
    exchange.on(Event::Tick, after(200), &mut driver);
    assert_eq!(driver.opened, [(Want::Fresh, 10), (Want::Dial, 11)]);
    assert_eq!(driver.reports, [(10, Report::DialFailed(DialError::TimedOut))]);
    assert_eq!(driver.budget, 99);
    let step = exchange.on(Event::Connected(AttemptId(1)), after(201), &mut driver);
    assert_eq!(step, Step::Send(AttemptId(1)));
    assert_eq!(driver.abandoned, [0], "the loser is left to finish into the pool");
    assert_eq!(exchange.on(Event::Connected(AttemptId(0)), after(250), &mut driver), Step::Continue);
}

#[test]
fn the_first_dial_may_still_win() {
    let (mut exchange, mut driver, _) = begin(GET, &[Dials, Dials]);
    exchange.on(Event::Tick, after(200), &mut driver);
    let step = exchange.on(Event::Connected(AttemptId(0)), after(210), &mut driver);
    assert_eq!(step, Step::Send(AttemptId(0)));
    assert_eq!(driver.abandoned, [1]);
}

#[test]
fn a_hedge_is_hedged_in_turn_up_to_three_dials() {
    let (mut exchange, mut driver, _) = begin(GET, &[Dials, Dials, Dials, Dials]);
    for moment in [200, 400, 600, 800] {
        exchange.on(Event::Tick, after(moment), &mut driver);
    }
    assert_eq!(driver.peers(), [10, 11, 12]);
    let step = exchange.on(Event::Tick, after(1_600), &mut driver);
    assert_eq!(step, Step::Fail(Failure::CONNECT_TIMEOUT.with(Flags::URX)));
    assert_eq!(driver.reports.len(), 3, "each late dial is one failure, not two");
}

#[test]
fn a_failed_dial_waits_for_the_hedge_that_is_under_way() {
    let (mut exchange, mut driver, _) = begin(GET, &[Dials, Dials, Dials]);
    exchange.on(Event::Tick, after(200), &mut driver);
    let step = exchange.on(Event::DialFailed(AttemptId(0), DialError::Unreachable), after(300), &mut driver);
    assert_eq!(step, Step::Continue);
    assert_eq!(driver.opened.len(), 2);
    assert_eq!(driver.reports.len(), 1, "counted when it was late, not again");
}

#[test]
fn a_hedge_that_is_refused_goes_to_the_next_endpoint() {
    let (mut exchange, mut driver, _) = begin(GET, &[Dials, Refuses, Dials]);
    exchange.on(Event::Tick, after(200), &mut driver);
    assert_eq!(driver.peers(), [10, 11, 12]);
}

#[test]
fn a_dial_ends_after_a_second_and_the_next_endpoint_is_tried() {
    let (mut exchange, mut driver, _) = begin(GET, &[Dials]);
    exchange.on(Event::Tick, after(200), &mut driver);
    let step = exchange.on(Event::Tick, after(1_000), &mut driver);
    assert_eq!(step, Step::Fail(Failure::CONNECT_TIMEOUT));
    assert_eq!(driver.abandoned, [0]);
}

//! The ends that come from elsewhere: the client, deadlines, the end itself.

use fairlead_balance::Micros;

use super::Mood::Warm;
use super::{GET, T0, after, begin};
use crate::exchange::{Death, Event, Failure, Plan, Report, Step};
use crate::timer::NEVER;

#[test]
fn never_repeated_after_the_client_left() {
    let (mut exchange, mut driver, _) = begin(GET, &[Warm, Warm]);
    assert_eq!(exchange.on(Event::ClientGone, T0, &mut driver), Step::Close(Failure::CLIENT_GONE));
    assert_eq!(driver.abandoned, [0]);
    assert_eq!(exchange.on(Event::Died(Death::Closed), T0, &mut driver), Step::Continue);
    assert_eq!(driver.opened.len(), 1);
}

#[test]
fn never_repeated_after_the_deadline_and_the_deadline_is_ut() {
    let plan = Plan { deadline: after(300), ..GET };
    let (mut exchange, mut driver, _) = begin(plan, &[Warm, Warm]);
    assert_eq!(exchange.next_deadline(), after(300));
    let step = exchange.on(Event::Died(Death::Closed), after(300), &mut driver);
    assert_eq!(step, Step::Fail(Failure::TIMEOUT), "not even when nothing was sent");

    let (mut exchange, mut driver, _) = begin(plan, &[Warm, Warm]);
    exchange.on(Event::Sent, T0, &mut driver);
    assert_eq!(exchange.on(Event::Tick, after(300), &mut driver), Step::Fail(Failure::TIMEOUT));
    assert_eq!(driver.reports, [(10, Report::TimedOut)]);
    assert_eq!(driver.abandoned, [0]);
    assert_eq!(exchange.next_deadline(), NEVER);
}

#[test]
fn never_repeated_on_an_attempts_timeout() {
    let plan = Plan { attempt_timeout: Some(Micros(50_000)), ..GET };
    let (mut exchange, mut driver, _) = begin(plan, &[Warm, Warm]);
    exchange.on(Event::Sent, T0, &mut driver);
    assert_eq!(exchange.next_deadline(), after(50));
    assert_eq!(exchange.on(Event::Tick, after(50), &mut driver), Step::Fail(Failure::ATTEMPT_TIMEOUT));
    assert_eq!(driver.opened.len(), 1);
}

#[test]
fn a_tunnel_has_no_deadline() {
    let plan = Plan { deadline: after(300), attempt_timeout: Some(Micros(50_000)), upgrade: true, ..GET };
    let (mut exchange, _, _) = begin(plan, &[Warm]);
    exchange.lift_deadlines();
    assert_eq!(exchange.next_deadline(), NEVER);
}

#[test]
fn nothing_happens_after_the_end() {
    let (mut exchange, mut driver, _) = begin(GET, &[Warm, Warm]);
    exchange.on(Event::Sent, T0, &mut driver);
    exchange.on(Event::FirstByte, T0, &mut driver);
    exchange.on(Event::Finished, T0, &mut driver);
    for event in [Event::Tick, Event::ClientGone, Event::Died(Death::Reset), Event::Broke(Death::Reset)] {
        assert_eq!(exchange.on(event, after(9_000), &mut driver), Step::Continue);
    }
    assert!(driver.abandoned.is_empty(), "the connection went back by itself");
}

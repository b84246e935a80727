//! Endpoints that have as many connections as they may have.

use super::Mood::{Dials, Full, Refuses, Warm};
use super::{GET, Mock, POST, T0, after, begin};
use crate::exchange::{AttemptId, Death, Event, Exchange, Failure, Flags, Plan, Step, Want};

#[test]
fn an_endpoint_without_room_is_passed_over_and_no_failure() {
    for plan in [GET, POST] {
        let (_, driver, step) = begin(plan, &[Full, Full, Dials]);
        assert_eq!((step, driver.peers()), (Step::Wait, vec![12]));
        assert!(driver.reports.is_empty() && driver.retries.is_empty());
    }
}

#[test]
fn no_room_anywhere_overflows_at_once_where_enough_wait() {
    let (exchange, driver, step) = begin(GET, &[Full, Full]);
    assert_eq!(step, Step::Fail(Failure::OVERFLOW));
    assert_eq!((driver.overflows, exchange.attempts()), (1, 0));
    assert!(driver.reports.is_empty());
}

#[test]
fn no_room_after_a_failure_tells_both() {
    let (_, driver, step) = begin(GET, &[Refuses, Full]);
    assert_eq!(step, Step::Fail(Failure::CONNECT.with(Flags::UO)));
    assert_eq!((driver.peers(), driver.overflows), (vec![10], 1));
}

#[test]
fn a_connection_that_comes_free_makes_room() {
    for (plan, want) in [(GET, Want::Any), (POST, Want::Fresh)] {
        let mut driver = Mock { queue: 1, ..Mock::new(&[Full]) };
        let mut exchange = Exchange::over();
        assert_eq!(exchange.start(plan, T0, &mut driver), Step::Wait);
        assert!(exchange.awaits_room());
        assert_eq!(exchange.next_deadline(), after(1_000));
        driver.moods[0] = Dials;
        assert_eq!(exchange.on(Event::Room, after(3), &mut driver), Step::Wait);
        assert_eq!(driver.opened, [(want, 10)]);
        assert_eq!(exchange.next_deadline(), after(203), "the dial's hedge");
        let step = exchange.on(Event::Connected(AttemptId(0)), after(4), &mut driver);
        assert_eq!((step, driver.overflows), (Step::Send(AttemptId(0)), 0));
        assert_eq!(exchange.on(Event::Room, after(5), &mut driver), Step::Continue, "it waits no more");
    }
}

#[test]
fn waiting_for_room_ends_however_often_somebody_else_was_faster() {
    let mut driver = Mock { queue: 9, ..Mock::new(&[Full]) };
    let mut exchange = Exchange::over();
    exchange.start(GET, T0, &mut driver);
    for moment in [250, 500, 750] {
        assert_eq!(exchange.on(Event::Room, after(moment), &mut driver), Step::Wait);
        assert_eq!(exchange.next_deadline(), after(1_000), "counted from the first time on");
    }
    assert_eq!(exchange.on(Event::Tick, after(999), &mut driver), Step::Continue);
    assert_eq!(exchange.on(Event::Tick, after(1_000), &mut driver), Step::Fail(Failure::OVERFLOW));
    assert_eq!((driver.overflows, driver.opened.len()), (1, 0));
}

#[test]
fn room_that_came_by_itself_is_found_by_a_last_look() {
    let mut driver = Mock { queue: 1, ..Mock::new(&[Full]) };
    let mut exchange = Exchange::over();
    exchange.start(GET, T0, &mut driver);
    driver.moods[0] = Dials;
    assert_eq!(exchange.on(Event::Tick, after(1_000), &mut driver), Step::Wait);
    assert_eq!(driver.opened, [(Want::Any, 10)]);
}

#[test]
fn nobody_waits_for_room_after_the_client_left_or_the_deadline_passed() {
    let mut driver = Mock { queue: 2, ..Mock::new(&[Full]) };
    let mut exchange = Exchange::over();
    exchange.start(GET, T0, &mut driver);
    exchange.on(Event::ClientGone, T0, &mut driver);
    assert!(!exchange.awaits_room());
    assert_eq!(exchange.on(Event::Room, T0, &mut driver), Step::Continue);

    let mut exchange = Exchange::over();
    exchange.start(Plan { deadline: after(100), ..GET }, T0, &mut driver);
    assert_eq!(exchange.on(Event::Tick, after(100), &mut driver), Step::Fail(Failure::TIMEOUT));
    assert!(driver.opened.is_empty());
}

#[test]
fn a_hedge_does_not_wait_for_room() {
    let (mut exchange, mut driver, _) = begin(GET, &[Dials, Full]);
    driver.queue = 1;
    assert_eq!(exchange.on(Event::Tick, after(200), &mut driver), Step::Continue);
    assert!(!exchange.awaits_room());
    assert_eq!((driver.queue, driver.overflows), (1, 0));
    assert_eq!(
        exchange.on(Event::Connected(AttemptId(0)), after(300), &mut driver),
        Step::Send(AttemptId(0))
    );
}

#[test]
fn a_stale_connection_of_the_only_endpoint_with_room_is_replaced() {
    let (mut exchange, mut driver, _) = begin(GET, &[Warm, Full]);
    assert_eq!(exchange.on(Event::Died(Death::Reset), T0, &mut driver), Step::Wait);
    assert_eq!(driver.opened[1], (Want::Dial, 10));
}

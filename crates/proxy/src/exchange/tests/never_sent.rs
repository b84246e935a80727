//! What was never sent moves on, whatever the method.

use super::Mood::{Dials, NoDescriptors, Refuses, Warm};
use super::{GET, POST, T0, begin};
use crate::exchange::{AttemptId, Death, DialError, Event, Failure, Flags, Plan, Report, Step, Want};

#[test]
fn never_sent_moves_on_for_any_method_and_excludes_what_was_tried() {
    for plan in [GET, POST, Plan { upgrade: true, ..GET }, Plan { replayable: false, repeats: 0, ..POST }] {
        let (mut exchange, mut driver, step) = begin(plan, &[Dials, Dials, Dials, Dials]);
        driver.budget = 0;
        assert_eq!(step, Step::Wait);
        let step = exchange.on(Event::DialFailed(AttemptId(0), DialError::Refused), T0, &mut driver);
        assert_eq!(step, Step::Wait);
        assert_eq!(exchange.on(Event::Connected(AttemptId(1)), T0, &mut driver), Step::Send(AttemptId(1)));
        // Connected, but the kernel took no byte.
        assert_eq!(exchange.on(Event::Died(Death::Reset), T0, &mut driver), Step::Wait);
        assert_eq!(driver.peers(), [10, 11, 12]);
        assert_eq!(exchange.on(Event::Connected(AttemptId(2)), T0, &mut driver), Step::Send(AttemptId(2)));
    }
}

#[test]
fn at_most_three_attempts_then_the_last_failure_with_urx() {
    let (_, driver, step) = begin(POST, &[Refuses, Refuses, Refuses, Warm]);
    assert_eq!(step, Step::Fail(Failure::CONNECT.with(Flags::URX)));
    assert_eq!(driver.peers(), [10, 11, 12]);
    assert_eq!(driver.reports.len(), 3, "each refused dial is counted once");
}

#[test]
fn fewer_endpoints_than_attempts_end_with_the_last_failure() {
    let (_, driver, step) = begin(GET, &[Refuses, Refuses]);
    assert_eq!(step, Step::Fail(Failure::CONNECT));
    assert_eq!(driver.peers(), [10, 11]);
}

#[test]
fn no_endpoint_is_uh() {
    let (_, _, step) = begin(GET, &[]);
    assert_eq!(step, Step::Fail(Failure::NO_ENDPOINT));
}

#[test]
fn a_lack_of_descriptors_is_no_failure_of_the_endpoint_and_is_not_repeated() {
    let (_, driver, step) = begin(GET, &[NoDescriptors, Dials]);
    assert_eq!(step, Step::Fail(Failure::LOCAL));
    assert!(driver.reports.is_empty());
    assert_eq!(driver.opened.len(), 1);
}

#[test]
fn what_cannot_be_repeated_takes_only_a_fresh_pooled_connection() {
    for (plan, want) in [
        (GET, Want::Any),
        (POST, Want::Fresh),
        (Plan { upgrade: true, ..GET }, Want::Fresh),
        (Plan { replayable: false, ..GET }, Want::Fresh),
    ] {
        let (_, driver, _) = begin(plan, &[Dials]);
        assert_eq!(driver.opened, [(want, 10)]);
    }
}

#[test]
fn a_stale_pooled_connection_of_the_only_endpoint_is_replaced_by_a_dial() {
    for plan in [GET, POST] {
        let (mut exchange, mut driver, _) = begin(plan, &[Warm]);
        let step = exchange.on(Event::Died(Death::Reset), T0, &mut driver);
        assert_eq!(step, Step::Wait);
        assert_eq!(driver.opened[1], (Want::Dial, 10));
        assert!(driver.reports.is_empty(), "an idle connection that was closed is no failure");
        // But only once, and not after a failed dial.
        let step = exchange.on(Event::DialFailed(AttemptId(1), DialError::Refused), T0, &mut driver);
        assert_eq!(step, Step::Fail(Failure::CONNECT));
    }
}

#[test]
fn an_endpoint_that_speaks_before_it_was_asked_has_not_seen_the_request() {
    for plan in [GET, POST, Plan { upgrade: true, ..GET }, Plan { replayable: false, repeats: 0, ..POST }] {
        // On a new connection, which is silent or no connection at all.
        let (mut exchange, mut driver, _) = begin(plan, &[Dials, Dials]);
        driver.budget = 0;
        let spoke = |id| Event::DialFailed(AttemptId(id), DialError::Spoke);
        assert_eq!(exchange.on(spoke(0), T0, &mut driver), Step::Wait);
        assert_eq!(exchange.on(spoke(1), T0, &mut driver), Step::Fail(Failure::PROTOCOL));
        assert_eq!((driver.peers(), driver.reports.len()), (vec![10, 11], 2));
        // On one that was chosen already, and took nothing of the request yet.
        let (mut exchange, mut driver, _) = begin(plan, &[Warm, Dials]);
        driver.budget = 0;
        assert!(!exchange.is_sent());
        assert_eq!(exchange.on(Event::Died(Death::Protocol), T0, &mut driver), Step::Wait);
        assert_eq!(driver.peers(), [10, 11]);
        assert_eq!(driver.reports, [(10, Report::Died(Death::Protocol))], "unlike an end, it is a failure");
    }
}

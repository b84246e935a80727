//! The laws of an Exchange over a mock driver, in virtual time: a test for each sentence.

use fairlead_balance::Micros;

use super::{
    AttemptId, Death, DialError, Driver, Event, Exchange, Failure, Flags, Opened, Peer, Plan, Report, Retry,
    Step, Want,
};
use crate::timer::NEVER;

const GET: Plan = Plan {
    idempotent: true,
    upgrade: false,
    replayable: true,
    repeats: 1,
    deadline: NEVER,
    attempt_timeout: None,
    hedge_after: Micros(200_000),
    connect_timeout: Micros(1_000_000),
};
const POST: Plan = Plan { idempotent: false, ..GET };
const T0: Micros = Micros(5_000_000);

/// The Endpoint of a number.
const fn peer(number: u32) -> Peer {
    Peer { index: number, generation: 3 }
}

/// What the mock's Endpoints do when they are opened.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Mood {
    Warm,
    Dials,
    Refuses,
    NoDescriptors,
    /// Has as many connections as it may have.
    Full,
}

/// Endpoints 10, 11, 12 ... in this order; the first that is not excluded is picked.
struct Mock {
    moods: Vec<Mood>,
    budget: u32,
    opened: Vec<(Want, u32)>,
    reports: Vec<(u32, Report)>,
    abandoned: Vec<u8>,
    retries: Vec<Retry>,
    /// How many more may wait for room.
    queue: u32,
    overflows: u32,
}

impl Mock {
    fn new(moods: &[Mood]) -> Self {
        Self {
            moods: moods.to_vec(),
            budget: 100,
            opened: vec![],
            reports: vec![],
            abandoned: vec![],
            retries: vec![],
            queue: 0,
            overflows: 0,
        }
    }

    fn peers(&self) -> Vec<u32> {
        self.opened.iter().map(|(_, number)| *number).collect()
    }
}

impl Driver for Mock {
    fn open(&mut self, _: AttemptId, want: Want, exclude: &[Peer], only: Option<Peer>) -> Opened {
        let mut candidates = (0..self.moods.len()).filter(|index| {
            let peer = peer(10 + *index as u32);
            only.map_or(!exclude.contains(&peer), |only| only == peer)
        });
        let any = candidates.clone().next().is_some();
        let Some(index) = candidates.find(|index| self.moods[*index] != Mood::Full) else {
            return if any { Opened::Full } else { Opened::NoEndpoint };
        };
        let peer = peer(10 + index as u32);
        self.opened.push((want, peer.index));
        match self.moods[index] {
            Mood::Warm if want != Want::Dial => Opened::Pooled(peer),
            Mood::Warm | Mood::Dials => Opened::Dialing(peer),
            Mood::Refuses => Opened::Refused(peer, DialError::Refused),
            Mood::NoDescriptors => Opened::Refused(peer, DialError::Local),
            Mood::Full => Opened::Full,
        }
    }

    fn take_budget(&mut self) -> bool {
        let left = self.budget > 0;
        self.budget = self.budget.saturating_sub(1);
        left
    }

    fn count(&mut self, retry: Retry) {
        self.retries.push(retry);
    }

    fn ask_for_room(&mut self, _: &[Peer], _: Micros) -> bool {
        let may = self.queue > 0;
        self.queue = self.queue.saturating_sub(1);
        may
    }

    fn count_overflow(&mut self) {
        self.overflows += 1;
    }

    fn report(&mut self, _: AttemptId, peer: Peer, report: Report) {
        self.reports.push((peer.index, report));
    }

    fn abandon(&mut self, id: AttemptId) {
        self.abandoned.push(id.0);
    }
}

fn begin(plan: Plan, moods: &[Mood]) -> (Exchange, Mock, Step) {
    let mut driver = Mock::new(moods);
    let mut exchange = Exchange::over();
    let step = exchange.start(plan, T0, &mut driver);
    (exchange, driver, step)
}

fn after(millis: u64) -> Micros {
    Micros(T0.0 + millis * 1_000)
}

use Mood::{Dials, Full, NoDescriptors, Refuses, Warm};

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
fn a_silent_endpoint_is_reported_and_not_dialled_again() {
    let (mut exchange, mut driver, _) = begin(GET, &[Warm]);
    exchange.on(Event::Sent, T0, &mut driver);
    let step = exchange.on(Event::Died(Death::Silent), after(2_000), &mut driver);
    assert_eq!(step, Step::Fail(Failure::SILENT));
    assert_eq!(driver.reports, [(10, Report::Died(Death::Silent))]);
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

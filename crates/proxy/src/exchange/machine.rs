//! The machine itself; its laws stand at the head of the [module](super).

use fairlead_balance::Micros;

use super::{
    AttemptId, Death, DialError, Driver, Event, Failure, Flags, MAX_ATTEMPTS, Opened, Peer, Plan, Report,
    Retry, Step, Want,
};
use crate::timer::NEVER;

/// A dial without an answer yet.
#[derive(Clone, Copy, Debug)]
struct Dial {
    id: AttemptId,
    peer: Peer,
    hedge_at: Micros,
    give_up_at: Micros,
    /// Already told to the Ledger as failed.
    counted: bool,
}

/// The attempt whose connection carries the request.
#[derive(Clone, Copy, Debug)]
struct Carrier {
    id: AttemptId,
    peer: Peer,
    pooled: bool,
    sent: bool,
    deadline: Micros,
}

/// One request with its attempts.
#[derive(Debug)]
pub(crate) struct Exchange {
    plan: Plan,
    dials: [Option<Dial>; MAX_ATTEMPTS],
    carrier: Option<Carrier>,
    tried: [Peer; MAX_ATTEMPTS],
    opened: u8,
    repeats_left: u8,
    replayable: bool,
    responded: bool,
    over: bool,
    /// How the latest attempt failed.
    last: Option<Failure>,
    /// The Endpoint whose pooled connection failed last (law 4).
    stale: Option<Peer>,
    /// What the next attempt wants, while it waits for room (law 8).
    waiting: Option<Want>,
    /// When waiting for room ends, however often it waits; [`NEVER`] before the first time.
    room_until: Micros,
}

impl Exchange {
    /// A machine that is over before it began, for a connection without a request: [`start`](Self::start) is next.
    pub(crate) fn over() -> Self {
        let plan = Plan {
            idempotent: false,
            upgrade: false,
            replayable: false,
            repeats: 0,
            deadline: NEVER,
            attempt_timeout: None,
            hedge_after: NEVER,
            connect_timeout: NEVER,
        };
        Self {
            plan,
            dials: [None; MAX_ATTEMPTS],
            carrier: None,
            tried: [Peer { index: u32::MAX, generation: u32::MAX }; MAX_ATTEMPTS],
            opened: 0,
            repeats_left: 0,
            replayable: false,
            responded: false,
            over: true,
            last: None,
            stale: None,
            waiting: None,
            room_until: NEVER,
        }
    }

    /// Begins the next request and opens its first attempt. What the one before has left empty, dials and carrier, is
    /// not touched: it is memory that most requests never need.
    pub(crate) fn start(&mut self, plan: Plan, now: Micros, driver: &mut impl Driver) -> Step {
        debug_assert!(self.over && self.carrier.is_none() && self.dials.iter().all(Option::is_none));
        self.plan = plan;
        self.opened = 0;
        self.repeats_left = plan.repeats;
        self.replayable = plan.replayable;
        self.responded = false;
        self.over = false;
        self.last = None;
        self.stale = None;
        self.waiting = None;
        self.room_until = NEVER;
        let once = self.plan.upgrade || !self.plan.idempotent || !self.plan.replayable;
        self.open_next(if once { Want::Fresh } else { Want::Any }, now, driver)
    }

    /// How many attempts were opened.
    pub(crate) fn attempts(&self) -> u8 {
        self.opened
    }

    /// The attempt that carries the request.
    pub(crate) fn carrier(&self) -> Option<AttemptId> {
        self.carrier.map(|carrier| carrier.id)
    }

    /// Whether a byte of the request has gone to the Endpoint that is to answer.
    pub(crate) fn is_sent(&self) -> bool {
        self.carrier.is_some_and(|carrier| carrier.sent)
    }

    /// Whether it waits for room at an Endpoint.
    pub(crate) fn awaits_room(&self) -> bool {
        self.waiting.is_some()
    }

    /// When [`Event::Tick`] is due, or [`NEVER`].
    pub(crate) fn next_deadline(&self) -> Micros {
        if self.over {
            return NEVER;
        }
        let dials = self.dials.iter().flatten().map(|dial| dial.hedge_at.min(dial.give_up_at));
        let room = if self.waiting.is_some() { self.room_until } else { NEVER };
        let first = self.plan.deadline.min(room);
        dials.chain(self.carrier.map(|carrier| carrier.deadline)).fold(first, Micros::min)
    }

    /// A tunnel or a stream has begun: no deadline of the route binds it any more.
    pub(crate) fn lift_deadlines(&mut self) {
        self.plan.deadline = NEVER;
        if let Some(carrier) = &mut self.carrier {
            carrier.deadline = NEVER;
        }
    }

    /// Takes one event.
    pub(crate) fn on(&mut self, event: Event, now: Micros, driver: &mut impl Driver) -> Step {
        if self.over {
            return Step::Continue;
        }
        match event {
            Event::Room => match self.waiting.take() {
                Some(want) => self.open_next(want, now, driver),
                None => Step::Continue,
            },
            Event::Connected(id) => self.connected(id, now, driver),
            Event::DialFailed(id, error) => self.dial_failed(id, error, now, driver),
            Event::Sent => {
                if let Some(carrier) = &mut self.carrier {
                    carrier.sent = true;
                }
                Step::Continue
            }
            Event::Unrepeatable => {
                self.replayable = false;
                Step::Continue
            }
            Event::FirstByte => {
                self.responded = true;
                Step::Continue
            }
            Event::Died(death) => self.died(death, now, driver),
            Event::Broke(death) => {
                if let Some(carrier) = self.carrier {
                    driver.report(carrier.id, carrier.peer, Report::Died(death));
                }
                self.fail(
                    if death == Death::Protocol { Failure::PROTOCOL } else { Failure::TRUNCATED },
                    driver,
                )
            }
            Event::ClientGone => {
                self.finish(driver);
                Step::Close(Failure::CLIENT_GONE)
            }
            Event::Stalled(failure) => {
                self.report_timeout(driver);
                self.fail(failure, driver)
            }
            Event::Abort(failure) => self.fail(failure, driver),
            Event::Finished => {
                self.carrier = None;
                self.finish(driver);
                Step::Continue
            }
            Event::Tick => self.tick(now, driver),
        }
    }

    /// Opens attempts until one stands or none can be had.
    fn open_next(&mut self, want: Want, now: Micros, driver: &mut impl Driver) -> Step {
        let mut want = want;
        let mut only = None;
        while usize::from(self.opened) < MAX_ATTEMPTS {
            let id = AttemptId(self.opened);
            let exclude = if only.is_some() { &[][..] } else { &self.tried[..usize::from(self.opened)] };
            match driver.open(id, want, exclude, only) {
                Opened::Pooled(peer) => {
                    self.try_peer(peer);
                    self.carry(Carrier { id, peer, pooled: true, sent: false, deadline: NEVER }, now);
                    return Step::Send(id);
                }
                Opened::Dialing(peer) => {
                    self.dialing(id, peer, now);
                    return Step::Wait;
                }
                Opened::Refused(peer, error) => {
                    self.try_peer(peer);
                    self.last = Some(dial_failure(error));
                    if error == DialError::Local {
                        return self.fail(Failure::LOCAL, driver);
                    }
                    driver.report(id, peer, Report::DialFailed(error));
                    driver.count(Retry::NeverSent);
                }
                none @ (Opened::NoEndpoint | Opened::Full) => {
                    only = self.stale.take();
                    if only.is_none() {
                        return match none {
                            Opened::Full => self.wait_for_room(want, now, driver),
                            _ => self.fail(self.last.unwrap_or(Failure::NO_ENDPOINT), driver),
                        };
                    }
                    want = Want::Dial;
                    continue;
                }
            }
            want = Want::Dial;
            only = None;
        }
        self.fail(self.last.unwrap_or(Failure::CONNECT).with(Flags::URX), driver)
    }

    fn wait_for_room(&mut self, want: Want, now: Micros, driver: &mut impl Driver) -> Step {
        if self.room_until == NEVER {
            self.room_until = now + self.plan.connect_timeout;
        }
        let tried = &self.tried[..usize::from(self.opened)];
        if now < self.room_until && driver.ask_for_room(tried, self.room_until) {
            self.waiting = Some(want);
            return Step::Wait;
        }
        driver.count_overflow();
        self.fail(self.last.map_or(Failure::OVERFLOW, |last| last.with(Flags::UO)), driver)
    }

    fn spend(retry: Retry, driver: &mut impl Driver) -> bool {
        let granted = driver.take_budget();
        driver.count(if granted { retry } else { Retry::BudgetExhausted });
        granted
    }

    fn try_peer(&mut self, peer: Peer) {
        self.tried[usize::from(self.opened)] = peer;
        self.opened += 1;
    }

    fn dialing(&mut self, id: AttemptId, peer: Peer, now: Micros) {
        self.try_peer(peer);
        if let Some(free) = self.dials.iter_mut().find(|dial| dial.is_none()) {
            let (hedge_at, give_up_at) = (now + self.plan.hedge_after, now + self.plan.connect_timeout);
            *free = Some(Dial { id, peer, hedge_at, give_up_at, counted: false });
        }
    }

    fn carry(&mut self, mut carrier: Carrier, now: Micros) {
        carrier.deadline = self.plan.attempt_timeout.map_or(NEVER, |timeout| now + timeout);
        self.carrier = Some(carrier);
    }

    fn take_dial(&mut self, id: AttemptId) -> Option<Dial> {
        self.dials.iter_mut().find(|dial| dial.is_some_and(|dial| dial.id == id)).and_then(Option::take)
    }

    fn connected(&mut self, id: AttemptId, now: Micros, driver: &mut impl Driver) -> Step {
        let Some(dial) = self.take_dial(id) else { return Step::Continue };
        if self.carrier.is_some() {
            driver.abandon(id);
            return Step::Continue;
        }
        self.carry(Carrier { id, peer: dial.peer, pooled: false, sent: false, deadline: NEVER }, now);
        self.abandon_dials(driver);
        Step::Send(id)
    }

    fn dial_failed(
        &mut self,
        id: AttemptId,
        error: DialError,
        now: Micros,
        driver: &mut impl Driver,
    ) -> Step {
        let Some(dial) = self.take_dial(id) else { return Step::Continue };
        if !dial.counted && error != DialError::Local {
            driver.report(id, dial.peer, Report::DialFailed(error));
        }
        driver.abandon(id);
        self.last = Some(dial_failure(error));
        self.stale = None;
        if self.carrier.is_some() || self.dials.iter().any(Option::is_some) {
            return Step::Continue;
        }
        driver.count(Retry::NeverSent);
        self.open_next(Want::Dial, now, driver)
    }

    fn died(&mut self, death: Death, now: Micros, driver: &mut impl Driver) -> Step {
        let Some(carrier) = self.carrier.take() else { return Step::Continue };
        // An idle connection that its server closed says nothing about the server.
        if carrier.sent || matches!(death, Death::Silent | Death::Protocol) {
            driver.report(carrier.id, carrier.peer, Report::Died(death));
        }
        driver.abandon(carrier.id);
        let failure = match death {
            Death::Closed => Failure::CLOSED,
            Death::Reset => Failure::RESET,
            Death::Silent => Failure::SILENT,
            Death::Protocol => Failure::PROTOCOL,
        };
        self.last = Some(failure);
        self.stale = (carrier.pooled && death != Death::Silent).then_some(carrier.peer);
        if now >= self.plan.deadline {
            return self.fail(Failure::TIMEOUT, driver);
        }
        if !carrier.sent {
            driver.count(Retry::NeverSent);
            return self.open_next(Want::Dial, now, driver);
        }
        let allowed = self.plan.repeats > 0
            && self.plan.idempotent
            && !self.plan.upgrade
            && self.replayable
            && !self.responded
            && death != Death::Protocol;
        if !allowed {
            return self.fail(failure, driver);
        }
        if self.repeats_left == 0
            || usize::from(self.opened) == MAX_ATTEMPTS
            || !Self::spend(Retry::Repeat, driver)
        {
            return self.fail(failure.with(Flags::URX), driver);
        }
        self.repeats_left -= 1;
        self.open_next(Want::Dial, now, driver)
    }

    fn tick(&mut self, now: Micros, driver: &mut impl Driver) -> Step {
        if now >= self.plan.deadline {
            self.report_timeout(driver);
            return self.fail(Failure::TIMEOUT, driver);
        }
        if self.carrier.is_some_and(|carrier| now >= carrier.deadline) {
            self.report_timeout(driver);
            return self.fail(Failure::ATTEMPT_TIMEOUT, driver);
        }
        if let Some(want) = self.waiting {
            if now < self.room_until {
                return Step::Continue;
            }
            // A last look: there may be room where this one did not wait.
            self.waiting = None;
            return self.open_next(want, now, driver);
        }
        for slot in 0..MAX_ATTEMPTS {
            let Some(mut dial) = self.dials[slot] else { continue };
            if now < dial.hedge_at.min(dial.give_up_at) {
                continue;
            }
            if !dial.counted {
                dial.counted = true;
                driver.report(dial.id, dial.peer, Report::DialFailed(DialError::TimedOut));
            }
            if now >= dial.give_up_at {
                self.dials[slot] = None;
                self.last = Some(Failure::CONNECT_TIMEOUT);
                self.stale = None;
                driver.abandon(dial.id);
                continue;
            }
            dial.hedge_at = NEVER;
            self.dials[slot] = Some(dial);
            if usize::from(self.opened) < MAX_ATTEMPTS && Self::spend(Retry::Hedge, driver) {
                self.hedge(now, driver);
            }
        }
        if self.carrier.is_none() && self.dials.iter().all(Option::is_none) {
            return self.open_next(Want::Dial, now, driver);
        }
        Step::Continue
    }

    /// Dials one more Endpoint, if there is one.
    fn hedge(&mut self, now: Micros, driver: &mut impl Driver) {
        while usize::from(self.opened) < MAX_ATTEMPTS {
            let id = AttemptId(self.opened);
            match driver.open(id, Want::Dial, &self.tried[..usize::from(self.opened)], None) {
                Opened::Dialing(peer) => return self.dialing(id, peer, now),
                Opened::Refused(peer, error) => {
                    self.try_peer(peer);
                    if error == DialError::Local {
                        return;
                    }
                    driver.report(id, peer, Report::DialFailed(error));
                }
                Opened::NoEndpoint | Opened::Full | Opened::Pooled(_) => return,
            }
        }
    }

    fn report_timeout(&self, driver: &mut impl Driver) {
        if let Some(carrier) = self.carrier.filter(|carrier| carrier.sent) {
            driver.report(carrier.id, carrier.peer, Report::TimedOut);
        }
    }

    fn fail(&mut self, failure: Failure, driver: &mut impl Driver) -> Step {
        self.finish(driver);
        Step::Fail(failure)
    }

    fn finish(&mut self, driver: &mut impl Driver) {
        self.over = true;
        self.waiting = None;
        self.abandon_dials(driver);
        if let Some(carrier) = self.carrier.take() {
            driver.abandon(carrier.id);
        }
    }

    fn abandon_dials(&mut self, driver: &mut impl Driver) {
        for slot in &mut self.dials {
            if let Some(dial) = slot.take() {
                driver.abandon(dial.id);
            }
        }
    }
}

fn dial_failure(error: DialError) -> Failure {
    match error {
        DialError::Refused | DialError::Unreachable => Failure::CONNECT,
        DialError::TimedOut => Failure::CONNECT_TIMEOUT,
        DialError::Spoke => Failure::PROTOCOL,
        DialError::Local => Failure::LOCAL,
    }
}

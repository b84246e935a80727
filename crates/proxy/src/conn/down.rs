//! A client's connection: from one request to the next.
//!
//! Laws:
//! 1. One Exchange at a time: what the client pipelines behind a request stays unread until its response is out.
//! 2. A connection does at most [`STEPS`] steps at a time.
//! 3. After an error the connection lingers: our direction ends, the client's is read and dropped for a bounded time,
//!    so that the answer is not lost to a reset (RFC 9112 section 9.6).
//! 4. A message that was cut off ends with a reset, never with an orderly close.
//! 5. A client that has ended its direction still waits for its answer, as long as the request's deadlines allow. One
//!    that is gone may look the same until it is written to: then, or at a keep-alive probe, its system answers with a
//!    reset, and that ends the Exchange at once.
//! 6. Each connection has one alarm. It may have been set for what is over: whether something is due is asked again when
//!    it rings.

use fairlead_balance::Micros;
use fairlead_http1::{RequestHead, write_error};

use super::socket::ReadEnd;
use super::state::{Active, Flow, Phase, Stage};
use crate::exchange::{Death, Event, Failure, Flags, Step};
use crate::shared::Phase as Life;
use crate::timer::NEVER;
use crate::worker::Worker;
use crate::worker::slab::Key;
use crate::worker::upstream::Hands;

/// Steps of one connection before others get their turn.
const STEPS: usize = 8;
/// Free actives that are kept: as many as requests usually run at once.
const SPARE: usize = 1_024;
/// Bytes of an unread body that are dropped in order to keep a connection.
pub(super) const DRAIN_BYTES: usize = 64 * 1024;
/// Bytes that are dropped while lingering.
pub(crate) const LINGER_BYTES: usize = 1024 * 1024;
/// Refused by what HTTP allows; counted by the codec's code.
const DEADLINE: Failure = Failure::new(408, Flags::DPE, "request_head_timeout");
const STALLED_CLIENT: Failure = Failure::new(408, Flags::SI, "stream_idle_timeout");

/// What a step led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something moved: look again.
    Moved,
    /// Nothing can move until something happens.
    Wait,
}

impl Worker {
    /// Lets a client's connection do what it can.
    pub(crate) fn drive(&mut self, key: Key) {
        let Some(active) = self.take_active(key) else { return };
        self.drive_with(key, active);
    }

    /// Tells a connection's Exchange of an event, then lets it do what it can.
    pub(crate) fn notify(&mut self, key: Key, event: Event) {
        let Some(mut active) = self.take_active(key) else { return };
        self.tell(key, &mut active, event);
        self.drive_with(key, active);
    }

    /// The connection's request in progress. One is made if the client may have something to say.
    fn take_active(&mut self, key: Key) -> Option<Box<Active>> {
        let down = self.down(key)?;
        match down.active.take() {
            Some(active) => Some(active),
            None if down.socket.is_readable() => {
                Some(self.spare.pop().unwrap_or_else(|| Box::new(Active::new())))
            }
            None => None,
        }
    }

    fn drive_with(&mut self, key: Key, mut active: Box<Active>) {
        for _ in 0..STEPS {
            let phase = active.flow.phase;
            let progress = match phase {
                Phase::Head => self.read_head(key, &mut active),
                Phase::Relay => self.relay(key, &mut active),
                Phase::Drain => self.drain(key, &mut active),
                Phase::Linger => self.linger(key, &mut active),
                Phase::Tunnel => self.tunnel(key, &mut active),
                Phase::Closed { reset } => {
                    self.release(key, active);
                    self.close_down(key, reset);
                    return;
                }
            };
            if progress == Progress::Wait && !matches!(active.flow.phase, Phase::Closed { .. }) {
                return self.rest(key, active);
            }
            if phase != Phase::Head && active.flow.phase == Phase::Head {
                // The next request stands in line, if it is there already.
                if active.flow.inbound.is_none() && !self.may_read(key) {
                    return self.rest(key, active);
                }
                break;
            }
        }
        self.put_back(key, active);
        self.line_up(key);
    }

    fn may_read(&mut self, key: Key) -> bool {
        self.down(key).is_some_and(|down| down.socket.is_readable())
    }

    /// Nothing moves: give up what is not needed, set the deadline.
    fn rest(&mut self, key: Key, mut active: Box<Active>) {
        active.flow.settle(&mut self.buffers);
        let idle = active.flow.phase == Phase::Head && active.flow.inbound.is_none();
        if idle {
            self.keep_spare(active);
            if self.phase >= Life::Closing && self.keeps_idle_until.is_none() {
                return self.close_down(key, false);
            }
            let until = self.now + self.times.downstream_idle;
            return self.alarm(key, until);
        }
        let deadline = self.deadline(&active);
        self.put_back(key, active);
        self.alarm(key, deadline);
    }

    fn put_back(&mut self, key: Key, active: Box<Active>) {
        match self.down(key) {
            Some(down) => down.active = Some(active),
            None => self.release(key, active),
        }
    }

    /// Ends whatever an Active holds and puts it on the free list.
    fn release(&mut self, key: Key, mut active: Box<Active>) {
        let now = self.now;
        let Active { machine, flow } = &mut *active;
        machine.on(Event::ClientGone, now, &mut Hands { worker: self, flow, owner: key });
        self.close_account(key, &mut active);
        let flow = &mut active.flow;
        self.buffers.give_any(&mut flow.inbound);
        self.buffers.give_any(&mut flow.outbound);
        if let Some(tunnel) = &mut flow.tunnel {
            tunnel.give_buffers(&mut self.buffers);
        }
        flow.next();
        self.keep_spare(active);
    }

    /// Puts an Active that holds nothing on the free list.
    fn keep_spare(&mut self, active: Box<Active>) {
        debug_assert!(
            !active.flow.account.open && active.flow.inbound.is_none() && active.flow.outbound.is_none()
        );
        if self.spare.len() < SPARE {
            self.spare.push(active);
        }
    }

    /// Gives the machine an event and does what it says.
    pub(super) fn tell(&mut self, key: Key, active: &mut Active, event: Event) {
        let now = self.now;
        let Active { machine, flow } = active;
        let step = machine.on(event, now, &mut Hands { worker: self, flow, owner: key });
        self.take_step(active, step);
    }

    pub(crate) fn take_step(&mut self, active: &mut Active, step: Step) {
        let flow = &mut active.flow;
        match step {
            Step::Continue | Step::Wait => {}
            Step::Send(_) => {
                flow.request.sent = 0;
                flow.request.broken = false;
                flow.moved_at = self.now;
            }
            Step::Fail(failure) => self.answer(active, failure),
            Step::Close(failure) => {
                flow.account.fail(failure);
                flow.phase = Phase::Closed { reset: flow.response.stage != Stage::Waiting };
            }
        }
    }

    /// Answers by ourselves, or cuts the connection off if the response has begun.
    pub(crate) fn answer(&mut self, active: &mut Active, failure: Failure) {
        let flow = &mut active.flow;
        flow.account.fail(failure);
        if flow.response.stage != Stage::Waiting {
            flow.phase = Phase::Closed { reset: true };
            return;
        }
        flow.account.status = failure.status;
        flow.moved_at = self.now;
        self.buffers.give_any(&mut flow.outbound);
        let response = &mut flow.response;
        response.ready = 0;
        response.ended = true;
        response.upstream_persists = false;
        response.persists = flow.request.keep_alive
            && failure.status != 408
            && self.phase == Life::Running
            && flow.request.is_drainable();
        response.stage = Stage::Local;
        let head_only = flow.request.method == fairlead_http1::Method::Head;
        write_error(&mut response.aside, failure.status, !response.persists, head_only);
        flow.phase = Phase::Relay;
    }

    /// Refuses what is not a request: answers, then closes.
    pub(crate) fn refuse(&mut self, key: Key, active: &mut Active, failure: Failure) {
        self.cell().stats.refused.add(failure.reason);
        active.flow.request.keep_alive = false;
        self.count_unrouted(key, &mut active.flow);
        self.answer(active, failure);
    }

    fn read_head(&mut self, key: Key, active: &mut Active) -> Progress {
        let flow = &mut active.flow;
        loop {
            if let Some(buffer) = flow.inbound.as_mut().filter(|buffer| !buffer.is_empty()) {
                // An empty line may precede a request, whose sender may also be done (RFC 9112 §2.2): it begins none.
                if !flow.account.open && !matches!(buffer.filled(), b"\r" | b"\r\n") {
                    flow.account.open(self.now, &self.shared.workers[self.index]);
                    flow.until = NEVER;
                }
                if flow.until == NEVER {
                    flow.until = self.now + self.times.request_head;
                }
                let cursor = &mut flow.request.cursor;
                match RequestHead::parse(buffer.filled(), cursor, &mut self.fields, &self.request_limits) {
                    Ok(Some(head)) => {
                        flow.until = NEVER;
                        self.begin(key, active, &head);
                        return Progress::Moved;
                    }
                    Ok(None) => {
                        if buffer.is_full() && !buffer.grow(self.request_limits.max_head + 1) {
                            self.refuse(key, active, Failure::new(431, Flags::DPE, "head_too_large"));
                            return Progress::Moved;
                        }
                    }
                    Err(error) => {
                        let failure = Failure::new(error.status(), Flags::DPE, error.reason().as_str());
                        self.refuse(key, active, failure);
                        return Progress::Moved;
                    }
                }
            }
            let Some(super::state::Conn::Down(down)) = self.conns.get_mut(key) else { return Progress::Wait };
            match down.socket.read(self.buffers.ensure(&mut flow.inbound)) {
                ReadEnd::Data(_) => {}
                ReadEnd::Blocked => return Progress::Wait,
                ReadEnd::Eof | ReadEnd::Dead(_) => {
                    if flow.account.open {
                        flow.account.fail(Failure::CLIENT_GONE);
                    }
                    flow.phase = Phase::Closed { reset: false };
                    return Progress::Wait;
                }
            }
        }
    }

    fn relay(&mut self, key: Key, active: &mut Active) -> Progress {
        let Some(down) = self.down(key) else { return Progress::Wait };
        if down.socket.is_dead() && active.flow.response.stage != Stage::Local {
            self.tell(key, active, Event::ClientGone);
            return Progress::Moved;
        }
        let sent = self.send_request(key, active);
        let relays = active.flow.phase == Phase::Relay;
        let answered = relays && self.relay_response(key, active);
        if sent || answered {
            active.flow.moved_at = self.now;
        }
        // Of a request that has gone whole nothing is left to be sent: another look would find nothing.
        let settled = relays && !answered && active.flow.request.is_done();
        if (sent || answered) && !settled { Progress::Moved } else { Progress::Wait }
    }

    /// Whether the client has ended its direction: an attempt that dies now is not repeated.
    pub(super) fn has_left(&mut self, key: Key) -> bool {
        self.down(key).is_none_or(|down| down.socket.is_hung_up())
    }

    /// The response is out: what becomes of the connection.
    pub(super) fn end_response(&mut self, key: Key, active: &mut Active) {
        self.close_account(key, active);
        let flow = &mut active.flow;
        let persists = flow.response.persists;
        if persists && flow.request.received {
            flow.next();
            return;
        }
        flow.until = self.now + self.times.linger;
        if persists {
            flow.patience = DRAIN_BYTES;
            flow.phase = Phase::Drain;
            return;
        }
        let Some(down) = self.down(key) else { return };
        let unread = !active.flow.request.received
            || active.flow.inbound.as_ref().is_some_and(|buffer| !buffer.is_empty())
            || (down.socket.is_readable() && !down.socket.is_hung_up());
        if unread {
            down.socket.shutdown_write();
            self.linger_on(&mut active.flow);
        } else {
            active.flow.phase = Phase::Closed { reset: false };
        }
    }

    /// Our direction has ended: the client's is read and dropped.
    pub(super) fn linger_on(&self, flow: &mut Flow) {
        flow.until = self.now + self.times.linger;
        flow.patience = LINGER_BYTES;
        flow.phase = Phase::Linger;
    }

    /// Drops the rest of a request's body, as much of it as one read gives.
    fn drain(&mut self, key: Key, active: &mut Active) -> Progress {
        let flow = &mut active.flow;
        if let Some(buffer) = &mut flow.inbound {
            let ready = std::mem::take(&mut flow.request.ready);
            buffer.consume(ready);
            if !buffer.is_empty() {
                let Ok(progress) = flow.request.body.advance(buffer.filled()) else {
                    flow.phase = Phase::Closed { reset: false };
                    return Progress::Wait;
                };
                buffer.consume(progress.consumed);
                flow.patience = flow.patience.saturating_sub(progress.consumed);
                if progress.done {
                    flow.next();
                    return Progress::Moved;
                }
            }
        }
        if flow.patience == 0 {
            flow.phase = Phase::Closed { reset: false };
            return Progress::Wait;
        }
        self.read_unwanted(key, active)
    }

    /// Reads and drops until the client has closed too.
    fn linger(&mut self, key: Key, active: &mut Active) -> Progress {
        let flow = &mut active.flow;
        if let Some(buffer) = &mut flow.inbound {
            let count = buffer.len();
            buffer.consume(count);
            flow.patience = flow.patience.saturating_sub(count);
        }
        if flow.patience == 0 {
            flow.phase = Phase::Closed { reset: false };
            return Progress::Wait;
        }
        self.read_unwanted(key, active)
    }

    /// Reads once what is to be dropped; the buffer must be empty.
    fn read_unwanted(&mut self, key: Key, active: &mut Active) -> Progress {
        let flow = &mut active.flow;
        let Some(super::state::Conn::Down(down)) = self.conns.get_mut(key) else { return Progress::Wait };
        match down.socket.read(self.buffers.ensure(&mut flow.inbound)) {
            ReadEnd::Data(_) => Progress::Moved,
            ReadEnd::Blocked => Progress::Wait,
            ReadEnd::Eof | ReadEnd::Dead(_) => {
                flow.phase = Phase::Closed { reset: false };
                Progress::Wait
            }
        }
    }

    fn deadline(&self, active: &Active) -> Micros {
        let flow = &active.flow;
        match flow.phase {
            Phase::Head | Phase::Drain | Phase::Linger | Phase::Tunnel => flow.until,
            Phase::Relay => {
                let stalls = flow.response.is_pending()
                    || !flow.request.received
                    || (active.machine.carrier().is_some() && !flow.request.is_done());
                let stall = if stalls { flow.moved_at + self.times.stream_idle } else { NEVER };
                active.machine.next_deadline().min(stall)
            }
            Phase::Closed { .. } => NEVER,
        }
    }

    /// The alarm of a client's connection has rung.
    pub(crate) fn on_deadline(&mut self, key: Key) {
        let Some(down) = self.down(key) else { return };
        let Some(mut active) = down.active.take() else {
            // A request that stands in line has come in time.
            return if down.socket.is_readable() { self.drive(key) } else { self.close_down(key, false) };
        };
        let deadline = self.deadline(&active);
        if deadline > self.now {
            self.put_back(key, active);
            return self.alarm(key, deadline);
        }
        match active.flow.phase {
            Phase::Head => self.head_deadline(key, &mut active),
            Phase::Drain | Phase::Linger => active.flow.phase = Phase::Closed { reset: false },
            Phase::Relay => self.relay_deadline(key, &mut active),
            Phase::Tunnel => self.tunnel_deadline(&mut active),
            Phase::Closed { .. } => {}
        }
        self.drive_with(key, active);
    }

    /// The rest of a head may stand in line: then it has come in time.
    fn head_deadline(&mut self, key: Key, active: &mut Active) {
        if self.may_read(key) {
            self.read_head(key, active);
        }
        match active.flow.phase {
            Phase::Head if active.flow.account.open => self.refuse(key, active, DEADLINE),
            Phase::Head => active.flow.phase = Phase::Closed { reset: false },
            _ => {}
        }
    }

    fn relay_deadline(&mut self, key: Key, active: &mut Active) {
        if active.machine.next_deadline() <= self.now {
            return self.tell(key, active, Event::Tick);
        }
        if active.flow.response.stage == Stage::Local {
            active.flow.phase = Phase::Closed { reset: true };
        } else if active.flow.request.is_held_up() && !active.flow.response.is_pending() {
            self.tell(key, active, Event::Stalled(Failure::new(504, Flags::SI, "upstream_write_timeout")));
        } else {
            self.cell().stats.refused.add(STALLED_CLIENT.reason);
            self.tell(key, active, Event::Abort(STALLED_CLIENT));
        }
    }

    /// The upstream's connection ended before the response began.
    pub(super) fn upstream_died(&mut self, key: Key, active: &mut Active, death: Death) {
        let event = if active.flow.response.begun { Event::Broke(death) } else { Event::Died(death) };
        if self.has_left(key) {
            // Perhaps it waits for an answer; perhaps nobody does, and then nothing is repeated.
            self.tell(key, active, Event::Unrepeatable);
        }
        self.buffers.give_any(&mut active.flow.outbound);
        self.tell(key, active, event);
    }
}

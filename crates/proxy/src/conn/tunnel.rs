//! After 101: bytes both ways, whatever they mean.
//!
//! Laws:
//! 1. Bytes pass unchanged and in order; what either side sent behind its head is part of the tunnel, and goes after
//!    what is left of the heads, however early the 101 came.
//! 2. Each direction ends by itself ([`Direction`]). A side that died ends both: what it said is not whole, and the
//!    other side is told so by a reset.
//! 3. WebSocket frame boundaries are tracked from the first byte, so that a drain can speak between two frames.
//! 4. No deadline while both directions are open and nothing is held up. Bytes that nobody takes end the tunnel after
//!    `stream_idle`; a direction that is left alone, after the time that an idle client has.

use fairlead_balance::Micros;

use super::buffer::Buffers;
use super::direction::{Direction, Flowed};
use super::down::Progress;
use super::socket::Socket;
use super::state::{Active, Conn, Phase};
use crate::exchange::{Death, Event, Failure, Flags};
use crate::timer::NEVER;
use crate::worker::Worker;
use crate::worker::slab::Key;
use crate::worker::upstream::Hands;

/// Nobody takes what is held up, or the direction that is left says nothing.
const STALLED: Failure = Failure::new(0, Flags::SI, "stream_idle_timeout");

/// Both directions.
#[derive(Debug)]
pub(crate) struct Tunnel {
    up: Key,
    to_endpoint: Direction,
    to_client: Direction,
}

/// How both directions fared.
#[derive(Debug, Default)]
struct Passed {
    moved: bool,
    /// Bytes that the client's kernel took, and the Endpoint's.
    sent: u64,
    received: u64,
    /// A side died: who, as the access log calls it.
    dead: Option<Failure>,
}

impl Tunnel {
    pub(super) fn give_buffers(&mut self, buffers: &mut Buffers) {
        self.to_endpoint.give_buffer(buffers);
        self.to_client.give_buffer(buffers);
    }

    /// Moves both directions on.
    fn pass(&mut self, down: &mut Socket, up: &mut Socket, buffers: &mut Buffers, now: Micros) -> Passed {
        let Self { to_client, to_endpoint, .. } = self;
        let was_half = to_client.is_over() || to_endpoint.is_over();
        let mut dead = None;
        let (back, sent) = to_client.pass(up, down, to_endpoint.lost(), buffers, now);
        if back == Flowed::Dead {
            dead = Some(Failure::TRUNCATED);
        }
        let (there, received) = to_endpoint.pass(down, up, to_client.lost(), buffers, now);
        if there == Flowed::Dead {
            dead = Some(Failure::CLIENT_GONE);
            up.reset_on_close();
        }
        let mut moved = back == Flowed::Moved || there == Flowed::Moved;
        moved |= to_client.cut_if_dead(to_endpoint, down, buffers);
        moved |= to_endpoint.cut_if_dead(to_client, up, buffers);
        if !was_half && (to_client.is_over() || to_endpoint.is_over()) {
            to_client.touch(now);
            to_endpoint.touch(now);
        }
        Passed { moved, sent, received, dead }
    }

    fn is_over(&self) -> bool {
        self.to_endpoint.is_over() && self.to_client.is_over()
    }

    /// When it ends unless something moves before.
    fn deadline(&self, stall: Micros, idle: Micros) -> Micros {
        let left = self.to_endpoint.is_over() || self.to_client.is_over();
        let of = |direction: &Direction| direction.deadline(left, stall, idle);
        of(&self.to_endpoint).min(of(&self.to_client))
    }
}

impl Worker {
    /// The head of 101 is ready: what follows it, on both sides, is the tunnel.
    pub(super) fn begin_tunnel(&mut self, key: Key, active: &mut Active, conn: Key) {
        active.machine.lift_deadlines();
        let (now, stream_idle) = (self.now, self.times.stream_idle);
        if let Some(Conn::Up(up)) = self.conns.get_mut(conn) {
            // Whoever reads slowly closes its window, which the kernel takes for silence.
            up.be_patient(stream_idle);
        }
        let flow = &mut active.flow;
        if let Some(attempt) = flow.attempts.iter_mut().flatten().find(|attempt| attempt.conn == conn) {
            attempt.guard.tunnel();
        }
        // The head stands in front of what came behind it, or aside: either way it goes first, and is no frame.
        let response = &mut flow.response;
        if response.ready > 0 {
            if let Some(buffer) = &mut flow.outbound {
                response.aside.reserve_exact(response.ready);
                response.aside.extend_from_slice(&buffer.filled()[..response.ready]);
                buffer.consume(response.ready);
            }
            response.ready = 0;
        }
        flow.settle(&mut self.buffers);
        let (request, response) = (&mut flow.request, &mut flow.response);
        let (head, sent) = (std::mem::take(&mut response.aside), std::mem::take(&mut response.aside_sent));
        let to_client = Direction::new(head, sent, flow.outbound.take(), now);
        let (head, sent) = (std::mem::take(&mut request.out), std::mem::take(&mut request.sent));
        let mut to_endpoint = Direction::new(head, sent, flow.inbound.take(), now);
        if request.broken {
            to_endpoint.cut(Death::Closed, &mut self.buffers);
        }
        flow.tunnel = Some(Box::new(Tunnel { up: conn, to_endpoint, to_client }));
        flow.phase = Phase::Tunnel;
        flow.until = NEVER;
        self.alarm(key, NEVER);
    }

    pub(super) fn tunnel(&mut self, key: Key, active: &mut Active) -> Progress {
        let Some(mut tunnel) = active.flow.tunnel.take() else { return Progress::Wait };
        // Two entries of one slab are borrowed one after the other: the Endpoint's is taken out meanwhile.
        let Some(mut endpoint) = self.conns.lend(tunnel.up) else {
            tunnel.give_buffers(&mut self.buffers);
            active.flow.phase = Phase::Closed { reset: true };
            return Progress::Wait;
        };
        let mut passed = Passed::default();
        if let (Conn::Up(up), Some(Conn::Down(down))) = (&mut endpoint, self.conns.get_mut(key)) {
            passed = tunnel.pass(&mut down.socket, &mut up.socket, &mut self.buffers, self.now);
        }
        self.conns.give_back(tunnel.up, endpoint);
        let flow = &mut active.flow;
        flow.account.bytes_sent += passed.sent;
        flow.account.bytes_received += passed.received;
        if passed.dead.is_some() || tunnel.is_over() {
            tunnel.give_buffers(&mut self.buffers);
            self.end_tunnel(key, active, &tunnel, passed.dead);
            return Progress::Moved;
        }
        flow.until = tunnel.deadline(self.times.stream_idle, self.times.downstream_idle);
        flow.tunnel = Some(tunnel);
        if passed.moved { Progress::Moved } else { Progress::Wait }
    }

    /// Both directions are over, or a side is dead.
    fn end_tunnel(&mut self, key: Key, active: &mut Active, tunnel: &Tunnel, dead: Option<Failure>) {
        let Active { machine, flow } = active;
        let refused = tunnel.to_endpoint.lost().map(|_| Failure::TRUNCATED);
        let left = tunnel.to_client.lost().map(|_| Failure::CLIENT_GONE);
        if let Some(failure) = dead.or(left).or(refused) {
            flow.account.fail(failure);
        }
        // Not `Finished`: a tunnel's connection is never used again.
        machine.on(Event::ClientGone, self.now, &mut Hands { worker: self, flow, owner: key });
        if dead.or(left).is_none() && refused.is_some() {
            // What the client sent and nobody took would make the close a reset, and that could overtake what it was
            // sent.
            self.close_account(key, active);
            self.linger_on(&mut active.flow);
        } else {
            flow.phase = Phase::Closed { reset: dead.or(left).is_some() };
        }
    }

    /// The tunnel's deadline has passed, unless bytes have moved since it was set.
    pub(super) fn tunnel_deadline(&mut self, active: &mut Active) {
        let flow = &mut active.flow;
        if flow.until <= self.now {
            flow.account.fail(STALLED);
            flow.phase = Phase::Closed { reset: true };
        }
    }
}

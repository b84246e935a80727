//! After 101: bytes both ways, whatever they mean.
//!
//! Laws:
//! 1. Bytes pass unchanged and in order; what either side sent behind its head is part of the tunnel.
//! 2. Each direction ends by itself: the end of one side is passed on once everything before it was.
//! 3. WebSocket frame boundaries are tracked from the first byte, so that a drain can speak between two frames.
//! 4. No deadline while both directions are open; once one has ended, the other must not be idle for longer than an
//!    idle client may. No buffer while nothing moves.

use fairlead_http1::ws::Boundary;

use super::buffer::{Buffer, Buffers};
use super::down::Progress;
use super::socket::{ReadEnd, Socket};
use super::state::{Active, Conn, Phase};
use crate::exchange::{Event, Failure};
use crate::timer::NEVER;
use crate::worker::Worker;
use crate::worker::slab::Key;

/// Reads of one direction before others get their turn.
const ROUNDS: usize = 4;

/// Both directions.
#[derive(Debug, Default)]
pub(crate) struct Tunnel {
    up: Option<Key>,
    to_endpoint: Direction,
    to_client: Direction,
}

#[derive(Debug, Default)]
struct Direction {
    buffer: Option<Buffer>,
    boundary: Boundary,
    /// The sender has ended.
    eof: bool,
    /// And the receiver was told.
    shut: bool,
}

impl Tunnel {
    pub(super) fn give_buffers(&mut self, buffers: &mut Buffers) {
        buffers.give_any(&mut self.to_endpoint.buffer);
        buffers.give_any(&mut self.to_client.buffer);
    }
}

/// How a direction fared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flowed {
    Moved,
    Stuck,
    Broken,
}

impl Direction {
    fn preload(&mut self, buffer: Option<Buffer>) {
        if let Some(buffer) = &buffer {
            self.boundary.feed(buffer.filled());
        }
        self.buffer = buffer;
    }

    fn pass(&mut self, from: &mut Socket, to: &mut Socket, buffers: &mut Buffers) -> (Flowed, u64) {
        let mut flowed = Flowed::Stuck;
        let mut passed = 0;
        for _ in 0..ROUNDS {
            if let Some(buffer) = self.buffer.as_mut().filter(|buffer| !buffer.is_empty()) {
                match to.write(buffer.filled()) {
                    Ok(0) => return (flowed, passed),
                    Ok(count) => {
                        buffer.consume(count);
                        passed += count as u64;
                        flowed = Flowed::Moved;
                    }
                    Err(_) => return (Flowed::Broken, passed),
                }
                continue;
            }
            if self.eof {
                if !std::mem::replace(&mut self.shut, true) {
                    to.shutdown_write();
                    flowed = Flowed::Moved;
                }
                break;
            }
            if !from.is_readable() {
                break;
            }
            let buffer = self.buffer.get_or_insert_with(|| buffers.take());
            match from.read(buffer) {
                ReadEnd::Data(_) => {
                    self.boundary.feed(buffer.filled());
                    flowed = Flowed::Moved;
                }
                ReadEnd::Blocked => break,
                ReadEnd::Eof => {
                    self.eof = true;
                    flowed = Flowed::Moved;
                }
                ReadEnd::Dead(_) => return (Flowed::Broken, passed),
            }
        }
        buffers.give_if_empty(&mut self.buffer);
        (flowed, passed)
    }
}

impl Worker {
    /// The head of 101 is ready: what follows it, on both sides, is the tunnel.
    pub(super) fn begin_tunnel(&mut self, key: Key, active: &mut Active, conn: Key) {
        active.machine.lift_deadlines();
        let flow = &mut active.flow;
        // The head stands in front of what came behind it, or aside: either way it goes first, and is no frame.
        let response = &mut flow.response;
        if response.ready > 0 {
            if let Some(buffer) = &mut flow.outbound {
                response.aside.extend_from_slice(&buffer.filled()[..response.ready]);
                buffer.consume(response.ready);
            }
            response.ready = 0;
        }
        flow.tunnel.up = Some(conn);
        flow.tunnel.to_client.preload(flow.outbound.take());
        flow.tunnel.to_endpoint.preload(flow.inbound.take());
        flow.phase = Phase::Tunnel;
        flow.until = NEVER;
        self.alarm(key, NEVER);
    }

    pub(super) fn tunnel(&mut self, key: Key, active: &mut Active) -> Progress {
        let Active { machine, flow } = active;
        let Some(up_key) = flow.tunnel.up else { return Progress::Wait };
        // Two entries of one slab are borrowed one after the other: the Endpoint's is taken out meanwhile.
        let Some(mut endpoint) = self.conns.lend(up_key) else {
            flow.phase = Phase::Closed { reset: true };
            return Progress::Wait;
        };
        let mut moved = false;
        let mut broken = false;
        if let (Conn::Up(up), Some(Conn::Down(down))) = (&mut endpoint, self.conns.get_mut(key)) {
            let response = &mut flow.response;
            if response.aside_sent < response.aside.len() {
                match down.socket.write(&response.aside[response.aside_sent..]) {
                    Ok(count) => {
                        response.aside_sent += count;
                        moved |= count > 0;
                    }
                    Err(_) => broken = true,
                }
            }
            if response.aside_sent == response.aside.len() {
                let (flowed, passed) =
                    flow.tunnel.to_client.pass(&mut up.socket, &mut down.socket, &mut self.buffers);
                flow.account.bytes_sent += passed;
                moved |= flowed == Flowed::Moved;
                broken |= flowed == Flowed::Broken;
            }
            let (flowed, passed) =
                flow.tunnel.to_endpoint.pass(&mut down.socket, &mut up.socket, &mut self.buffers);
            flow.account.bytes_received += passed;
            moved |= flowed == Flowed::Moved;
            broken |= flowed == Flowed::Broken;
        }
        self.conns.give_back(up_key, endpoint);
        let over = flow.tunnel.to_client.shut && flow.tunnel.to_endpoint.shut;
        if over || broken {
            if broken {
                flow.account.fail(Failure::TRUNCATED);
            }
            let now = self.now;
            // Not `Finished`: a tunnel's connection is never used again.
            machine.on(
                Event::ClientGone,
                now,
                &mut crate::worker::upstream::Hands { worker: self, flow, owner: key },
            );
            flow.phase = Phase::Closed { reset: broken };
            return Progress::Wait;
        }
        let half = flow.tunnel.to_client.shut || flow.tunnel.to_endpoint.shut;
        if half && (moved || flow.until == NEVER) {
            flow.until = self.now + self.times.downstream_idle;
        }
        if moved { Progress::Moved } else { Progress::Wait }
    }
}

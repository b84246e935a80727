//! The response's bytes on their way to the client.
//!
//! Laws:
//! 1. The head is rewritten in front of the body in the same buffer: one send, no copy of the body.
//! 2. The Endpoint is read only when the client has taken what was read before: back-pressure is an unread socket.
//! 3. The Endpoint's connection goes back into the pool only after a response that ended where its framing says, with
//!    nothing behind it, to a request that was sent whole.
//! 4. A response that breaks off after its head has left is cut off, so that no client takes it for a whole one.
//! 5. An attempt is counted once: by the class of its response when that is over, as one without when it broke off,
//!    although its status is long known. What has been counted cannot be taken back, and whoever looks for the
//!    Endpoint whose answers break must find it. A tunnel is counted when it opens.
//! 6. Bytes behind a response make it one of those that are refused, as long as nothing of it has left. Later it goes on,
//!    for it was whole: the bytes are counted, and the connection is closed with them.

use std::sync::Arc;

use fairlead_http1::{
    BodyError, Delivery, LAST_CHUNK, Reason, ResponseEdits, ResponseHead, Version, write_chunk_head,
};

use super::buffer::HEADROOM;
use super::socket::ReadEnd;
use super::state::{Active, Conn, Flow, Phase, Stage};
use crate::exchange::{Death, Event};
use crate::shared::Phase as Life;
use crate::worker::slab::Key;
use crate::worker::{BEHIND_RESPONSE, UNREQUESTED, Worker};

/// Room for the framing of what one read gave.
const CHUNK_FRAMING: usize = 32;
/// Reads of a body before others get their turn.
const ROUNDS: usize = 4;

impl Flow {
    /// Whether bytes have come that belong to no response: the one in question has ended before them.
    fn has_surplus(&self) -> bool {
        let ready = self.response.ready;
        self.response.ended && self.outbound.as_ref().is_some_and(|buffer| buffer.len() > ready)
    }

    /// Takes what came of the body towards the client.
    fn take_response_body(&mut self) -> Result<(), BodyError> {
        let Some(buffer) = &mut self.outbound else { return Ok(()) };
        let response = &mut self.response;
        if response.delivery == Delivery::AsIs {
            let progress = response.body.advance(&buffer.filled()[response.ready..])?;
            response.ready += progress.consumed;
            response.ended = progress.done;
            self.account.bytes_sent += progress.payload;
            return Ok(());
        }
        // Grown piece by piece it would get twice its room.
        response.aside.reserve_exact(buffer.len() + CHUNK_FRAMING);
        while !buffer.is_empty() && !response.ended {
            let step = response.body.read(buffer.filled())?;
            let data = &buffer.filled()[step.data.clone()];
            self.account.bytes_sent += data.len() as u64;
            if !data.is_empty() {
                if response.delivery == Delivery::Encode {
                    write_chunk_head(&mut response.aside, data.len());
                    response.aside.extend_from_slice(data);
                    response.aside.extend_from_slice(b"\r\n");
                } else {
                    response.aside.extend_from_slice(data);
                }
            }
            response.ended = step.done;
            if step.consumed == 0 {
                break;
            }
            buffer.consume(step.consumed);
        }
        Ok(())
    }
}

impl Worker {
    /// Moves the response on; true if something moved.
    pub(super) fn relay_response(&mut self, key: Key, active: &mut Active) -> bool {
        let mut moved = false;
        for _ in 0..ROUNDS {
            if active.flow.response.is_pending() {
                match self.send_response(key, active) {
                    Some(true) => moved = true,
                    Some(false) => return moved,
                    None => return true,
                }
                continue;
            }
            let flow = &mut active.flow;
            if flow.response.ended {
                self.complete(key, active);
                return true;
            }
            if flow.response.stage == Stage::Local {
                return moved;
            }
            if !self.read_response(key, active) {
                return moved;
            }
            moved = true;
            if active.flow.phase != Phase::Relay {
                return true;
            }
        }
        moved
    }

    /// Sends what is ready. None: the client is gone.
    fn send_response(&mut self, key: Key, active: &mut Active) -> Option<bool> {
        let Some(Conn::Down(down)) = self.conns.get_mut(key) else { return Some(false) };
        let flow = &mut active.flow;
        let response = &mut flow.response;
        let aside = response.aside_sent < response.aside.len();
        let result = if aside {
            down.socket.write(&response.aside[response.aside_sent..])
        } else {
            let filled = flow.outbound.as_ref().map_or(&[][..], |buffer| buffer.filled());
            down.socket.write(&filled[..response.ready])
        };
        match result {
            Ok(0) => Some(false),
            Ok(count) if aside => {
                response.aside_sent += count;
                if response.aside_sent == response.aside.len() {
                    response.clear_aside();
                }
                Some(true)
            }
            Ok(count) => {
                response.ready -= count;
                if let Some(buffer) = &mut flow.outbound {
                    buffer.consume(count);
                }
                Some(true)
            }
            Err(_) if response.stage == Stage::Local => {
                flow.phase = Phase::Closed { reset: false };
                None
            }
            Err(_) => {
                self.tell(key, active, Event::ClientGone);
                None
            }
        }
    }

    /// Reads from the Endpoint once; true if something came of it.
    fn read_response(&mut self, key: Key, active: &mut Active) -> bool {
        let Some(attempt) = active.machine.carrier().and_then(|id| active.flow.attempt(id)) else {
            return false;
        };
        let conn = attempt.conn;
        let flow = &mut active.flow;
        let Some(Conn::Up(up)) = self.conns.get_mut(conn) else { return false };
        if !up.socket.is_readable() {
            return false;
        }
        let buffer = self.buffers.ensure(&mut flow.outbound);
        buffer.keep_headroom();
        if buffer.room().is_empty() {
            if !buffer.grow(self.response_limits.max_head + 1) {
                self.refuse_response(key, active, Reason::HeadTooLarge.as_str());
                return true;
            }
            // Beside a large head nothing else keeps its room.
            flow.request.release();
            flow.response.release();
        }
        match up.socket.read(buffer) {
            ReadEnd::Blocked => false,
            ReadEnd::Data(_) => {
                if !flow.response.begun {
                    if !active.machine.is_sent() {
                        // It has got nothing of the request yet.
                        self.refuse_response(key, active, UNREQUESTED);
                        return true;
                    }
                    flow.response.begun = true;
                    self.tell(key, active, Event::FirstByte);
                    active.flow.request.release_head();
                }
                if active.flow.response.stage == Stage::Waiting {
                    self.read_response_head(key, active, conn);
                } else if let Err(error) = active.flow.take_response_body() {
                    self.refuse_response(key, active, error.reason().as_str());
                }
                true
            }
            ReadEnd::Eof => {
                self.response_eof(key, active);
                true
            }
            ReadEnd::Dead(death) => {
                self.upstream_died(key, active, death);
                true
            }
        }
    }

    fn refuse_response(&mut self, key: Key, active: &mut Active, code: &'static str) {
        self.cell().stats.refused_responses.add(code);
        self.upstream_died(key, active, Death::Protocol);
    }

    fn response_eof(&mut self, key: Key, active: &mut Active) {
        let response = &mut active.flow.response;
        if response.stage != Stage::Body || response.body.eof().is_err() {
            return self.upstream_died(key, active, Death::Closed);
        }
        if response.delivery == Delivery::Encode {
            response.aside.extend_from_slice(LAST_CHUNK);
        }
        response.ended = true;
        response.upstream_persists = false;
    }

    fn read_response_head(&mut self, key: Key, active: &mut Active, conn: Key) {
        loop {
            let flow = &mut active.flow;
            let Some(buffer) = flow.outbound.as_mut().filter(|buffer| !buffer.is_empty()) else { return };
            let response = &mut flow.response;
            let parsed = ResponseHead::parse(
                buffer.filled(),
                &mut response.cursor,
                &mut self.fields,
                response.context,
                &self.response_limits,
            );
            let head = match parsed {
                Ok(Some(head)) => head,
                Ok(None) => return,
                Err(error) => {
                    return self.refuse_response(key, active, error.reason().as_str());
                }
            };
            response.cursor = fairlead_http1::HeadCursor::default();
            let client = flow.request.version;
            if head.is_interim() {
                response.context.interim += 1;
                if client == Version::Http11 {
                    let edits =
                        ResponseEdits { client, keep_alive: true, delivery: Delivery::AsIs, add: &[] };
                    response.aside.reserve_exact(head.len + HEADROOM);
                    head.write_to(buffer.filled(), &self.fields, &mut response.aside, &edits);
                }
                buffer.consume(head.len);
                continue;
            }
            return self.begin_response(key, active, conn, &head);
        }
    }

    fn begin_response(&mut self, key: Key, active: &mut Active, conn: Key, head: &ResponseHead) {
        let flow = &mut active.flow;
        let Some(buffer) = &mut flow.outbound else { return };
        flow.account.status = head.status;
        let response = &mut flow.response;
        let client = flow.request.version;
        let delivery = head.delivery(client);
        let switch = head.is_switch();
        response.persists = flow.request.keep_alive
            && self.phase == Life::Running
            && head.ends_without_close(delivery)
            && flow.request.is_drainable();
        response.delivery = delivery;
        response.stage = Stage::Body;
        response.upstream_persists = head.keep_alive && !flow.request.is_last;
        let edits = ResponseEdits { client, keep_alive: response.persists || switch, delivery, add: &[] };
        let interim = response.aside.len();
        self.scratch.clear();
        head.write_to(buffer.filled(), &self.fields, &mut self.scratch, &edits);
        let in_place = delivery == Delivery::AsIs
            && response.aside.is_empty()
            && buffer.replace_front(head.len, &self.scratch);
        if in_place {
            response.ready = self.scratch.len();
        } else {
            response.aside.reserve_exact(self.scratch.len());
            response.aside.extend_from_slice(&self.scratch);
            buffer.consume(head.len);
        }
        if switch {
            self.note_response(active);
            self.count_response(active);
            return self.begin_tunnel(key, active, conn);
        }
        response.body = head.body(&self.response_limits);
        response.ended = response.body.is_done();
        let taken = if response.ended { Ok(()) } else { flow.take_response_body() };
        let code = match taken {
            Ok(()) if flow.has_surplus() => BEHIND_RESPONSE,
            Ok(()) => return self.note_response(active),
            Err(error) => error.reason().as_str(),
        };
        // Nothing of the head has left yet: as if it had been broken itself.
        let response = &mut active.flow.response;
        response.aside.truncate(interim);
        response.ready = 0;
        response.ended = false;
        response.stage = Stage::Waiting;
        self.refuse_response(key, active, code);
    }

    /// Tells the Ledger of a response that goes on.
    fn note_response(&self, active: &mut Active) {
        let (now, status) = (self.now, active.flow.account.status);
        if let Some(attempt) = active.carrier() {
            attempt.status = status;
            attempt.endpoint.load.answering(now, self.index, now.since(attempt.sent_at), status);
        }
    }

    /// Counts the attempt by its response, without waiting for the end: a tunnel may last for days, and what breaks then
    /// is no answer.
    fn count_response(&self, active: &mut Active) {
        if let Some(attempt) = active.carrier() {
            attempt.count(self.now, self.index);
        }
    }

    /// The response is with the kernel: the Endpoint's connection goes back or is closed.
    fn complete(&mut self, key: Key, active: &mut Active) {
        let now = self.now;
        if let Some(id) = active.machine.carrier()
            && let Some(mut attempt) = active.flow.attempts[usize::from(id.0)].take()
        {
            attempt.count(now, self.index);
            let surplus = active.flow.has_surplus();
            if surplus {
                self.note_stray(&attempt.endpoint, BEHIND_RESPONSE);
            }
            let reusable = active.flow.response.upstream_persists
                && active.flow.request.is_done()
                && !active.flow.request.broken
                && !surplus;
            drop(attempt.guard);
            if reusable && self.is_quiet(attempt.conn) {
                self.park(attempt.conn);
            } else {
                self.close_up(attempt.conn);
            }
        }
        self.buffers.give_any(&mut active.flow.outbound);
        let Active { machine, flow } = active;
        let hands = &mut crate::worker::upstream::Hands { worker: self, flow, owner: key };
        machine.on(Event::Finished, now, hands);
        self.end_response(key, active);
    }

    /// Whether nothing follows the response; bytes that do are counted. Known without a look unless the last read filled
    /// its buffer, or something came since.
    fn is_quiet(&mut self, conn: Key) -> bool {
        let Some(Conn::Up(up)) = self.conns.get_mut(conn) else { return false };
        if !up.socket.is_readable() {
            return true;
        }
        let mut probe = self.buffers.take();
        let end = up.socket.read(&mut probe);
        self.buffers.give(probe);
        if let ReadEnd::Data(_) = end {
            let endpoint = Arc::clone(&up.endpoint);
            self.note_stray(&endpoint, BEHIND_RESPONSE);
        }
        end == ReadEnd::Blocked
    }
}

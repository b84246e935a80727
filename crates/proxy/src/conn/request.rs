//! The request's bytes on their way to the Endpoint.
//!
//! Laws:
//! 1. The head goes out of [`RequestSide::out`](super::state::RequestSide), where it stays until the response begins; a
//!    body that was wholly at hand goes with it, and can be sent again. Any other body is passed on from the read buffer,
//!    byte for byte, after validation.
//! 2. The client is read only when there is room: back-pressure is a full buffer.
//! 3. A failed write says that the Endpoint takes no more, not that it has not answered: the answer is looked for first.

use fairlead_http1::{BodyError, BodyReader, Framing};

use super::socket::ReadEnd;
use super::state::{Active, Conn, Flow};
use crate::exchange::{Event, Failure, Flags};
use crate::worker::Worker;
use crate::worker::slab::Key;

/// Reads of a body before others get their turn.
const ROUNDS: usize = 2;

impl Flow {
    /// Validates the body bytes that are at hand. With `limit`, a body that is whole and not longer goes behind the
    /// head, so that it can be sent again.
    pub(crate) fn take_body(&mut self, limit: usize) -> Result<(), BodyError> {
        self.validate_body()?;
        let request = &mut self.request;
        if request.received
            && request.ready <= limit
            && let Some(buffer) = &mut self.inbound
        {
            // Grown by itself a large head would get twice its room.
            request.out.reserve_exact(request.ready);
            request.out.extend_from_slice(&buffer.filled()[..request.ready]);
            buffer.consume(std::mem::take(&mut request.ready));
        }
        Ok(())
    }

    fn validate_body(&mut self) -> Result<(), BodyError> {
        let Some(buffer) = &self.inbound else { return Ok(()) };
        let request = &mut self.request;
        if request.received || buffer.len() == request.ready {
            return Ok(());
        }
        let progress = request.body.advance(&buffer.filled()[request.ready..])?;
        request.ready += progress.consumed;
        request.received = progress.done;
        request.left = request.left.map(|left| left.saturating_sub(progress.payload));
        self.account.bytes_received += progress.payload;
        Ok(())
    }

    /// Sets the body up.
    pub(crate) fn expect_body(&mut self, framing: Framing, body: BodyReader) {
        self.request.body = body;
        self.request.received = self.request.body.is_done();
        self.request.left = match framing {
            Framing::Length(length) => Some(length),
            _ => None,
        };
    }
}

impl Worker {
    /// Sends what can be sent; true if something moved.
    pub(super) fn send_request(&mut self, key: Key, active: &mut Active) -> bool {
        let Some(attempt) = active.machine.carrier().and_then(|id| active.flow.attempt(id)) else {
            return false;
        };
        let conn = attempt.conn;
        if active.flow.request.broken || active.flow.request.is_done() {
            return false;
        }
        let mut moved = false;
        if active.flow.request.sent < active.flow.request.out.len() {
            moved = self.send_head(key, active, conn);
            if active.flow.request.sent < active.flow.request.out.len() {
                return moved;
            }
        }
        for _ in 0..ROUNDS {
            let request = &active.flow.request;
            // Without a carrier the step before has ended the request.
            if request.is_done() || request.broken || active.machine.carrier().is_none() {
                break;
            }
            let stepped = self.send_body(key, active, conn);
            if !stepped {
                break;
            }
            moved = true;
        }
        moved
    }

    fn send_head(&mut self, key: Key, active: &mut Active, conn: Key) -> bool {
        let now = self.now;
        let Some(Conn::Up(up)) = self.conns.get_mut(conn) else { return false };
        let request = &mut active.flow.request;
        let first = request.sent == 0;
        match up.socket.write(&request.out[request.sent..]) {
            Ok(0) => false,
            Ok(count) => {
                request.sent += count;
                if first {
                    if let Some(attempt) = active.carrier() {
                        attempt.sent_at = now;
                    }
                    self.tell(key, active, Event::Sent);
                }
                true
            }
            Err(death) if first => {
                self.upstream_died(key, active, death);
                true
            }
            Err(_) => {
                request.broken = true;
                true
            }
        }
    }

    fn send_body(&mut self, key: Key, active: &mut Active, conn: Key) -> bool {
        let flow = &mut active.flow;
        let mut moved = false;
        // It is sent, and without its body at hand it is not sent again.
        flow.request.release_head();
        if flow.request.ready == 0 && !flow.request.received {
            let buffer = self.buffers.ensure(&mut flow.inbound);
            // Nothing is ready, so what it holds is less than a unit of framing: there is room.
            let Some(Conn::Down(down)) = self.conns.get_mut(key) else { return false };
            if !buffer.is_full() {
                match down.socket.read(buffer) {
                    ReadEnd::Data(_) => moved = true,
                    ReadEnd::Blocked => {}
                    ReadEnd::Eof | ReadEnd::Dead(_) => {
                        self.tell(key, active, Event::ClientGone);
                        return true;
                    }
                }
            }
            if let Err(error) = flow.validate_body() {
                let reason = error.reason();
                self.cell().stats.refused.add(reason.as_str());
                let failure = Failure::new(reason.request_status(), Flags::DPE, reason.as_str());
                active.flow.request.keep_alive = false;
                self.tell(key, active, Event::Abort(failure));
                return true;
            }
        }
        let flow = &mut active.flow;
        if flow.request.ready == 0 {
            return moved;
        }
        let Some(buffer) = &mut flow.inbound else { return moved };
        let stream_idle = self.times.stream_idle;
        let Some(Conn::Up(up)) = self.conns.get_mut(conn) else { return moved };
        let Ok(count) = up.socket.write(&buffer.filled()[..flow.request.ready]) else {
            flow.request.broken = true;
            return true;
        };
        buffer.consume(count);
        flow.request.ready -= count;
        if count > 0 {
            // An Endpoint that reads slowly closes its window, which the kernel takes for silence.
            up.be_patient(stream_idle);
        }
        if count > 0 && !std::mem::replace(&mut flow.request.streamed, true) {
            self.tell(key, active, Event::Unrepeatable);
        }
        moved || count > 0
    }
}

//! What a worker holds per connection, and per request in progress.
//!
//! Laws:
//! 1. A connection between two requests is small: a [`Down`] or [`Up`] in the slab, no buffer, no [`Active`].
//! 2. An [`Active`] belongs to one client connection while a request is in progress, then goes back to the worker's
//!    free list with the capacity of its vectors.
//! 3. `ready` bytes at the front of a buffer were validated and may be passed on; nothing else ever is.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use fairlead_balance::{InFlight, Micros, Permit};
use fairlead_http1::{BodyReader, Delivery, Framing, HeadCursor, Limits, Method, RequestContext, Version};

use super::buffer::{Buffer, Buffers, READ_BYTES};
use super::record::Account;
use super::socket::Socket;
use super::tunnel::Tunnel;
use crate::exchange::{AttemptId, Exchange, MAX_ATTEMPTS};
use crate::shared::{BackendSlot, EndpointState};
use crate::timer::{Alarm, NEVER};
use crate::worker::slab::Key;

/// How long an Endpoint may leave a streamed body or a tunnel's bytes unread. Longer than what detects silent death
/// elsewhere: the two look alike to the kernel.
const SLOW_READER: Duration = Duration::from_secs(60);

/// A slab's value.
#[derive(Debug)]
pub(crate) enum Conn {
    /// A client's connection.
    Down(Down),
    /// A connection to an Endpoint.
    Up(Up),
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Down {
    pub(crate) socket: Socket,
    pub(crate) alarm: Alarm,
    pub(crate) peer: SocketAddr,
    /// Index of the bind in the worker's list.
    pub(crate) bind: u32,
    /// It stands in the worker's line.
    pub(crate) in_line: bool,
    pub(crate) active: Option<Box<Active>>,
}

/// A connection to an Endpoint.
#[derive(Debug)]
pub(crate) struct Up {
    pub(crate) socket: Socket,
    pub(crate) alarm: Alarm,
    /// Where it leads, and its place among the connections there.
    pub(crate) endpoint: Permit<EndpointState>,
    /// How many its Endpoint may have, by the Backend that used it last.
    pub(crate) limit: Option<NonZeroU32>,
    pub(crate) role: Role,
    /// When its dial is given up.
    pub(crate) dial_until: Micros,
    /// The Ledger knows that its dial failed.
    pub(crate) counted: bool,
    /// It has the long user timeout of a body in the course of being sent, or of a tunnel.
    pub(crate) patient: bool,
}

impl Up {
    /// Lets the Endpoint leave for longer unread what it is sent: for `stream_idle`, but at most [`SLOW_READER`].
    pub(crate) fn be_patient(&mut self, stream_idle: Micros) {
        if !std::mem::replace(&mut self.patient, true) {
            self.socket.set_user_timeout(Duration::from(stream_idle).min(SLOW_READER));
        }
    }
}

/// What a connection to an Endpoint is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A dial for an attempt.
    Dialing(Key, AttemptId),
    /// Carries an attempt.
    Busy(Key, AttemptId),
    /// A dial that nobody waits for any more, and the Backend that it was for; it goes into the pool.
    Spare(Option<BackendSlot>),
    /// In the pool.
    Idle,
    /// Out of the pool, to be closed when its alarm rings.
    Leaving,
}

/// How far a client's connection is with its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits for a request head, or for the rest of one.
    Head,
    /// Request and response are under way.
    Relay,
    /// The response is out; the rest of the request's body is read and dropped, so that the connection can persist.
    Drain,
    /// We have ended our direction and read until the client does too, so that it sees our last answer.
    Linger,
    /// After 101.
    Tunnel,
    /// To be closed; with a reset, if a message was cut off.
    Closed { reset: bool },
}

/// A request in progress.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) machine: Exchange,
    pub(crate) flow: Flow,
}

impl Active {
    pub(crate) fn new() -> Self {
        Self { machine: Exchange::over(), flow: Flow::new() }
    }

    /// The attempt that carries the request.
    pub(crate) fn carrier(&mut self) -> Option<&mut Attempt> {
        self.flow.attempt_mut(self.machine.carrier()?)
    }
}

/// One attempt's connection, with the guard that counts it as in flight.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) conn: Key,
    pub(crate) endpoint: Arc<EndpointState>,
    pub(crate) guard: InFlight,
    pub(crate) sent_at: Micros,
    /// Of an answer that goes on; 0 before there is one, and once the attempt is counted.
    pub(crate) status: u16,
}

impl Attempt {
    /// The attempt is over, and nothing was wrong with the answer, as far as anybody wanted it: counts it, if there is one
    /// that is not counted yet.
    pub(crate) fn count(&mut self, now: Micros, worker: usize) {
        let status = std::mem::take(&mut self.status);
        if status > 0 {
            self.endpoint.load.answered(now, worker, status);
        }
    }
}

/// The bytes of a request and its response on their way through.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) phase: Phase,
    /// From the client: its request head, its body, and what it pipelined behind.
    pub(crate) inbound: Option<Buffer>,
    /// From the Endpoint.
    pub(crate) outbound: Option<Buffer>,
    pub(crate) request: RequestSide,
    pub(crate) response: ResponseSide,
    pub(crate) attempts: [Option<Attempt>; MAX_ATTEMPTS],
    /// After 101. Aside: few requests have one, and each clears what is here.
    pub(crate) tunnel: Option<Box<Tunnel>>,
    pub(crate) account: Account,
    /// When the phase ends at the latest, unless it is a relay.
    pub(crate) until: Micros,
    /// When bytes moved last.
    pub(crate) moved_at: Micros,
    /// Bytes that may still be dropped while draining or lingering.
    pub(crate) patience: usize,
}

impl Flow {
    fn new() -> Self {
        Self {
            phase: Phase::Head,
            inbound: None,
            outbound: None,
            request: RequestSide::new(),
            response: ResponseSide::new(),
            attempts: [const { None }; MAX_ATTEMPTS],
            tunnel: None,
            account: Account::default(),
            until: NEVER,
            moved_at: Micros(0),
            patience: 0,
        }
    }

    /// Ready for the next request: keeps what the client sent behind this one, and all capacity. Body bytes that the
    /// Endpoint did not take are dropped: they must not be read as a request.
    pub(crate) fn next(&mut self) {
        if let Some(buffer) = &mut self.inbound {
            buffer.consume(self.request.ready);
        }
        self.phase = Phase::Head;
        self.request.clear();
        self.response.clear();
        self.tunnel = None;
        self.account.clear();
        self.until = NEVER;
    }

    /// Nothing moves: gives up the room that is not needed.
    #[inline]
    pub(crate) fn settle(&mut self, buffers: &mut Buffers) {
        buffers.settle(&mut self.inbound, self.request.out.capacity() > KEEP);
        buffers.settle(&mut self.outbound, self.response.aside.capacity() > KEEP);
    }

    pub(crate) fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.get(usize::from(id.0))?.as_ref()
    }

    pub(crate) fn attempt_mut(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.attempts.get_mut(usize::from(id.0))?.as_mut()
    }
}

/// The request's way to the Endpoint.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct RequestSide {
    pub(crate) cursor: HeadCursor,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) upgrade: bool,
    /// The Endpoint's connection is not used again, see [`RequestHead::is_last`](fairlead_http1::RequestHead::is_last).
    pub(crate) is_last: bool,
    /// What its Endpoint is chosen by, where that goes by a hash.
    pub(crate) hash: u64,
    /// The head as it is sent, and the body if all of it was at hand: what a repeat sends again.
    pub(crate) out: Vec<u8>,
    pub(crate) sent: usize,
    pub(crate) body: BodyReader,
    /// Body bytes announced and not read yet, where that is known.
    pub(crate) left: Option<u64>,
    /// Validated bytes at the front of `inbound`.
    pub(crate) ready: usize,
    /// The whole body was read.
    pub(crate) received: bool,
    /// A byte of the body went out that cannot be sent again.
    pub(crate) streamed: bool,
    /// The Endpoint takes no more.
    pub(crate) broken: bool,
}

impl RequestSide {
    fn new() -> Self {
        Self {
            cursor: HeadCursor::default(),
            method: Method::Get,
            version: Version::Http11,
            keep_alive: false,
            expects_continue: false,
            upgrade: false,
            is_last: false,
            hash: 0,
            out: Vec::new(),
            sent: 0,
            body: BodyReader::new(Framing::None, &Limits::REQUEST),
            left: None,
            ready: 0,
            received: true,
            streamed: false,
            broken: false,
        }
    }

    fn clear(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        trim(&mut out);
        *self = Self { out, ..Self::new() };
    }

    /// Whether what is left of the body may be dropped in order to keep the connection.
    pub(crate) fn is_drainable(&self) -> bool {
        self.received
            || (!self.expects_continue
                && self.left.is_some_and(|left| left <= super::down::DRAIN_BYTES as u64))
    }

    /// The request will not be sent again: a large head is not kept any longer.
    pub(crate) fn release_head(&mut self) {
        if self.out.capacity() > KEEP {
            self.release();
        }
    }

    /// The same for any head.
    pub(crate) fn release(&mut self) {
        if self.sent == self.out.len() {
            self.out = Vec::new();
            self.sent = 0;
        }
    }

    /// Whether bytes wait for the Endpoint to take them.
    pub(crate) fn is_held_up(&self) -> bool {
        self.ready > 0 || self.sent < self.out.len()
    }

    /// Everything is with the kernel.
    pub(crate) fn is_done(&self) -> bool {
        self.received && self.ready == 0 && self.sent == self.out.len()
    }
}

/// Where the response stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No final head yet.
    Waiting,
    /// Its head is on the way to the client.
    Body,
    /// An answer of our own is.
    Local,
}

/// The response's way to the client.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct ResponseSide {
    pub(crate) cursor: HeadCursor,
    pub(crate) context: RequestContext,
    pub(crate) stage: Stage,
    pub(crate) body: BodyReader,
    pub(crate) delivery: Delivery,
    /// Bytes to be sent before those in `outbound`: interim heads, our own answers, bodies that change their framing.
    pub(crate) aside: Vec<u8>,
    pub(crate) aside_sent: usize,
    /// Validated bytes at the front of `outbound`, the head among them.
    pub(crate) ready: usize,
    /// The whole body was read.
    pub(crate) ended: bool,
    /// The Endpoint lets its connection persist.
    pub(crate) upstream_persists: bool,
    /// The client was promised that its connection persists.
    pub(crate) persists: bool,
    /// A byte of the response came.
    pub(crate) begun: bool,
}

impl ResponseSide {
    fn new() -> Self {
        Self {
            cursor: HeadCursor::default(),
            context: RequestContext { method: Method::Get, upgrade: false, interim: 0 },
            stage: Stage::Waiting,
            body: BodyReader::new(Framing::None, &Limits::RESPONSE),
            delivery: Delivery::AsIs,
            aside: Vec::new(),
            aside_sent: 0,
            ready: 0,
            ended: false,
            upstream_persists: false,
            persists: false,
            begun: false,
        }
    }

    fn clear(&mut self) {
        let mut aside = std::mem::take(&mut self.aside);
        trim(&mut aside);
        *self = Self { aside, ..Self::new() };
    }

    /// What stood aside has gone. The room of a large head is given back; a body that changes its framing needs that
    /// of a read buffer again and again.
    pub(crate) fn clear_aside(&mut self) {
        self.aside_sent = 0;
        self.aside.clear();
        if self.aside.capacity() > READ_BYTES + KEEP {
            self.aside = Vec::new();
        }
    }

    /// Gives back the room of what stood aside before.
    pub(crate) fn release(&mut self) {
        if self.aside.is_empty() {
            self.aside = Vec::new();
        }
    }

    /// Whether bytes wait for the client to take them.
    pub(crate) fn is_pending(&self) -> bool {
        self.ready > 0 || self.aside_sent < self.aside.len()
    }
}

/// The capacity that a vector keeps; what only a rare message needed is given back.
pub(super) const KEEP: usize = 4 * 1024;

/// Empties a vector.
pub(super) fn trim(vector: &mut Vec<u8>) {
    vector.clear();
    if vector.capacity() > KEEP {
        vector.shrink_to(KEEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_endpoint_did_not_take_of_a_body_is_not_the_next_request() {
        let mut flow = Flow::new();
        let mut buffer = super::super::buffer::Buffers::default().take();
        let bytes = b"GET /smuggled HTTP/1.1\r\n\r\nGET /next";
        buffer.room()[..bytes.len()].copy_from_slice(bytes);
        buffer.fill(bytes.len());
        flow.inbound = Some(buffer);
        flow.expect_body(Framing::Length(26), BodyReader::new(Framing::Length(26), &Limits::REQUEST));
        // Above the limit for what is kept to be sent again, so that it waits in the buffer.
        flow.take_body(0).unwrap();
        assert!(flow.request.received && !flow.request.is_done());
        flow.next();
        assert_eq!(flow.inbound.unwrap().filled(), b"GET /next");
    }

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Conn>() <= 96, "{}", size_of::<Conn>());
        assert!(size_of::<Active>() <= 1_536, "{}", size_of::<Active>());
    }
}

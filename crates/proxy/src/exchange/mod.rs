//! The Exchange: one request with its attempts, as a sans-I/O machine.
//!
//! Events come in ([`Event`]), verbs go out through a [`Driver`], and each event is answered with the [`Step`] that the
//! shell takes next. Time is an argument, randomness lives behind the driver's pick. The machine sees no byte: the
//! shell says what the kernel accepted and what came back.
//!
//! Laws (RFC 9110 section 9.2.2):
//! 1. *Never sent* (no byte accepted by the kernel): any method moves on to another Endpoint, at most
//!    [`MAX_ATTEMPTS`] attempts in all. Moving on costs no budget: no server has seen the request. That holds too for an
//!    Endpoint that speaks before it was asked, or ends what it has just accepted.
//! 2. *Sent, then the connection died before any response byte* (a 1xx is one): GET, HEAD, OPTIONS, PUT and DELETE
//!    whose body can be sent again whole go once more, if the budget allows.
//! 3. *Never*: another method once a byte was accepted; after a response byte; an Upgrade once sent; a partly streamed
//!    body; after the client left, the deadline passed or an attempt timed out.
//! 4. Endpoints that were tried are excluded. Only where none is left and the last failure was that of a pooled
//!    connection, the same Endpoint is dialled once: its connection was stale, it need not be.
//! 5. A dial without an answer after [`Plan::hedge_after`] (200 ms) is a failure of its Endpoint at that moment and is
//!    hedged by a dial to another one, if the budget allows. The first to connect carries the request; the others
//!    finish into the pool or fail by themselves.
//! 6. A request that cannot be repeated once sent takes a pooled connection only if that was idle for less than
//!    a second ([`Want::Fresh`]); an attempt after a failed one always dials.
//! 7. An Endpoint's failed dial is counted once, however often the machine learns of it.
//! 8. An Endpoint at its limit of connections is nobody's failure: it is passed over like an excluded one. Where all
//!    are, the Exchange waits in a short queue, for no longer than a dial may take, then overflows. A hedge does not
//!    wait.

mod flags;
mod machine;
#[cfg(test)]
mod tests;

pub(crate) use flags::{Failure, Flags};
pub(crate) use machine::Exchange;

use fairlead_balance::Micros;

use crate::shared::EndpointSlot;

/// Endpoints that one request may try.
pub(crate) const MAX_ATTEMPTS: usize = 3;

/// An Endpoint, as the machine knows it: its slot in the registry.
pub(crate) type Peer = EndpointSlot;

/// The ordinal of an attempt within its Exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AttemptId(pub(crate) u8);

/// What is known of the request before its first attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// GET, HEAD, OPTIONS, PUT or DELETE.
    pub(crate) idempotent: bool,
    /// Asks for an Upgrade.
    pub(crate) upgrade: bool,
    /// The whole body is at hand and will be sent with the head: it can be sent again.
    pub(crate) replayable: bool,
    /// Repeats after the request was sent; 0 leaves only law 1.
    pub(crate) repeats: u8,
    /// When the whole Exchange must be over.
    pub(crate) deadline: Micros,
    /// How long one attempt may take, from the moment it can be sent.
    pub(crate) attempt_timeout: Option<Micros>,
    /// A dial that takes longer is hedged.
    pub(crate) hedge_after: Micros,
    /// A dial that takes longer has failed; so has waiting for a connection to come free.
    pub(crate) connect_timeout: Micros,
}

/// Which connection an attempt wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// A pooled one, else a dial.
    Any,
    /// A pooled one that was idle for less than a second, else a dial.
    Fresh,
    /// A new one.
    Dial,
}

/// The driver's answer to [`Driver::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// A pooled connection of this Endpoint carries the attempt.
    Pooled(Peer),
    /// A dial was begun: [`Event::Connected`] or [`Event::DialFailed`] follows.
    Dialing(Peer),
    /// The dial failed at once.
    Refused(Peer, DialError),
    /// No Endpoint can be picked.
    NoEndpoint,
    /// Those that could be picked have as many connections as they may have.
    Full,
}

/// Why a dial failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DialError {
    /// ECONNREFUSED, ECONNRESET, or accepted and closed at once: somebody answered.
    Refused,
    /// It spoke before it was asked: what it says is nobody's answer.
    Spoke,
    /// EHOSTUNREACH, ENETUNREACH and the like: nobody is there.
    Unreachable,
    /// No answer within [`Plan::connect_timeout`].
    TimedOut,
    /// Here, not there: no descriptor, no port, no memory. Says nothing about the Endpoint.
    Local,
}

/// How an established upstream connection ended before the response was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// End of stream.
    Closed,
    /// RST.
    Reset,
    /// `TCP_USER_TIMEOUT` or EHOSTUNREACH: the Endpoint is silent.
    Silent,
    /// It sent what is not HTTP.
    Protocol,
}

/// Why there was a second attempt, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The first was never sent.
    NeverSent,
    /// It was sent, and its connection died.
    Repeat,
    /// Its dial was late.
    Hedge,
    /// The budget is spent.
    BudgetExhausted,
}

impl Retry {
    /// A stable code.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NeverSent => "never_sent",
            Self::Repeat => "repeat",
            Self::Hedge => "hedge",
            Self::BudgetExhausted => "budget_exhausted",
        }
    }
}

/// What happened to an attempt's Endpoint, for health and balancing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The dial failed, or is late enough to count as failed.
    DialFailed(DialError),
    /// The connection died under a request.
    Died(Death),
    /// No answer in time.
    TimedOut,
}

/// The verbs that the machine needs.
pub(crate) trait Driver {
    /// Picks an Endpoint outside `exclude` (or `only`, where given) and opens a connection to it.
    fn open(&mut self, id: AttemptId, want: Want, exclude: &[Peer], only: Option<Peer>) -> Opened;
    /// Takes one repeat or hedged dial out of the budget.
    fn take_budget(&mut self) -> bool;
    /// Counts a second attempt, or one that the budget forbade.
    fn count(&mut self, retry: Retry);
    /// No Endpoint outside `exclude` has room for a connection: asks for one that is idle or comes free until then. False
    /// if enough wait for them already; else [`Event::Room`] may follow.
    fn ask_for_room(&mut self, exclude: &[Peer], until: Micros) -> bool;
    /// Counts a request that no Endpoint had room for.
    fn count_overflow(&mut self);
    /// Tells the Ledger of a failure.
    fn report(&mut self, id: AttemptId, peer: Peer, report: Report);
    /// The attempt has ended or is not needed: an open dial finishes into the pool, anything else is closed. Every
    /// attempt ends so, but for the one that [`Event::Finished`] leaves to the shell.
    fn abandon(&mut self, id: AttemptId);
}

/// What the shell tells the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// There may be room for a connection now, see [`Driver::ask_for_room`].
    Room,
    /// The dial of an attempt is through.
    Connected(AttemptId),
    /// The dial of an attempt failed.
    DialFailed(AttemptId, DialError),
    /// The kernel accepted the first byte of the request.
    Sent,
    /// It must not be sent again: body bytes went out that are not kept, or the client seems to have left.
    Unrepeatable,
    /// The connection that carries the request ended before the first response byte.
    Died(Death),
    /// The first response byte came, whichever it is.
    FirstByte,
    /// The upstream broke off or broke the protocol after the first response byte.
    Broke(Death),
    /// The client's connection is gone.
    ClientGone,
    /// The Endpoint takes no more of the request: the shell ends it.
    Stalled(Failure),
    /// The shell ends it, for a reason that the machine need not know, and that says nothing about the Endpoint.
    Abort(Failure),
    /// The Exchange is over; nothing is left to be decided.
    Finished,
    /// A moment that [`Exchange::next_deadline`] named has come.
    Tick,
}

/// What the shell does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Go on as before.
    Continue,
    /// Send the request, from its first byte, over this attempt's connection.
    Send(AttemptId),
    /// Wait for a dial.
    Wait,
    /// Answer by ourselves; if the response has begun, cut the client's connection off instead.
    Fail(Failure),
    /// The client is gone: close both sides.
    Close(Failure),
}

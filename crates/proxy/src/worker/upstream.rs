//! Connections to Endpoints: dialled, carrying an attempt, leaving; idle ones are in [`mod@super::idle`].
//!
//! Laws:
//! 1. An attempt holds its Endpoint's in-flight guard from the pick to its end, whichever way it ends.
//! 2. A dial that nobody waits for any more finishes into the pool or fails by itself.
//! 3. A connection holds its Endpoint's permit for life; what happens at the limit is in [`mod@super::room`].
//! 4. Whether a dial succeeded is told to the Ledger for every dial; that it failed, once.
//! 5. A new connection has succeeded only if it is silent. What has come before a request was sent is nobody's answer,
//!    and there may be no further event to tell of it.

use std::num::NonZeroU32;
use std::sync::Arc;

use fairlead_balance::{Failure as LoadFailure, Micros, Permit, Reason, Work};
use mio::net::TcpStream;

use super::Worker;
use super::adopt::Picked;
use super::balancing::Asking;
use super::slab::Key;
use crate::conn::socket::{Silence, Socket, dial};
use crate::conn::state::{Attempt, Conn, Flow, Role, Up};
use crate::exchange::{AttemptId, Death, DialError, Driver, Event, Opened, Peer, Report, Retry, Want};
use crate::shared::{BackendSlot, BackendState, Ejection, EndpointState};
use crate::timer::{Alarm, NEVER};

/// A request that must not be repeated takes a pooled connection only if it was idle for less.
const FRESH: Micros = Micros(1_000_000);

/// Picks in which somebody else may be faster to an Endpoint's last room.
const ROOM_TRIES: usize = 4;

/// The machine's hands: the worker, and the flow of the request in question.
pub(crate) struct Hands<'a> {
    pub(crate) worker: &'a mut Worker,
    pub(crate) flow: &'a mut Flow,
    pub(crate) owner: Key,
}

impl Driver for Hands<'_> {
    fn open(&mut self, id: AttemptId, want: Want, exclude: &[Peer], only: Option<Peer>) -> Opened {
        for _ in 0..ROOM_TRIES {
            if let Some(opened) = self.try_open(id, want, exclude, only) {
                return opened;
            }
        }
        Opened::Full
    }

    fn take_budget(&mut self) -> bool {
        self.worker.budget.try_spend(self.worker.now)
    }

    fn count(&mut self, retry: Retry) {
        self.worker.cell().stats.retries.add(retry.as_str());
    }

    fn ask_for_room(&mut self, exclude: &[Peer], until: Micros) -> bool {
        let Some(backend) = self.flow.account.backend.as_ref() else { return false };
        let key = self.flow.request.hash;
        self.worker.ask_for_room(self.owner, (backend.slot, backend.incarnation), key, exclude, until)
    }

    fn count_overflow(&mut self) {
        if let Some(backend) = &self.flow.account.backend {
            backend.overflows.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn report(&mut self, id: AttemptId, _: Peer, report: Report) {
        let Some(attempt) = self.flow.attempt_mut(id) else { return };
        // Counted as a failure below: not by the answer that it has begun.
        attempt.status = 0;
        let (conn, endpoint) = (attempt.conn, Arc::clone(&attempt.endpoint));
        let (now, worker) = (self.worker.now, self.worker.index);
        match report {
            Report::DialFailed(error) => {
                if let Some(up) = self.worker.up(conn) {
                    up.counted = true;
                }
                let backend = self.flow.account.backend.as_deref();
                self.worker.note_dial_failure(&endpoint, error, backend);
            }
            Report::Died(death) => {
                let failure =
                    if death == Death::Protocol { LoadFailure::Malformed } else { LoadFailure::Reset };
                endpoint.load.failed(now, worker, failure);
                if death == Death::Silent
                    && endpoint.load.suspected(now)
                    && let Some(backend) = &self.flow.account.backend
                {
                    backend.ejections.add(worker, Ejection::Silent);
                }
                endpoint.last_failure.note(now, if death == Death::Protocol { "UPE" } else { "UC" });
            }
            Report::TimedOut => {
                endpoint.load.failed(now, worker, LoadFailure::Timeout);
                endpoint.last_failure.note(now, "UT");
            }
        }
    }

    fn abandon(&mut self, id: AttemptId) {
        // The guard goes with the attempt.
        let Some(mut attempt) = self.flow.attempts.get_mut(usize::from(id.0)).and_then(Option::take) else {
            return;
        };
        let now = self.worker.now;
        // Whoever wanted the rest of it is gone.
        attempt.count(now, self.worker.index);
        let backend = self.flow.account.backend.as_ref().map(|backend| backend.slot);
        match self.worker.up(attempt.conn) {
            Some(up) if matches!(up.role, Role::Dialing(..)) && now < up.dial_until => {
                up.role = Role::Spare(backend);
                let until = up.dial_until;
                self.worker.alarm(attempt.conn, until);
            }
            Some(_) => self.worker.close_up(attempt.conn),
            None => {}
        }
    }
}

impl Hands<'_> {
    /// One pick and what comes of it; None if somebody else took the Endpoint's last room meanwhile.
    fn try_open(
        &mut self,
        id: AttemptId,
        want: Want,
        exclude: &[Peer],
        only: Option<Peer>,
    ) -> Option<Opened> {
        let Some(backend) = self.flow.account.backend.as_ref() else { return Some(Opened::NoEndpoint) };
        let work = if self.flow.request.upgrade { Work::Tunnel } else { Work::Request };
        let worker = &mut *self.worker;
        let now = worker.now;
        let asking = Asking { work, key: self.flow.request.hash, again: !exclude.is_empty() };
        let (endpoint, limit, reason) =
            match worker.pick(backend.slot, backend.incarnation, asking, exclude, only) {
                Picked::Endpoint(endpoint, limit, reason) => (endpoint, limit, reason),
                Picked::Full => return Some(Opened::Full),
                Picked::Nobody => return Some(Opened::NoEndpoint),
            };
        if reason.is_some() {
            self.flow.account.reason = reason;
        }
        let peer = endpoint.slot;
        let pooled = match want {
            Want::Dial => None,
            // Whether it lives is told by a dial only.
            _ if endpoint.load.is_suspect() || reason == Some(Reason::Probe) => None,
            Want::Any => worker.take_idle(&endpoint, None),
            Want::Fresh => worker.take_idle(&endpoint, Some(FRESH)),
        };
        let opened = if let Some(key) = pooled {
            if let Some(up) = worker.up(key) {
                up.role = Role::Busy(self.owner, id);
                up.limit = limit;
            }
            worker.alarm(key, NEVER);
            Ok((key, Opened::Pooled(peer)))
        } else {
            let permit = worker.permit(&endpoint, limit)?;
            let role = Role::Dialing(self.owner, id);
            worker.begin_dial(permit, role, limit).map(|key| (key, Opened::Dialing(peer)))
        };
        if worker.logs {
            self.flow.account.endpoint = Some(Arc::clone(&endpoint));
        }
        Some(match opened {
            Ok((conn, opened)) => {
                let guard = endpoint.load.started();
                self.flow.attempts[usize::from(id.0)] =
                    Some(Attempt { conn, endpoint, guard, sent_at: now, status: 0 });
                opened
            }
            Err(error) => {
                // The machine reports it by the Endpoint's slot; there is no connection to look it up by.
                worker.note_dial_failure(&endpoint, error, Some(backend));
                Opened::Refused(peer, error)
            }
        })
    }
}

impl Worker {
    /// Tells the Ledger; `backend` is whom the dial was for.
    fn note_dial_failure(&self, endpoint: &EndpointState, error: DialError, backend: Option<&BackendState>) {
        let (passed_over, ejection) = match error {
            DialError::Refused => (endpoint.load.dial_failed(self.now), Ejection::Refused),
            DialError::TimedOut => (endpoint.load.suspected(self.now), Ejection::TimedOut),
            DialError::Unreachable => (endpoint.load.suspected(self.now), Ejection::Unreachable),
            DialError::Spoke => (endpoint.load.dial_failed(self.now), Ejection::Spoke),
            DialError::Local => return,
        };
        endpoint.note_dial_failure(self.now);
        if error == DialError::Spoke {
            endpoint.last_failure.note(self.now, "UPE");
        }
        if passed_over && let Some(backend) = backend {
            backend.ejections.add(self.index, ejection);
        }
    }

    /// The same of a dial that nobody waits for any more. Its Backend is known by its place: one that takes the place
    /// within the second that a dial may last would count for it.
    fn note_spare_failure(&self, endpoint: &EndpointState, error: DialError, backend: Option<BackendSlot>) {
        let backend = backend.and_then(|slot| self.root.backends.get(slot.0));
        self.note_dial_failure(endpoint, error, backend.map(Arc::as_ref));
    }

    pub(super) fn begin_dial(
        &mut self,
        endpoint: Permit<EndpointState>,
        role: Role,
        limit: Option<NonZeroU32>,
    ) -> Result<Key, DialError> {
        if endpoint.is_gone() {
            self.cell().stats.stale_picks.add(1);
        }
        let stream: TcpStream = dial(endpoint.address, self.times.unacked)?;
        let registry = self.poll.registry();
        let dial_until = self.now + self.times.connect;
        self.conns.insert_with(|key| {
            let socket = Socket::register(stream, key, registry).map_err(|_| DialError::Local)?;
            Ok(Conn::Up(Up {
                socket,
                alarm: Alarm::default(),
                endpoint,
                limit,
                role,
                dial_until,
                counted: false,
                patient: false,
            }))
        })
    }

    /// Closes a connection to an Endpoint, wherever it stands.
    pub(crate) fn close_up(&mut self, key: Key) {
        let Some(Conn::Up(up)) = self.conns.get(key) else { return };
        if up.role == Role::Idle {
            let slot = up.endpoint.slot;
            self.pools.remove(slot, key);
        }
        if let Some(Conn::Up(up)) = self.conns.remove(key) {
            up.socket.close(self.poll.registry());
            self.let_go(up.endpoint, up.limit);
        }
    }

    /// The poller said something about a connection to an Endpoint.
    pub(super) fn on_upstream(&mut self, key: Key) {
        let Some(up) = self.up(key) else { return };
        match up.role {
            Role::Busy(owner, _) => self.drive(owner),
            Role::Idle | Role::Leaving => {
                if up.socket.is_readable() {
                    self.look(key);
                    self.close_up(key);
                }
            }
            Role::Dialing(..) | Role::Spare(_) => self.on_dial(key),
        }
    }

    fn on_dial(&mut self, key: Key) {
        let Some(up) = self.up(key) else { return };
        if !up.socket.is_writable() {
            return;
        }
        let Some(result) = up.socket.dial_result() else { return };
        let (role, endpoint, counted) = (up.role, Arc::clone(&up.endpoint), up.counted);
        let result = result.and_then(|()| self.is_silent(key));
        if result.is_ok() {
            endpoint.load.dial_succeeded(self.now);
        }
        match (role, result) {
            (Role::Dialing(owner, id), Ok(())) => {
                self.set_role(key, Role::Busy(owner, id));
                self.notify(owner, Event::Connected(id));
            }
            (Role::Dialing(owner, id), Err(error)) => {
                self.set_role(key, Role::Leaving);
                self.notify(owner, Event::DialFailed(id, error));
                // The machine has abandoned it; this is for a machine that was over.
                self.close_up(key);
            }
            (_, Ok(())) => self.park(key),
            (role, Err(error)) => {
                if let (Role::Spare(backend), false) = (role, counted) {
                    self.note_spare_failure(&endpoint, error, backend);
                }
                self.close_up(key);
            }
        }
    }

    /// Whether nothing has come yet on a new connection.
    fn is_silent(&mut self, key: Key) -> Result<(), DialError> {
        if !self.up(key).is_some_and(|up| up.socket.is_readable()) {
            return Ok(());
        }
        match self.look(key) {
            Silence::Kept => Ok(()),
            Silence::Ended => Err(DialError::Refused),
            Silence::Broken => Err(DialError::Spoke),
        }
    }

    /// A connection's time is up: it was idle too long, its dial took too long, or it was to leave now.
    pub(super) fn on_upstream_deadline(&mut self, key: Key) {
        let Some(up) = self.up(key) else { return };
        let busy = matches!(up.role, Role::Busy(..) | Role::Dialing(..));
        if let (Role::Spare(backend), false) = (up.role, up.counted) {
            let endpoint = Arc::clone(&up.endpoint);
            self.note_spare_failure(&endpoint, DialError::TimedOut, backend);
        }
        if !busy {
            self.close_up(key);
        }
    }
}

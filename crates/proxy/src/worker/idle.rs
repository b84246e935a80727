//! Idle connections to Endpoints, on their way into a pool and out of it.
//!
//! Laws:
//! 1. Anything that the poller says about an idle connection but that it can be written to closes it at once, and no
//!    request meets it: it is not looked at when it is taken. What it has said before keeps a connection out of the
//!    pool, since it will not say it again.
//! 2. It is looked at where the poller had no chance to speak: if it was parked in the same turn, or if there were more
//!    events than a turn takes. What is behind a response must not become the answer to the next request. Bytes that
//!    come after that request was sent cannot be told from its answer by anybody.

use std::sync::Arc;

use fairlead_balance::Micros;

use super::slab::Key;
use super::{UNREQUESTED, Worker};
use crate::conn::socket::Silence;
use crate::conn::state::Role;
use crate::pool::Fingerprint;
use crate::shared::EndpointState;

impl Worker {
    /// Puts a connection that has nothing to do into the pool, if it may stay.
    pub(crate) fn park(&mut self, key: Key) {
        let (unacked, idle) = (self.times.unacked, self.times.upstream_idle);
        let Some(up) = self.up(key) else { return };
        if up.socket.is_readable() || up.endpoint.is_gone() {
            self.close_up(key);
            return;
        }
        if std::mem::take(&mut up.patient) {
            up.socket.set_user_timeout(unacked);
        }
        if up.limit.is_some() && self.part_with(key) {
            return;
        }
        let Some(up) = self.up(key) else { return };
        up.role = Role::Idle;
        let slot = up.endpoint.slot;
        let mut doomed = std::mem::take(&mut self.doomed);
        self.pools.park(slot, Fingerprint::PLAIN_HTTP1, key, self.now, &mut doomed);
        self.doomed = doomed;
        self.alarm(key, self.now + idle);
        self.close_doomed();
        self.room_at(slot);
    }

    /// Takes an idle connection of an Endpoint; with `fresh`, only if it was parked less than so long ago.
    pub(super) fn take_idle(&mut self, endpoint: &EndpointState, fresh: Option<Micros>) -> Option<Key> {
        loop {
            let taken = self.pools.take(endpoint.slot, Fingerprint::PLAIN_HTTP1, self.now, fresh)?;
            let told = taken.polled && self.told_all && self.up(taken.key).is_some();
            if told || self.look(taken.key) == Silence::Kept {
                return Some(taken.key);
            }
            self.close_taken(taken.key);
        }
    }

    /// Looks at a connection on which nothing was asked. Bytes on it are counted.
    pub(super) fn look(&mut self, key: Key) -> Silence {
        let Some(up) = self.up(key) else { return Silence::Ended };
        let silence = up.socket.look();
        if silence == Silence::Broken {
            let endpoint = Arc::clone(&up.endpoint);
            self.note_stray(&endpoint, UNREQUESTED);
        }
        silence
    }

    /// An Endpoint has said something that answers nobody, and that no request has suffered from.
    pub(crate) fn note_stray(&self, endpoint: &EndpointState, code: &'static str) {
        endpoint.last_failure.note(self.now, "UPE");
        self.cell().stats.refused_responses.add(code);
    }

    /// Closes a connection that was taken out of its pool.
    pub(super) fn close_taken(&mut self, key: Key) {
        self.set_role(key, Role::Leaving);
        self.close_up(key);
    }

    /// Closes connections that have left their pool.
    pub(super) fn close_doomed(&mut self) {
        while let Some(key) = self.doomed.pop() {
            self.close_taken(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpStream};
    use std::sync::Arc;

    use super::*;
    use crate::worker::parked::parked;

    /// A worker in the turn in which it has parked its only connection, and the Endpoint's end of that.
    fn just_parked() -> (Worker, Arc<EndpointState>, TcpStream) {
        let (worker, endpoint, mut streams) = parked(1);
        (worker, endpoint, streams.remove(0))
    }

    fn refused(worker: &Worker) -> Vec<(&'static str, u64)> {
        worker.cell().stats.refused_responses.iter().collect()
    }

    #[test]
    fn bytes_that_came_since_a_connection_was_parked_are_nobodys_answer() {
        for fresh in [None, Some(Micros(1_000_000))] {
            let (mut worker, endpoint, mut stream) = just_parked();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison").unwrap();
            assert_eq!(worker.take_idle(&endpoint, fresh), None);
            assert_eq!(refused(&worker), [("unrequested_bytes", 1)]);
            assert_eq!(endpoint.load.connections(), 0, "it is closed");
            assert_eq!(endpoint.last_failure.get().map(|(_, code)| code), Some("UPE"));
        }
    }

    #[test]
    fn an_end_since_a_connection_was_parked_meets_no_request() {
        let (mut worker, endpoint, stream) = just_parked();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(worker.take_idle(&endpoint, None), None);
        assert_eq!(refused(&worker), [], "servers may close what is idle");
        assert_eq!(endpoint.load.connections(), 0);
    }

    #[test]
    fn a_silent_connection_of_this_turn_is_used_again() {
        let (mut worker, endpoint, _stream) = just_parked();
        assert!(worker.take_idle(&endpoint, None).is_some());
        assert_eq!(worker.pools.len(), 0);
    }
}

//! The graceful stop.
//!
//! Laws:
//! 1. Draining: everything works on, but answers carry `Connection: close`.
//! 2. Closing: listening sockets are accepted empty and closed; connections that are idle [`LAST_LOOK`] later are
//!    closed: the first request of one that was just accepted is on its way. What runs may finish. The loop ends with
//!    its last client connection, those on their way from other workers included, at the latest at the deadline.
//! 3. Stopped: the loop ends at once.

use fairlead_balance::Micros;

use super::Worker;
use super::slab::Key;
use crate::conn::socket::Silence;
use crate::conn::state::{Conn, Phase as ConnPhase};
use crate::shared::Phase;
use crate::timer::NEVER;

/// How long idle connections are kept after the last one was accepted.
const LAST_LOOK: Micros = Micros::from_millis(200);

impl Worker {
    /// Notices a new phase.
    pub(super) fn follow_phase(&mut self) {
        let phase = self.shared.phase();
        if phase == self.phase {
            // A socket that was handed over late is not left open.
            if phase == Phase::Closing && self.is_listening() {
                self.retire(None);
            }
            if self.keeps_idle_until.is_some_and(|at| at <= self.now) {
                self.keeps_idle_until = None;
                self.close_idle();
            }
            return;
        }
        self.phase = phase;
        if phase >= Phase::Closing {
            self.retire(None);
            self.expect_first_request();
        }
    }

    /// A connection has just been accepted, here or by another worker.
    pub(super) fn expect_first_request(&mut self) {
        if self.phase >= Phase::Closing {
            self.keeps_idle_until = Some(self.now + LAST_LOOK);
        }
    }

    fn close_idle(&mut self) {
        let idle = |conn: &Conn| match conn {
            Conn::Down(down) => {
                let waits = down.active.as_ref().is_none_or(|active| {
                    active.flow.phase == ConnPhase::Head && active.flow.inbound.is_none()
                });
                // What the kernel already holds of a request is answered; this turn's events are still to be told.
                waits && !down.socket.is_readable() && down.socket.look() != Silence::Broken
            }
            Conn::Up(_) => false,
        };
        let idle: Vec<Key> = self.conns.iter().filter(|(_, conn)| idle(conn)).map(|(key, _)| key).collect();
        for key in idle {
            self.close_down(key, false);
        }
    }

    /// When the loop ends whatever is open.
    pub(super) fn stop_at(&self) -> Option<Micros> {
        let last_look = self.keeps_idle_until.unwrap_or(NEVER);
        (self.phase >= Phase::Closing).then(|| self.shared.deadline().min(last_look))
    }

    pub(super) fn is_over(&self) -> bool {
        match self.phase {
            Phase::Running | Phase::Draining => false,
            Phase::Closing => self.cell().assigned() == 0 || self.now >= self.shared.deadline(),
            Phase::Stopped => true,
        }
    }
}

//! What the control thread tells about itself. It is the one writer.

use std::sync::Mutex;

use fairlead_balance::Micros;
use fairlead_snapshot::{BindFact, ReflectorStats};

use super::stats::{Gauge, Histogram, ReasonCounters};

/// Counters and gauges of the control thread.
#[derive(Debug, Default)]
pub struct ControlStats {
    /// When its loop last turned, in microseconds of the process's clock.
    pub heartbeat: Gauge,
    /// 1 while the controller is connected.
    pub connected: Gauge,
    /// Connections made to the controller.
    pub connects: Gauge,
    /// The adopted position.
    pub epoch: Gauge,
    /// The adopted position.
    pub generation: Gauge,
    /// The root that all workers have adopted; 0 until there is a configuration.
    pub adopted_root: Gauge,
    /// When a position was last adopted by all workers, in Unix milliseconds.
    pub last_success_ms: Gauge,
    /// From a transaction's last byte to its adoption by all workers.
    pub apply: Histogram,
    /// From the oldest endpoint event of a transaction to its adoption by all workers.
    pub propagation: Histogram,
    /// Refused resources, by code.
    pub rejected: ReasonCounters,
    /// Connections to the controller that ended, by code.
    pub disconnects: ReasonCounters,
    /// When the last good file was written, in Unix milliseconds; 0 if there is none.
    pub last_good_written_ms: Gauge,
    /// Why it was not used at start, by code.
    pub last_good_errors: ReasonCounters,
    /// Failed attempts to write it.
    pub last_good_write_errors: Gauge,
    /// Endpoints of all Backends.
    pub endpoints: Gauge,
    /// Endpoints that are gone and still held by somebody.
    pub endpoints_retired: Gauge,
    /// Attempts in flight on those.
    pub retired_in_flight: Gauge,
    binds: Mutex<Vec<BindFact>>,
    reflectors: Mutex<(Micros, Vec<ReflectorStats>)>,
}

impl ControlStats {
    /// The state of every bind.
    pub fn binds(&self) -> Vec<BindFact> {
        self.binds.lock().map(|binds| binds.clone()).unwrap_or_default()
    }

    /// What the controller said last of the collections that it follows, and when. It stays when the controller goes: the
    /// ages go on.
    pub fn reflectors(&self) -> (Micros, Vec<ReflectorStats>) {
        self.reflectors.lock().map(|held| held.clone()).unwrap_or_default()
    }

    pub(crate) fn set_reflectors(&self, stats: Vec<ReflectorStats>, now: Micros) {
        if let Ok(mut held) = self.reflectors.lock() {
            *held = (now, stats);
        }
    }

    pub(crate) fn set_binds(&self, facts: Vec<BindFact>) {
        if let Ok(mut binds) = self.binds.lock() {
            *binds = facts;
        }
    }
}

//! The one object that every thread holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use fairlead_balance::Micros;

use super::admission::Admission;
use super::control_stats::ControlStats;
use super::root::Root;
use super::worker_cell::{Bell, WorkerCell};
use crate::config::ProxyConfig;

/// The process's one clock: microseconds since its epoch, monotonic.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Instant,
}

impl Clock {
    /// Starts the epoch a second ago: 0 stays free to mean "never".
    pub fn start() -> Self {
        let now = Instant::now();
        Self { epoch: now.checked_sub(std::time::Duration::from_secs(1)).unwrap_or(now) }
    }

    /// Now. One call per turn of a loop is enough.
    pub fn now(&self) -> Micros {
        Micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// Where the proxy stands in its life. It only moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Serves.
    Running = 0,
    /// Readiness fails; connections are still accepted; answers carry `Connection: close`.
    Draining = 1,
    /// Nothing new is accepted; a worker's loop returns once its last connection is closed, at the latest at
    /// [`Shared::deadline`].
    Closing = 2,
    /// A worker's loop returns at once.
    Stopped = 3,
}

/// What all threads share.
#[derive(Debug)]
pub struct Shared {
    /// Fixed at start.
    pub config: ProxyConfig,
    /// The process's clock.
    pub clock: Clock,
    /// The root to adopt.
    pub root: ArcSwap<Root>,
    /// One cell per worker.
    pub workers: Box<[WorkerCell]>,
    /// What the control thread tells about itself.
    pub control: ControlStats,
    /// Wakes the control thread.
    pub control_bell: Arc<Bell>,
    /// Wakes the health thread.
    pub health_bell: Bell,
    /// Client connections of all workers, for the limits.
    pub admission: Admission,
    phase: AtomicU8,
    deadline: AtomicU64,
}

impl Shared {
    /// Before any thread has started.
    pub fn new(config: ProxyConfig) -> Arc<Self> {
        let control_bell = Arc::new(Bell::default());
        let cell = |_| WorkerCell::with_control(Arc::clone(&control_bell));
        let workers = (0..config.worker_count()).map(cell).collect();
        Arc::new(Self {
            admission: Admission::new(&config.limits),
            config,
            clock: Clock::start(),
            root: ArcSwap::from_pointee(Root::default()),
            workers,
            control: ControlStats::default(),
            control_bell,
            health_bell: Bell::default(),
            phase: AtomicU8::new(Phase::Running as u8),
            deadline: AtomicU64::new(u64::MAX),
        })
    }

    /// The phase. In one order with what is assigned to workers, see `WorkerCell::assigned`.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Running,
            1 => Phase::Draining,
            2 => Phase::Closing,
            _ => Phase::Stopped,
        }
    }

    /// Moves on to `phase` (never back) and wakes all workers.
    pub fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
        self.wake_all();
        self.control_bell.ring();
        self.health_bell.ring();
    }

    /// When a worker returns whatever is still open.
    pub fn deadline(&self) -> Micros {
        Micros(self.deadline.load(Ordering::Acquire))
    }

    /// Sets the end of a graceful stop; the earliest one stays.
    pub fn set_deadline(&self, at: Micros) {
        self.deadline.fetch_min(at.0, Ordering::AcqRel);
    }

    /// Makes all workers take a turn.
    pub fn wake_all(&self) {
        self.workers.iter().for_each(WorkerCell::wake);
    }

    /// Publishes a root, wakes all workers, and gives the root before.
    pub(crate) fn publish(&self, root: Arc<Root>) -> Arc<Root> {
        let before = self.root.swap(root);
        self.wake_all();
        before
    }

    /// Whether every worker reads the root of `generation` or a later one.
    pub fn adopted_by_all(&self, generation: u64) -> bool {
        self.workers.iter().all(|worker| worker.adopted() >= generation)
    }
}

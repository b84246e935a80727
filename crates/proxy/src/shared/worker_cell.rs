//! What one worker shows to the other threads, and how they reach it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock};

use fairlead_balance::{Micros, Permit};

use super::endpoint::{EndpointSlot, EndpointState};
use super::stats::{Gauge, ReasonCounters};
use crate::access_log::LogBuffer;

/// A socket that a worker is to accept from.
#[derive(Debug)]
pub struct ListenSocket {
    /// The bind's address; also the key of the routing table.
    pub address: SocketAddr,
    /// Which of the bind's sockets.
    pub shard: usize,
    /// Non-blocking. Closed when this is dropped.
    pub socket: std::net::TcpListener,
    /// Held as long as the socket is open; the owner of all sockets counts these.
    pub open: Arc<()>,
}

/// A worker's wish for a connection that another one gives up: its Endpoint may have no more.
#[derive(Debug)]
pub struct Demand {
    /// Whose connection.
    pub endpoint: EndpointSlot,
    /// Who asks.
    pub worker: usize,
    /// Until when.
    pub until: Micros,
    /// One of those asked has given one up.
    pub met: AtomicBool,
}

impl Demand {
    /// Whether it is still asked for.
    pub(crate) fn is_open(&self, now: Micros) -> bool {
        now < self.until && !self.met.load(Ordering::Relaxed)
    }
}

/// What other threads tell a worker. Never on the request path.
#[derive(Debug)]
pub enum WorkerMessage {
    /// Accept from this socket.
    Listen(ListenSocket),
    /// Accept what is waiting on the bind's sockets, then close them. Accepted connections stay.
    Retire(SocketAddr),
    /// A connection that another worker accepted and has not read from.
    Adopt {
        /// The bind that it was accepted on.
        bind: SocketAddr,
        /// Non-blocking.
        socket: std::net::TcpStream,
        /// The client.
        peer: SocketAddr,
    },
    /// Give up a connection that is idle or comes free.
    Demand(Arc<Demand>),
    /// One was given up for a request of this worker: it may dial in its place.
    Room(Permit<EndpointState>),
}

/// One worker, seen from outside.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerCell {
    /// Counters that the worker writes.
    pub stats: WorkerStats,
    /// Where its access log goes.
    pub log: LogBuffer,
    heartbeat: AtomicU64,
    adopted: AtomicU64,
    inbox: Mutex<VecDeque<WorkerMessage>>,
    bell: Bell,
    /// The control thread's: rung at every adoption.
    control: Arc<Bell>,
    assigned: AtomicU32,
}

/// Wakes a thread's poll, once it has one.
#[derive(Debug, Default)]
pub struct Bell {
    waker: OnceLock<mio::Waker>,
    busy: AtomicBool,
}

impl Bell {
    /// The thread's first act. A second call changes nothing.
    pub fn hang(&self, waker: mio::Waker) {
        let _ = self.waker.set(waker);
    }

    /// Wakes the thread, unless it is about to look anyway. Call it after what it is to see. Before the thread has hung
    /// its waker this does nothing: its first turn looks at everything.
    pub fn ring(&self) {
        // Either this sees that the thread listens, or the thread, who listens first and looks then, sees why it rings.
        fence(Ordering::SeqCst);
        if !self.busy.load(Ordering::Relaxed)
            && let Some(waker) = self.waker.get()
        {
            // It fails only when the thread's poll is gone, and then nobody is left to wake.
            let _ = waker.wake();
        }
    }

    /// The thread is awake, and will [`listen`](Self::listen) and look at everything before it sleeps again: to ring
    /// would only cost it a turn. A thread that never says so is rung each time.
    pub(crate) fn busy(&self) {
        self.busy.store(true, Ordering::Relaxed);
    }

    /// From now on the thread hears the bell; what it was not rung for is to be looked at after this.
    pub(crate) fn listen(&self) {
        self.busy.store(false, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

/// Counters of one worker, written by it alone.
#[derive(Debug, Default)]
pub struct WorkerStats {
    /// Client connections that are open.
    pub connections: Gauge,
    /// Client connections accepted so far.
    pub accepted: Gauge,
    /// Requests in progress.
    pub exchanges: Gauge,
    /// Idle connections to endpoints.
    pub upstream_idle: Gauge,
    /// Requests refused by their form, and connections refused by a limit, by code.
    pub refused: ReasonCounters,
    /// Responses refused by their form, by code.
    pub refused_responses: ReasonCounters,
    /// Repeats and hedged dials, by code.
    pub retries: ReasonCounters,
    /// Picks that named an Endpoint which was gone by the time of its dial.
    pub stale_picks: Gauge,
}

impl WorkerCell {
    /// A worker that has not started.
    pub fn new() -> Self {
        Self::with_control(Arc::default())
    }

    /// A worker whose adoptions ring `control`.
    pub(crate) fn with_control(control: Arc<Bell>) -> Self {
        Self {
            stats: WorkerStats::default(),
            log: LogBuffer::default(),
            heartbeat: AtomicU64::new(0),
            adopted: AtomicU64::new(0),
            inbox: Mutex::new(VecDeque::new()),
            bell: Bell::default(),
            control,
            assigned: AtomicU32::new(0),
        }
    }

    /// The worker's first act: how to wake its poll. A second call changes nothing.
    pub fn started(&self, waker: mio::Waker) {
        self.bell.hang(waker);
    }

    /// Makes the worker take a turn. Before it has started this does nothing: its first turn looks at everything.
    pub fn wake(&self) {
        self.bell.ring();
    }

    /// Client connections of this worker, those on their way to it included. In one order with the process's phase:
    /// whoever hands a connection over and a worker that ends must not miss each other.
    pub(crate) fn assigned(&self) -> u32 {
        self.assigned.load(Ordering::SeqCst)
    }

    /// Counts a client connection as this worker's; whoever accepted it does, before this worker has it.
    pub(crate) fn assign(&self) {
        self.assigned.fetch_add(1, Ordering::SeqCst);
    }

    /// One of them is no more.
    pub(crate) fn unassign(&self) {
        self.assigned.fetch_sub(1, Ordering::Relaxed);
    }

    /// Leaves a message and wakes the worker.
    pub fn send(&self, message: WorkerMessage) {
        if let Ok(mut inbox) = self.inbox.lock() {
            inbox.push_back(message);
        }
        self.wake();
    }

    /// The messages left so far, in their order.
    pub fn receive(&self) -> VecDeque<WorkerMessage> {
        self.inbox.lock().map(|mut inbox| std::mem::take(&mut *inbox)).unwrap_or_default()
    }

    /// Says that the loop turns. At least once a second, idle or not.
    pub fn beat(&self, now: Micros) {
        self.heartbeat.store(now.0, Ordering::Relaxed);
    }

    /// When the loop last turned; 0 before its first turn.
    pub fn heartbeat(&self) -> Micros {
        Micros(self.heartbeat.load(Ordering::Relaxed))
    }

    /// Says which root the worker reads from now on. Called after it dropped the one before.
    pub fn set_adopted(&self, generation: u64) {
        self.adopted.store(generation, Ordering::Release);
        self.control.ring();
    }

    /// The generation of the root that the worker reads.
    pub fn adopted(&self) -> u64 {
        self.adopted.load(Ordering::Acquire)
    }
}

impl Default for WorkerCell {
    fn default() -> Self {
        Self::new()
    }
}

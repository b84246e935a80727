//! A worker: one thread, one event loop, its own connections, pools and balancers.
//!
//! Laws:
//! 1. A [`turn`](Worker::turn) handles one batch of events: one clock read, then the configuration if it has changed,
//!    the inbox, sockets, work left over from the turn before, timers, the access log, and the heartbeat.
//! 2. Nothing here waits but the poller, and that for at most a second.
//! 3. No connection holds the loop: after a bounded number of steps it goes to the end of the line.
//! 4. What is under way goes first. New requests stand in line, and a turn begins only [`FRESH_PER_TURN`] of them, so
//!    that few are between their two ends at a time: their state, here and in the kernel, is still in the cache when
//!    the answer comes, and few connections to Endpoints serve many clients. And no request meets an idle connection
//!    whose end the poller has told already. Where several would have to take connections that were given back in this
//!    turn, each at the price of a look, they wait until the poller has been asked, which serves for all; but begin in
//!    every other turn.
//! 5. Sockets are named by generational keys; what outlives its connection finds nothing.
//! 6. A panic ends the connection that it came from, not the worker ([`mod@panic`]).

mod accept;
mod adopt;
mod alarm;
mod balancing;
mod begin;
mod hashing;
mod idle;
mod panic;
#[cfg(test)]
mod parked;
mod room;
pub(crate) mod slab;
mod stop;
#[cfg(test)]
mod tests;
pub(crate) mod upstream;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fairlead_balance::{Micros, RepeatBudget, Rng, SplitMix64, WeightedTargets};
use fairlead_http1::{HeadStorage, Limits};
use mio::{Events, Poll, Token, Waker};

use crate::access_log::LogWriter;
use crate::conn::buffer::Buffers;
use crate::conn::record::Closing;
use crate::conn::state::{Active, Conn, Down, Phase as ConnPhase, Role, Up};
use crate::pool::Pools;
use crate::shared::{BindConnections, BindTable, Phase, Root, Shared, WorkerCell};
use crate::timer::Wheel;
use accept::Listening;
use alarm::Alarm;
use balancing::Balancing;
use room::Room;
use slab::{Key, Slab};

const WAKER: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);
/// Events taken from the poller at once.
const BATCH: usize = 1024;
/// Requests that one turn begins: enough that a turn's own work does not count, few enough for the cache.
const FRESH_PER_TURN: usize = 32;
/// Looks at connections that cost more than asking the poller.
const LOOKS_MAX: usize = 2;
/// What is counted when an Endpoint speaks before it was asked.
pub(crate) const UNREQUESTED: &str = "unrequested_bytes";
/// What is counted when it says more than its response.
pub(crate) const BEHIND_RESPONSE: &str = "bytes_behind_response";
/// The longest sleep: the heartbeat must be seen at least once a second.
const HEARTBEAT: Micros = Micros(900_000);

/// A socket's address with its routing table.
#[derive(Debug)]
struct Bind {
    address: SocketAddr,
    table: Option<Arc<BindTable>>,
    /// Of this worker.
    connections: u32,
    /// Of all workers, for the limit.
    open: Arc<BindConnections>,
}

/// A Rule's choice among its targets, and which Rule it is for.
#[derive(Debug)]
struct Choosing {
    version: u64,
    targets: WeightedTargets,
}

/// Durations of the configuration, in the loop's unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) request_head: Micros,
    pub(crate) downstream_idle: Micros,
    pub(crate) stream_idle: Micros,
    pub(crate) connect: Micros,
    pub(crate) hedge: Micros,
    pub(crate) upstream_idle: Micros,
    pub(crate) unacked: Duration,
    pub(crate) linger: Micros,
}

impl Times {
    pub(crate) fn new(shared: &Shared) -> Self {
        let timeouts = &shared.config.timeouts;
        // 0 means no limit.
        let limit = |ms: u64| if ms == 0 { Micros(u64::MAX / 2) } else { Micros::from_millis(ms) };
        Self {
            request_head: limit(timeouts.request_head_ms),
            downstream_idle: limit(timeouts.downstream_idle_ms),
            stream_idle: limit(timeouts.stream_idle_ms),
            connect: limit(timeouts.connect_ms),
            hedge: limit(timeouts.hedge_ms),
            upstream_idle: limit(timeouts.upstream_idle_ms),
            unacked: Duration::from_millis(timeouts.upstream_unacked_ms),
            linger: limit(timeouts.linger_ms),
        }
    }
}

/// One worker.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    pub(crate) poll: Poll,
    alarm: Alarm,
    pub(crate) now: Micros,
    /// In this turn the poller has told all that it had to tell: there were fewer events than it may give at once.
    told_all: bool,
    pub(crate) conns: Slab<Conn>,
    pub(crate) wheel: Wheel<Key>,
    pub(crate) buffers: Buffers,
    pub(crate) pools: Pools,
    pub(crate) budget: RepeatBudget,
    pub(crate) rng: SplitMix64,
    pub(crate) times: Times,
    pub(crate) request_limits: Limits,
    pub(crate) response_limits: Limits,
    /// The phase as of this turn.
    pub(crate) phase: Phase,
    /// While the worker is closing: idle connections stay open until then.
    pub(crate) keeps_idle_until: Option<Micros>,
    /// Storage of the head that is being parsed.
    pub(crate) fields: HeadStorage,
    /// A head on its way in front of its body.
    pub(crate) scratch: Vec<u8>,
    /// Actives that are free.
    #[expect(clippy::vec_box, reason = "they move between here and connections: as pointers")]
    pub(crate) spare: Vec<Box<Active>>,
    /// Keys of connections that are to be closed, used within one call.
    pub(crate) doomed: Vec<Key>,
    host: Vec<u8>,
    path: Vec<u8>,
    root: Arc<Root>,
    binds: Vec<Bind>,
    balancers: Vec<Option<Balancing>>,
    choices: Vec<Option<Choosing>>,
    listeners: Vec<Option<Listening>>,
    reserve: Option<std::fs::File>,
    /// New requests did not begin in the turn before, so that the poller was asked first.
    held_back: bool,
    /// Connections in line: with a new request, or with more to do than their turn allowed.
    line: VecDeque<Key>,
    rung: Vec<(Key, Micros)>,
    room: Room,
    log: LogWriter,
    logs: bool,
    epoch_ms: i64,
    /// When to look at the wall clock again.
    epoch_due: Micros,
}

/// Runs worker `index` until the proxy stops. The thread's whole life.
pub fn run(shared: &Arc<Shared>, index: usize) -> io::Result<()> {
    let mut worker = Worker::new(Arc::clone(shared), index)?;
    let mut events = Events::with_capacity(BATCH);
    while worker.turn(&mut events)? {}
    // The last lines: whoever takes them holds the buffer for moments only.
    for _ in 0..1_000 {
        if worker.flush_log() {
            break;
        }
        std::thread::yield_now();
    }
    Ok(())
}

impl Worker {
    /// A worker that has not taken a turn.
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        shared.workers[index].started(Waker::new(poll.registry(), WAKER)?);
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let now = shared.clock.now();
        let limits = &shared.config.limits;
        let request_limits = Limits {
            max_head: limits.request_head_bytes as usize,
            max_fields: limits.request_fields as usize,
            max_body: if limits.request_body_bytes == 0 { u64::MAX } else { limits.request_body_bytes },
            ..Limits::REQUEST
        };
        let response_limits = Limits { max_head: limits.response_head_bytes as usize, ..Limits::RESPONSE };
        // Different on each start and for each worker, so that phases do not resonate.
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        let mut rng =
            SplitMix64::new((u64::from(seed) << 32) ^ index as u64 ^ u64::from(std::process::id()) << 8);
        rng.next_u64();
        Ok(Self {
            index,
            poll,
            alarm,
            now,
            told_all: false,
            conns: Slab::default(),
            wheel: Wheel::new(now),
            buffers: Buffers::default(),
            pools: Pools::new(limits.idle_per_endpoint as usize),
            budget: RepeatBudget::new(now),
            rng,
            times: Times::new(&shared),
            request_limits,
            response_limits,
            phase: Phase::Running,
            keeps_idle_until: None,
            fields: HeadStorage::new(),
            scratch: Vec::new(),
            spare: Vec::new(),
            doomed: Vec::new(),
            host: Vec::new(),
            path: Vec::new(),
            root: Arc::new(Root::default()),
            binds: Vec::new(),
            balancers: Vec::new(),
            choices: Vec::new(),
            listeners: Vec::new(),
            reserve: accept::reserve(),
            line: VecDeque::new(),
            held_back: false,
            rung: Vec::new(),
            room: Room::default(),
            log: LogWriter::default(),
            logs: shared.config.access_log,
            epoch_ms: 0,
            epoch_due: Micros::ZERO,
            shared,
        })
    }

    pub(crate) fn cell(&self) -> &WorkerCell {
        &self.shared.workers[self.index]
    }

    /// One batch; false when the worker's work is over.
    pub(crate) fn turn(&mut self, events: &mut Events) -> io::Result<bool> {
        let due = self.due();
        let looks_only = due <= self.now;
        if !looks_only {
            self.alarm.set(self.now, due)?;
        }
        self.wait(events, looks_only.then_some(Duration::ZERO))?;
        self.act(events, self.shared.clock.now());
        Ok(!self.is_over())
    }

    /// Asks the poller for a batch; without a timeout something has to happen first, if only the alarm.
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.told_all = match self.poll.poll(events, timeout) {
            Ok(()) => events.iter().count() < events.capacity(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// Does what there is to do at this moment, with what the poller said.
    fn act(&mut self, events: &Events, now: Micros) {
        self.now = now;
        if self.logs && self.now >= self.epoch_due {
            // The log's times follow the wall clock, whichever way it is set.
            self.epoch_due = self.now + HEARTBEAT;
            let unix =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
            self.epoch_ms = unix - (self.now.0 / 1_000).cast_signed();
        }
        self.adopt();
        self.receive();
        self.follow_phase();
        for event in events {
            match event.token() {
                WAKER | ALARM => {}
                token if accept::is_listener(token) => self.accept(token),
                token => self.guard(Key::of(token), |worker| worker.on_event(Key::of(token), event)),
            }
        }
        // Before new requests: who waited for a connection goes first.
        self.look_again();
        self.held_back = !self.held_back && self.looks_ahead() > LOOKS_MAX;
        if !self.held_back {
            self.go_on();
        }
        self.ring();
        self.cell().stats.upstream_idle.set(self.pools.len() as u64);
        self.flush_log();
        self.cell().beat(self.now);
    }

    fn flush_log(&mut self) -> bool {
        self.log.flush(&self.shared.workers[self.index].log)
    }

    /// When there is something to do even if nothing happens; not after now: at once.
    fn due(&self) -> Micros {
        // As of the turn's one look at the clock: a ring is late by the work done since.
        let now = self.now;
        // The first turn looks at everything: nobody could wake this worker before.
        if !self.line.is_empty() || self.room.is_freed() || self.cell().heartbeat() == Micros::ZERO {
            return now;
        }
        let seldom = [self.wheel.next_ring(), self.accept_again_at(), self.stop_at()];
        seldom.into_iter().flatten().fold(now + HEARTBEAT, Micros::min)
    }

    fn on_event(&mut self, key: Key, event: &mio::event::Event) {
        match self.conns.get_mut(key) {
            Some(Conn::Down(down)) => {
                down.socket.note(event);
                let under_way = |active: &Active| active.flow.phase != ConnPhase::Head;
                if down.active.as_deref().is_some_and(under_way) {
                    self.drive(key);
                } else {
                    self.line_up(key);
                }
            }
            Some(Conn::Up(up)) => {
                up.socket.note(event);
                self.on_upstream(key);
            }
            None => {}
        }
    }

    /// So many of the requests that would begin now would find no idle connection but those given back in this turn.
    fn looks_ahead(&self) -> usize {
        let of_turn = self.pools.of_turn(self.now);
        let begin = self.line.len().min(FRESH_PER_TURN);
        begin.saturating_sub(self.pools.len() - of_turn).min(of_turn)
    }

    /// Lets those connections act that are first in line.
    fn go_on(&mut self) {
        // What comes into line meanwhile is for the next turn.
        for _ in 0..self.line.len().min(FRESH_PER_TURN) {
            let Some(key) = self.line.pop_front() else { return };
            if let Some(down) = self.down(key) {
                down.in_line = false;
            }
            self.guard(key, |worker| worker.drive(key));
        }
    }

    /// Has a client's connection stand in line, once.
    pub(crate) fn line_up(&mut self, key: Key) {
        if self.down(key).is_some_and(|down| !std::mem::replace(&mut down.in_line, true)) {
            self.line.push_back(key);
        }
    }

    fn ring(&mut self) {
        let mut rung = std::mem::take(&mut self.rung);
        self.wheel.advance(self.now, &mut rung);
        for (key, at) in rung.drain(..) {
            let (wheel, now) = (&mut self.wheel, self.now);
            let (is_down, alarm) = match self.conns.get_mut(key) {
                Some(Conn::Down(down)) => (true, &mut down.alarm),
                Some(Conn::Up(up)) => (false, &mut up.alarm),
                None => continue,
            };
            if !alarm.rang(at, now, key, wheel) {
                continue;
            }
            self.guard(key, |worker| {
                if is_down {
                    worker.on_deadline(key);
                } else {
                    worker.on_upstream_deadline(key);
                }
            });
        }
        self.rung = rung;
    }

    /// The client's connection of this key.
    pub(crate) fn down(&mut self, key: Key) -> Option<&mut Down> {
        match self.conns.get_mut(key) {
            Some(Conn::Down(down)) => Some(down),
            _ => None,
        }
    }

    /// The Endpoint's connection of this key.
    pub(crate) fn up(&mut self, key: Key) -> Option<&mut Up> {
        match self.conns.get_mut(key) {
            Some(Conn::Up(up)) => Some(up),
            _ => None,
        }
    }

    fn set_role(&mut self, key: Key, role: Role) {
        if let Some(up) = self.up(key) {
            up.role = role;
        }
    }

    /// Closes the account of a client's request.
    pub(crate) fn close_account(&mut self, key: Key, active: &mut Active) {
        let account = &mut active.flow.account;
        let Some(Conn::Down(down)) = self.conns.get(key).filter(|_| account.open) else { return };
        account.attempts = active.machine.attempts();
        account.close(&mut Closing {
            now: self.now,
            epoch_ms: self.epoch_ms,
            worker: self.index,
            cell: &self.shared.workers[self.index],
            log: self.logs.then_some(&mut self.log),
            client: down.peer,
            bind: self.binds[down.bind as usize].address,
        });
    }

    pub(crate) fn alarm(&mut self, key: Key, deadline: Micros) {
        match self.conns.get_mut(key) {
            Some(Conn::Down(down)) => down.alarm.set(deadline, key, &mut self.wheel),
            Some(Conn::Up(up)) => up.alarm.set(deadline, key, &mut self.wheel),
            None => {}
        }
    }
}

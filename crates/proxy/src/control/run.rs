//! The control thread's loop: the shell around [`super::core`].
//!
//! Laws:
//! 1. It waits for nothing but its poll. A worker that hangs delays the ack of what it has not adopted, and nothing
//!    else.
//! 2. Losing the controller changes nothing that serves.

use std::io;
use std::sync::Arc;

use fairlead_balance::{Micros, SplitMix64};
use fairlead_snapshot::{
    Ack, Facts, FromProxy, Hello, Reason, SCHEMA, Tag, ToProxy, Update, decode_to_proxy, encode_from_proxy,
};
use mio::{Events, Poll, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::adoption::{Adoption, Waiting};
use super::core::{Commit, Core};
use super::keeper::Keeper;
use super::last_good::{self, Refused};
use super::link::{Link, Readiness};
use super::telemetry::Subscription;
use crate::diagnostics::{Level, say, unix_ms};
use crate::listen::{Sockets, Wanted};
use crate::shared::{Phase, Shared};

const BELL: Token = Token(0);
const LINK: Token = Token(1);
const SIGNALS: Token = Token(2);
/// How often the loop turns when nothing happens.
const TICK: Micros = Micros::from_millis(500);
/// A controller that does not read gets no more telemetry.
const MAX_UNSENT: usize = 8 << 20;

/// The thread's state.
pub(crate) struct Control {
    shared: Arc<Shared>,
    poll: Poll,
    signals: Signals,
    core: Core,
    sockets: Sockets,
    link: Option<Link>,
    /// Counts the connections.
    connection: u64,
    adoption: Adoption,
    keeper: Keeper,
    subscription: Subscription,
    wanted: Arc<Wanted>,
    /// The last good file came from another version of the program.
    untrusted: bool,
    grace_until: Option<Micros>,
    /// The controller sent more than one turn reads, and no event will tell.
    unread: bool,
    rng: SplitMix64,
}

impl Control {
    /// Everything that can fail at start; from then on nothing is fatal.
    pub(crate) fn new(shared: Arc<Shared>, sockets: Sockets) -> io::Result<Self> {
        let poll = Poll::new()?;
        shared.control_bell.hang(Waker::new(poll.registry(), BELL)?);
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        poll.registry().register(&mut signals, SIGNALS, mio::Interest::READABLE)?;
        let seed = unix_ms().unsigned_abs() ^ (u64::from(std::process::id()) << 32);
        let link = shared.config.stream_socket.clone().map(|path| Link::new(path, LINK));
        Ok(Self {
            core: Core::new(shared.workers.len(), shared.config.timeouts.clone()),
            keeper: Keeper::start(&shared)?,
            poll,
            signals,
            sockets,
            link,
            connection: 0,
            adoption: Adoption::default(),
            subscription: Subscription::default(),
            wanted: Arc::default(),
            untrusted: false,
            grace_until: None,
            unread: false,
            rng: SplitMix64::new(seed),
            shared,
        })
    }

    /// Loads the last good file, then turns until the process stops.
    pub(crate) fn run(mut self) {
        self.load();
        let mut events = Events::with_capacity(64);
        loop {
            self.shared.control_bell.listen();
            if self.shared.phase() >= Phase::Stopped {
                break;
            }
            let now = self.shared.clock.now();
            self.shared.control.heartbeat.set(now.0);
            self.adopt(now);
            self.timers(now);
            if let Err(error) = self.poll.poll(&mut events, Some(self.timeout().into()))
                && error.kind() != io::ErrorKind::Interrupted
            {
                say(Level::Error, "poll failed", &[("error", &error)]);
            }
            self.shared.control_bell.busy();
            let told = |token: Token| events.iter().any(|event| event.token() == token);
            let (signals, link) = (told(SIGNALS), told(LINK) || self.unread);
            if signals {
                self.signals();
            }
            if link {
                self.turn_link();
            }
        }
        if let Some(position) = self.core.position()
            && self.keeper.next().is_some()
        {
            let saved = self.core.saved();
            self.keeper.keep(position, saved, self.shared.clock.now());
        }
        self.keeper.stop();
    }

    fn timeout(&self) -> Micros {
        if self.unread {
            return Micros::ZERO;
        }
        let now = self.shared.clock.now();
        let link = self.link.as_ref().and_then(Link::retry_at);
        let due =
            [link, self.sockets.next_retry(), self.subscription.next(), self.keeper.next(), self.grace_until];
        let first = due.into_iter().flatten().min().unwrap_or(now + TICK);
        // Rounded up: a poll that ends a little early would turn for nothing.
        first.since(now).min(TICK) + Micros(999)
    }

    fn load(&mut self) {
        let Some(path) = self.shared.config.state_file.clone() else { return };
        let loaded = last_good::load(&path).and_then(|file| {
            let now = self.shared.clock.now();
            let update = file.update()?;
            let commit = self.core.take(Update { more: false, ..update }, now);
            let commit = commit.map_err(|error| Refused::Broken(error.to_string()))?;
            let refused = commit.as_ref().map_or(0, |commit| commit.rejected.len());
            if refused > 0 && self.core.have().is_empty() {
                // Nothing of it is left: that is no configuration, and no reason to be ready.
                return Err(Refused::Broken(format!("all of its {refused} resources are refused")));
            }
            Ok((file.trusted, file.written_ms, commit))
        });
        match loaded {
            Ok((trusted, written_ms, Some(commit))) => {
                self.untrusted = !trusted;
                self.shared.control.last_good_written_ms.set(written_ms.unsigned_abs());
                let position = commit.position;
                let age_s = (unix_ms() - written_ms) / 1_000;
                say(
                    Level::Info,
                    "last good configuration loaded",
                    &[
                        ("path", &path.display()),
                        ("epoch", &position.epoch),
                        ("generation", &position.generation),
                        ("age_s", &age_s),
                        ("refused", &commit.rejected.len()),
                    ],
                );
                self.publish(commit, self.shared.clock.now());
            }
            Ok((_, _, None)) | Err(Refused::Absent) => {}
            Err(refused) => {
                self.shared.control.last_good_errors.add(refused.code());
                say(
                    Level::Error,
                    "last good file refused",
                    &[("path", &path.display()), ("error", &refused)],
                );
            }
        }
    }

    fn timers(&mut self, now: Micros) {
        if self.sockets.retry(&self.shared.workers, now) {
            self.send_facts();
        }
        if self.keeper.is_due(now)
            && let Some(position) = self.core.position()
        {
            let saved = self.core.saved();
            self.keeper.keep(position, saved, now);
        }
        if self.link.as_ref().and_then(Link::retry_at).is_some_and(|at| at <= now) {
            self.connect(now);
        }
        if self.subscription.is_due(now) {
            let reads = self.link.as_ref().is_some_and(|link| link.unsent() < MAX_UNSENT);
            let frame = reads.then(|| self.subscription.frame(&self.core.backends, now));
            self.subscription.sent(now);
            if let Some(frame) = frame {
                self.send(&frame);
            }
        }
        if self.grace_until.is_some_and(|at| at <= now) {
            self.grace_until = None;
            say(Level::Info, "no more connections are accepted", &[]);
            self.sockets.want(&Wanted::new(), &self.shared.workers, now);
            self.shared.advance(Phase::Closing);
        }
        self.core.sweep();
        let counts = self.core.backends.endpoint_counts();
        self.shared.control.endpoints.set(counts.used as u64);
        self.shared.control.endpoints_retired.set(counts.retired as u64);
        self.shared.control.retired_in_flight.set(counts.retired_in_flight);
    }

    fn signals(&mut self) {
        let pending: Vec<i32> = self.signals.pending().collect();
        for signal in pending {
            if signal == SIGHUP {
                // By default it would end the process; there are no files to read again.
            } else if signal == SIGINT {
                say(Level::Info, "stopping at once", &[]);
                self.shared.advance(Phase::Stopped);
            } else if self.shared.phase() == Phase::Running {
                let (now, drain) = (self.shared.clock.now(), &self.shared.config.drain);
                say(
                    Level::Info,
                    "draining",
                    &[("grace_s", &drain.grace_s), ("deadline_s", &drain.deadline_s)],
                );
                self.shared.set_deadline(now + Micros::from_secs(drain.deadline_s));
                self.grace_until = Some(now + Micros::from_secs(drain.grace_s));
                self.shared.advance(Phase::Draining);
            }
        }
    }

    fn publish(&mut self, commit: Commit, now: Micros) {
        let stats = &self.shared.control;
        for rejection in &commit.rejected {
            stats.rejected.add(Reason::parse(&rejection.reason).map_or("other", Reason::as_str));
            say(
                Level::Warning,
                "resource refused",
                &[
                    ("kind", &rejection.kind),
                    ("name", &rejection.name),
                    ("reason", &rejection.reason),
                    ("message", &rejection.message),
                ],
            );
        }
        if commit.binds_changed {
            self.wanted = Arc::new(self.core.wanted_binds());
        }
        let waiting = Waiting {
            generation: commit.root.generation,
            position: commit.position,
            rejected: commit.in_force,
            event_ms: commit.event_ms,
            received: now,
            wanted: Arc::clone(&self.wanted),
            connection: self.connection,
        };
        let before = self.shared.publish(Arc::new(commit.root));
        self.adoption.published(waiting, before);
    }

    /// Acknowledges what all workers have adopted by now.
    fn adopt(&mut self, now: Micros) {
        let oldest = self.shared.workers.iter().map(crate::shared::WorkerCell::adopted).min().unwrap_or(0);
        while let Some(done) = self.adoption.adopted(oldest) {
            let stats = &self.shared.control;
            stats.apply.observe(now.since(done.received).0);
            if let Some(event_ms) = done.event_ms {
                stats.propagation.observe((unix_ms() - event_ms).max(0).unsigned_abs() * 1_000);
            }
            stats.epoch.set(done.position.epoch);
            stats.generation.set(done.position.generation);
            stats.last_success_ms.set(unix_ms().unsigned_abs());
            let facts_changed = self.shared.phase() < Phase::Closing
                && self.sockets.want(&done.wanted, &self.shared.workers, now);
            if facts_changed {
                self.send_facts();
            }
            // After the facts: readiness looks at both.
            self.shared.control.adopted_root.set(done.generation);
            if done.connection == self.connection && done.connection > 0 {
                let ack = Ack { position: done.position, rejected: done.rejected, tag: Tag::default() };
                self.send(&encode_from_proxy(&FromProxy::Ack(ack)));
            }
        }
    }

    fn connect(&mut self, now: Micros) {
        let Some(link) = &mut self.link else { return };
        if link.connect(self.poll.registry(), now, &mut self.rng).is_err() {
            return;
        }
        self.connection += 1;
        self.shared.control.connected.set(1);
        self.shared.control.connects.add(1);
        say(Level::Info, "connected to the controller", &[]);
        let hello = Hello {
            have: if self.untrusted { std::collections::BTreeMap::new() } else { self.core.have() },
            instance: self.shared.config.instance.clone(),
            position: self.core.position(),
            schema: SCHEMA,
            scope: self.shared.config.scope.clone(),
            tag: Tag::default(),
        };
        self.send(&encode_from_proxy(&FromProxy::Hello(hello)));
        self.send_facts();
    }

    fn send_facts(&mut self) {
        let binds = self.sockets.facts();
        self.shared.control.set_binds(binds.clone());
        for fact in binds.iter().filter(|fact| !fact.listening) {
            say(Level::Error, "bind failed", &[("bind", &fact.name), ("error", &fact.message)]);
        }
        self.send(&encode_from_proxy(&FromProxy::Facts(Facts { binds, tag: Tag::default() })));
    }

    fn send(&mut self, frame: &[u8]) {
        if let Some(link) = &mut self.link
            && let Err(error) = link.send(frame, self.poll.registry())
        {
            self.disconnect("write_failed", &error.to_string());
        }
    }

    fn disconnect(&mut self, code: &'static str, message: &str) {
        let now = self.shared.clock.now();
        if let Some(link) = &mut self.link
            && link.is_up()
        {
            say(Level::Warning, "connection to the controller lost", &[("code", &code), ("error", &message)]);
            link.close(self.poll.registry(), now, &mut self.rng);
            self.shared.control.connected.set(0);
            self.shared.control.disconnects.add(code);
            self.core.abandon();
            self.subscription.end();
        }
    }

    fn turn_link(&mut self) {
        self.unread = false;
        let Some(link) = &mut self.link else { return };
        if let Err(error) = link.flush(self.poll.registry()) {
            return self.disconnect("write_failed", &error.to_string());
        }
        let read = link.read();
        let mut reader = link.take_reader();
        let now = self.shared.clock.now();
        let outcome = loop {
            match reader.next_frame() {
                Ok(Some(payload)) => {
                    if let Err(message) = self.frame(payload, now) {
                        break Err(("contract_broken", message));
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(("malformed_frame", error.to_string())),
            }
        };
        if let Some(link) = &mut self.link {
            link.put_reader(reader);
        }
        match (outcome, read) {
            (Err((code, message)), _) => self.disconnect(code, &message),
            (Ok(()), Err(error)) => self.disconnect("closed", &error.to_string()),
            (Ok(()), Ok(readiness)) => self.unread = readiness == Readiness::More,
        }
    }

    fn frame(&mut self, payload: &[u8], now: Micros) -> Result<(), String> {
        match decode_to_proxy(payload).map_err(|error| error.to_string())? {
            ToProxy::Update(update) => {
                let commit = self.core.take(update, now).map_err(|error| error.to_string())?;
                if let Some(link) = &mut self.link {
                    link.works();
                }
                if let Some(commit) = commit {
                    self.untrusted = false;
                    self.keeper.changed();
                    self.publish(commit, now);
                }
            }
            ToProxy::Subscribe(subscribe) => self.subscription.set(subscribe, now),
            ToProxy::Stats(stats) => self.shared.control.set_reflectors(stats.reflectors, now),
        }
        Ok(())
    }
}

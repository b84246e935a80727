//! Starts the threads and waits for them.

use std::cell::Cell;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use fairlead_balance::Micros;

use crate::access_log;
use crate::config::ProxyConfig;
use crate::control::Control;
use crate::descriptors;
use crate::diagnostics::{self, Level, say};
use crate::health::Health;
use crate::listen::Sockets;
use crate::shared::{Phase, Shared};

/// The proxy has stopped as it was told to.
const EXIT_OK: i32 = 0;
/// It could not start.
const EXIT_START: i32 = 1;
/// A thread panicked or hung; whoever supervises the process starts it again.
const EXIT_FAILED: i32 = 70;
/// How long threads may take to end after they were told to.
const PATIENCE: Micros = Micros::from_secs(2);
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Runs the proxy on threads of its own until a signal ends it; gives the exit code.
pub fn run(config: ProxyConfig) -> i32 {
    let code = match start(config) {
        Ok(running) => running.wait(),
        Err(error) => {
            say(Level::Error, "cannot start", &[("error", &error)]);
            EXIT_START
        }
    };
    diagnostics::finish();
    code
}

/// The threads of a proxy.
#[derive(Debug)]
pub struct Running {
    health: SocketAddr,
    shared: Arc<Shared>,
    panicked: Arc<AtomicBool>,
    workers: Group,
    others: Group,
}

/// Starts the proxy's threads.
pub fn start(mut config: ProxyConfig) -> std::io::Result<Running> {
    descriptors::fit(&mut config.limits);
    let shared = Shared::new(config);
    let sockets = Sockets::from_environment(shared.workers.len());
    let health = Health::new(Arc::clone(&shared))?;
    let control = Control::new(Arc::clone(&shared), sockets)?;
    announce(&shared, &health)?;
    let running = Running {
        health: health.address(),
        shared,
        panicked: Arc::default(),
        workers: Group::default(),
        others: Group::default(),
    };
    running.spawn(&running.others, "fairlead-health".to_owned(), move |_| health.run())?;
    if running.shared.config.access_log {
        running.spawn(&running.others, "fairlead-log".to_owned(), access_log::drain_to_stdout)?;
    }
    for index in 0..running.shared.workers.len() {
        running
            .spawn(&running.workers, format!("fairlead-worker-{index}"), move |shared| work(shared, index))?;
    }
    running.spawn(&running.others, "fairlead-control".to_owned(), move |_| control.run())?;
    Ok(running)
}

/// Threads that are waited for together. They are not joined: one that hangs must not keep the process alive.
#[derive(Debug, Clone, Default)]
struct Group(Arc<(Mutex<usize>, Condvar)>);

impl Group {
    fn count(&self) -> MutexGuard<'_, usize> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entered(&self) {
        *self.count() += 1;
    }

    fn left(&self) {
        *self.count() -= 1;
        self.0.1.notify_all();
    }

    /// Waits until all have left, or until `give_up`, which is asked now and then. Says whether all have left.
    fn wait(&self, give_up: impl Fn() -> bool) -> bool {
        let mut count = self.count();
        while *count > 0 {
            if give_up() {
                return false;
            }
            (count, _) = self.0.1.wait_timeout(count, ASK_EVERY).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}

fn work(shared: &Arc<Shared>, index: usize) {
    if let Err(error) = crate::worker::run(shared, index) {
        say(Level::Error, "worker failed", &[("worker", &index), ("error", &error)]);
        shared.advance(Phase::Stopped);
    }
}

/// Tells where health is served, on stderr and in the ready file.
fn announce(shared: &Shared, health: &Health) -> std::io::Result<()> {
    let address = health.address();
    say(
        Level::Info,
        "started",
        &[
            ("health", &address),
            ("workers", &shared.workers.len()),
            ("version", &env!("CARGO_PKG_VERSION")),
            ("pid", &std::process::id()),
        ],
    );
    let Some(path) = &shared.config.ready_file else { return Ok(()) };
    let text = serde_json::json!({ "health": address.to_string(), "pid": std::process::id() }).to_string();
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

impl Running {
    /// Where health is served.
    pub fn health(&self) -> SocketAddr {
        self.health
    }

    /// What the threads share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits until the proxy has stopped; gives the exit code.
    pub fn wait(self) -> i32 {
        let stopped_since = Cell::new(None);
        let overdue = || {
            let now = self.shared.clock.now();
            if self.shared.phase() == Phase::Stopped && stopped_since.get().is_none() {
                stopped_since.set(Some(now));
            }
            stopped_since.get().is_some_and(|since| now.since(since) > PATIENCE)
                || (self.shared.phase() == Phase::Closing && now > self.shared.deadline() + PATIENCE)
        };
        let mut in_order = self.workers.wait(overdue);
        self.shared.advance(Phase::Stopped);
        // Among them the access log, whose reader may stall.
        let deadline = self.shared.clock.now() + PATIENCE;
        let others = self.others.wait(|| self.shared.clock.now() > deadline);
        in_order &= !self.panicked.load(Ordering::SeqCst);
        say(Level::Info, "stopped", &[("in_order", &(in_order && others))]);
        if in_order { EXIT_OK } else { EXIT_FAILED }
    }

    fn spawn(
        &self,
        group: &Group,
        name: String,
        body: impl FnOnce(&Arc<Shared>) + Send + 'static,
    ) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let panicked = Arc::clone(&self.panicked);
        let entered = group.clone();
        group.entered();
        let thread = Builder::new().name(name).spawn(move || {
            // What a panicked thread shared is atomics and a few short locks; the process ends in order.
            if catch_unwind(AssertUnwindSafe(|| body(&shared))).is_err() {
                panicked.store(true, Ordering::SeqCst);
                shared.advance(Phase::Stopped);
            }
            entered.left();
        });
        thread.map(drop).inspect_err(|_| group.left())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_hangs_is_given_up() {
        let group = Group::default();
        assert!(group.wait(|| true), "nobody is waited for");
        group.entered();
        group.entered();
        group.left();
        assert!(!group.wait(|| true));
        let last = group.clone();
        let thread = std::thread::spawn(move || last.left());
        assert!(group.wait(|| false));
        thread.join().unwrap();
    }
}

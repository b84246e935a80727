//! Starts the threads and waits for them.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::access_log;
use crate::config::ProxyConfig;
use crate::control::Control;
use crate::diagnostics::{self, Level, say};
use crate::health::Health;
use crate::listen::Sockets;
use crate::shared::{Phase, Shared};

/// The proxy has stopped as it was told to.
const EXIT_OK: i32 = 0;
/// It could not start.
const EXIT_START: i32 = 1;
/// A thread panicked; whoever supervises the process starts it again.
const EXIT_PANIC: i32 = 70;
/// How long a stopping process waits for the access log's reader.
const LAST_LINES: Duration = Duration::from_secs(1);

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
    workers: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
    log: Option<JoinHandle<()>>,
}

/// Starts the proxy's threads.
pub fn start(config: ProxyConfig) -> std::io::Result<Running> {
    let shared = Shared::new(config);
    let sockets = Sockets::from_environment(shared.workers.len());
    let health = Health::new(Arc::clone(&shared))?;
    let control = Control::new(Arc::clone(&shared), sockets)?;
    announce(&shared, &health)?;
    let mut running = Running {
        health: health.address(),
        shared,
        panicked: Arc::default(),
        workers: Vec::new(),
        others: Vec::new(),
        log: None,
    };
    running.others.push(running.spawn("fairlead-health".to_owned(), move |_| health.run())?);
    if running.shared.config.access_log {
        running.log = Some(running.spawn("fairlead-log".to_owned(), access_log::drain_to_stdout)?);
    }
    for index in 0..running.shared.workers.len() {
        let handle = running.spawn(format!("fairlead-worker-{index}"), move |shared| work(shared, index))?;
        running.workers.push(handle);
    }
    running.others.push(running.spawn("fairlead-control".to_owned(), move |_| control.run())?);
    Ok(running)
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
    fn spawn(
        &self,
        name: String,
        body: impl FnOnce(&Arc<Shared>) + Send + 'static,
    ) -> std::io::Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        let panicked = Arc::clone(&self.panicked);
        Builder::new().name(name.clone()).spawn(move || {
            // What a panicked thread shared is atomics and a few short locks; the process ends in order.
            if catch_unwind(AssertUnwindSafe(|| body(&shared))).is_err() {
                say(Level::Error, "thread panicked", &[("thread", &name)]);
                panicked.store(true, Ordering::SeqCst);
                shared.advance(Phase::Stopped);
            }
        })
    }

    /// What the threads share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Where health is served.
    pub fn health(&self) -> SocketAddr {
        self.health
    }

    /// Waits until the proxy has stopped; gives the exit code.
    pub fn wait(self) -> i32 {
        for worker in self.workers {
            let _ = worker.join();
        }
        self.shared.advance(Phase::Stopped);
        for other in self.others {
            let _ = other.join();
        }
        if let Some(log) = self.log {
            // A reader of stdout that stalls must not keep the process alive.
            let until = Instant::now() + LAST_LINES;
            while !log.is_finished() && Instant::now() < until {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        say(Level::Info, "stopped", &[]);
        if self.panicked.load(Ordering::SeqCst) { EXIT_PANIC } else { EXIT_OK }
    }
}

//! Writes the last good file, on a thread of its own: a sync to disk must not hold up an endpoint's change.
//!
//! Laws:
//! 1. The control thread alone decides what is written, at most once a second and only when something changed.
//! 2. Of several versions that wait the newest is written. What waits at a graceful stop is still written.
//! 3. A version that cannot be written (a full disk) is tried again until it can, or there is a newer one. Why is said
//!    when the reason changes, and each attempt is counted.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use fairlead_balance::Micros;
use fairlead_snapshot::Position;

use super::held::Saved;
use super::last_good;
use crate::diagnostics::{Level, say, unix_ms};
use crate::shared::Shared;

const INTERVAL: Micros = Micros::from_secs(1);
const RETRY: Duration = Duration::from_secs(5);

type Version = (Position, Vec<Saved>);

/// The control thread's end.
#[derive(Debug)]
pub(super) struct Keeper {
    versions: Option<Sender<Version>>,
    thread: Option<JoinHandle<()>>,
    changed: bool,
    next: Micros,
}

impl Keeper {
    /// Starts the thread, if a file is configured.
    pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let mut keeper = Self { versions: None, thread: None, changed: false, next: Micros::ZERO };
        if let Some(path) = shared.config.state_file.clone() {
            let (sender, receiver) = channel();
            let shared = Arc::clone(shared);
            let thread = std::thread::Builder::new().name("fairlead-state".to_owned());
            keeper.thread = Some(thread.spawn(move || write_all(&path, &receiver, &shared, RETRY))?);
            keeper.versions = Some(sender);
        }
        Ok(keeper)
    }

    /// Something that is held has changed.
    pub(super) fn changed(&mut self) {
        self.changed = true;
    }

    /// When there is something to write.
    pub(super) fn next(&self) -> Option<Micros> {
        (self.changed && self.versions.is_some()).then_some(self.next)
    }

    /// Whether a version is to be written now; the caller then calls [`Keeper::keep`].
    pub(super) fn is_due(&self, now: Micros) -> bool {
        self.next().is_some_and(|next| next <= now)
    }

    pub(super) fn keep(&mut self, position: Position, saved: Vec<Saved>, now: Micros) {
        self.changed = false;
        self.next = now + INTERVAL;
        if let Some(versions) = &self.versions {
            // It fails only if the thread is gone, and that has been said.
            let _ = versions.send((position, saved));
        }
    }

    /// Waits until everything is written.
    pub(super) fn stop(mut self) {
        self.versions = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_all(path: &Path, versions: &Receiver<Version>, shared: &Shared, retry: Duration) {
    let mut unwritten: Option<Version> = None;
    let mut said = String::new();
    loop {
        let received = if unwritten.is_some() {
            versions.recv_timeout(retry)
        } else {
            versions.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        let stopping = matches!(received, Err(RecvTimeoutError::Disconnected));
        unwritten = versions.try_iter().last().or(received.ok()).or(unwritten);
        let Some((position, saved)) = &unwritten else { return };
        let written_ms = unix_ms();
        match last_good::store(path, &last_good::encode(*position, saved, written_ms)) {
            Ok(()) => {
                shared.control.last_good_written_ms.set(written_ms.unsigned_abs());
                if !said.is_empty() {
                    said.clear();
                    say(Level::Info, "last good file written", &[("path", &path.display())]);
                }
                unwritten = None;
            }
            Err(error) => {
                shared.control.last_good_write_errors.add(1);
                let reason = error.to_string();
                if reason != said {
                    say(
                        Level::Error,
                        "last good file not written",
                        &[("path", &path.display()), ("error", &reason)],
                    );
                    said = reason;
                }
            }
        }
        if stopping {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProxyConfig;

    #[test]
    fn what_could_not_be_written_is_written_when_it_can() {
        let folder = std::env::temp_dir().join(format!("fairlead-keeper-{}", std::process::id()));
        // A folder stands where the new file is to be made.
        let obstacle = folder.join("last-good.new");
        std::fs::create_dir_all(&obstacle).unwrap();
        let path = folder.join("last-good");
        let shared = Shared::new(ProxyConfig { workers: Some(1), ..ProxyConfig::default() });
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            let (path, shared) = (&path, &shared);
            scope.spawn(move || write_all(path, &receiver, shared, Duration::from_millis(1)));
            sender.send((Position { epoch: 1, generation: 7 }, Vec::new())).unwrap();
            while shared.control.last_good_write_errors.get() < 3 {
                std::thread::yield_now();
            }
            assert!(last_good::load(path).is_err());
            std::fs::remove_dir(&obstacle).unwrap();
            while shared.control.last_good_written_ms.get() == 0 {
                std::thread::yield_now();
            }
            let written = last_good::load(path).unwrap();
            assert_eq!(written.update().unwrap().position.generation, 7);
            // At a stop there is one more attempt, and it ends.
            std::fs::create_dir(&obstacle).unwrap();
            sender.send((Position { epoch: 1, generation: 8 }, Vec::new())).unwrap();
            drop(sender);
        });
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

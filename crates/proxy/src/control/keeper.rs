//! Writes the last good file, on a thread of its own: a sync to disk must not hold up an endpoint's change.
//!
//! Laws:
//! 1. The control thread alone decides what is written, at most once a second and only when something changed.
//! 2. Of several versions that wait the newest is written. What waits at a graceful stop is still written.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use fairlead_balance::Micros;
use fairlead_snapshot::Position;

use super::held::Saved;
use super::last_good;
use crate::diagnostics::{Level, say, unix_ms};
use crate::shared::Shared;

const INTERVAL: Micros = Micros::from_secs(1);

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
            keeper.thread = Some(thread.spawn(move || write_all(&path, &receiver, &shared))?);
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

fn write_all(path: &Path, versions: &Receiver<Version>, shared: &Shared) {
    while let Ok(mut version) = versions.recv() {
        while let Ok(newer) = versions.try_recv() {
            version = newer;
        }
        let (position, saved) = version;
        let written_ms = unix_ms();
        match last_good::store(path, &last_good::encode(position, &saved, written_ms)) {
            Ok(()) => shared.control.last_good_written_ms.set(written_ms.unsigned_abs()),
            Err(error) => {
                shared.control.last_good_write_errors.add(1);
                say(
                    Level::Error,
                    "last good file not written",
                    &[("path", &path.display()), ("error", &error)],
                );
            }
        }
    }
}

//! What the proxy says about itself, on stderr: one JSON object per line.
//!
//! Laws:
//! 1. Nobody waits for stderr. Lines go through a bounded queue to a thread of their own; what does not fit is
//!    dropped, and the next line that fits says how many were.
//! 2. Never on the request path; what happens per request is counted or in the access log.

use std::fmt::Display;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

const QUEUE_LINES: usize = 1024;
/// How long a stopping process waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

enum Item {
    Line(String),
    /// Everything before is written.
    Mark(SyncSender<()>),
}

static QUEUE: OnceLock<SyncSender<Item>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How much attention a line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Good to know.
    Info,
    /// Something is worse than it should be.
    Warning,
    /// Something does not work.
    Error,
}

/// Milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Says one line.
pub(crate) fn say(level: Level, event: &str, fields: &[(&str, &dyn Display)]) {
    let text = line(level, event, fields);
    if queue().try_send(Item::Line(text)).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits a moment for what was said to be written.
pub(crate) fn finish() {
    let (done, written) = sync_channel(1);
    if queue().try_send(Item::Mark(done)).is_ok() {
        let _ = written.recv_timeout(LAST_LINES);
    }
}

/// Panics are said like everything else, before their thread's border catches them.
pub fn say_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        say(Level::Error, "panic", &[("thread", &name), ("message", panic)]);
    }));
}

fn line(level: Level, event: &str, fields: &[(&str, &dyn Display)]) -> String {
    let level = match level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let mut line = Map::new();
    line.insert("time_ms".to_owned(), unix_ms().into());
    line.insert("level".to_owned(), level.into());
    line.insert("event".to_owned(), event.into());
    let dropped = DROPPED.swap(0, Ordering::Relaxed);
    if dropped > 0 {
        line.insert("lines_dropped_before".to_owned(), dropped.into());
    }
    for (name, value) in fields {
        line.insert((*name).to_owned(), value.to_string().into());
    }
    let mut text = Value::Object(line).to_string();
    text.push('\n');
    text
}

fn queue() -> &'static SyncSender<Item> {
    QUEUE.get_or_init(|| {
        let (sender, receiver) = sync_channel(QUEUE_LINES);
        let thread = std::thread::Builder::new().name("fairlead-diagnostics".to_owned());
        // Without a thread the receiver is gone, and every line counts as dropped.
        let _ = thread.spawn(move || write_all(&receiver));
        sender
    })
}

fn write_all(items: &Receiver<Item>) {
    while let Ok(item) = items.recv() {
        match item {
            // A stderr that cannot be written to is nothing that could be reported.
            Item::Line(text) => drop(std::io::stderr().lock().write_all(text.as_bytes())),
            Item::Mark(done) => drop(done.try_send(())),
        }
    }
}

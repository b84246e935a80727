//! The proxy: everything that touches a socket or a clock.
//!
//! Threads, each with one thing that it may wait for:
//! * `control`: its poll. Frames in, one immutable `Root` out.
//! * `worker-N`: its poll. One event loop each, all of the traffic.
//! * `health`: its poll. Checks and metrics.
//! * `state`: the disk. Writes the last good file.
//! * `log` and `diagnostics`: whoever reads stdout and stderr.
//!
//! Laws:
//! 1. The request path takes no lock that another thread holds for long, allocates nothing per request in steady
//!    state, and never waits for another thread.
//! 2. Workers read configuration from the root that they have adopted, between turns. Nothing else tells them what
//!    to do but their inbox, which carries sockets.
//! 3. What several threads write is a relaxed atomic with one writer; who reads sums over the writers.

mod access_log;
mod config;
mod conn;
mod control;
mod descriptors;
mod diagnostics;
mod exchange;
mod forwarded;
mod health;
mod listen;
mod metrics;
mod pool;
mod run;
mod shared;
mod timer;
mod worker;

pub use config::{ConfigError, ProxyConfig};
pub use control::validate;
pub use diagnostics::say_panics;
pub use run::run;

/// What the data path's integration tests build a proxy from: a root of their own and workers. No interface to rely on.
#[doc(hidden)]
pub mod internals {
    pub use crate::descriptors::client_share;
    pub use crate::metrics::page as metrics_page;
    pub use crate::run::{Running, start};
    pub use crate::shared::*;
    pub use crate::worker::run as run_worker;
}

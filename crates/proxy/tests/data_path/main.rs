//! The data path over real sockets: workers on a root built directly, backends in threads, clients that never retry.
//!
//! Each test ends with all in-flight gauges at 0 ([`support::Proxy::finish`]).
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

mod accounts;
mod bodies;
mod changes;
mod deadline_kinds;
mod deadlines;
mod descriptors;
mod ejections;
mod fallback;
mod forwarded;
mod hashing;
mod limits;
mod paths;
mod plain;
mod repeats;
mod rows;
mod spread;
mod statuses;
mod strict;
mod support;
mod tunnel_ends;
mod tunnel_splits;
mod upgrade;
mod usual_bugs;
mod weighted;

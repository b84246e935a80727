//! Which Rule takes a request.
//!
//! A [`Table`] holds the Routes of one Bind: Listener by hostname, host, path, then the other predicates, in the
//! precedence of the Gateway API (HTTPRouteSpec.hostnames, HTTPRouteRule.matches). It is immutable and cheap
//! to clone; an [`Editor`] makes the next one out of single Routes and Listeners. This crate knows nothing of
//! sockets, of the contract with the controller, or of what a Rule does: that is the type parameter `A`.
//!
//! Laws
//! 1. The most specific Listener for a host takes the request alone (GEP-1713); what it does not match is unmatched.
//! 2. [`Table::find`] allocates nothing, and its cost does not grow with the number of Routes of other hosts and
//!    paths.
//! 3. An edit costs what it touches; the rest is shared with the tables before.
//! 4. A table is a function of the Listeners and Routes in it, not of the order in which they came.
//! 5. Paths are matched, forwarded and configured in one normal form ([`normalise_path`]).

mod cow;
mod hash;
mod host;
mod normalise;
mod predicate;
mod spec;
mod table;

pub use normalise::{Normalised, PathError, normalise_path};
pub use spec::{
    Attachment, ListenerSpec, MatchSpec, PathMatch, RouteSpec, RuleSpec, SpecError, check_hostname,
};
pub use table::{Editor, HeaderLookup, RequestView, Table};

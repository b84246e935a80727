//! Connections: sockets, their buffers, and the bytes of one Exchange on their way through.
//!
//! The modules below are the worker's methods for one client connection, by what it does: [`down`] from one request to
//! the next, [`request`] towards the Endpoint, [`response`] back, [`tunnel`] after 101 (two [`direction`]s).

pub(crate) mod buffer;
mod direction;
pub(crate) mod down;
pub(crate) mod record;
mod request;
mod response;
pub(crate) mod socket;
pub(crate) mod state;
mod tunnel;

//! The control thread: frames in, one immutable [`crate::shared::Root`] out.
//!
//! [`core`] decides and knows no socket, no file and no clock; [`run`] is the shell around it.

mod actions;
mod backends;
mod core;
mod held;
mod registry;
mod routing;
mod slots;
mod transaction;

pub use actions::check;

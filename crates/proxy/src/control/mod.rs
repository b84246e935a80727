//! The control thread: frames in, one immutable [`crate::shared::Root`] out.
//!
//! [`core`] decides and knows no socket, no file and no clock; [`run`] is the shell around it.

mod actions;
mod adoption;
mod algorithm;
mod backends;
mod copies;
mod core;
#[cfg(test)]
mod figures;
mod held;
#[cfg(test)]
mod histories;
mod keeper;
mod last_good;
mod link;
mod refusals;
mod registry;
mod routing;
mod run;
mod slots;
#[cfg(test)]
mod slow_worker;
mod telemetry;
#[cfg(test)]
mod tests;
mod transaction;
#[cfg(test)]
mod world;

pub(crate) use run::Control;

use fairlead_snapshot::{Kind, Reason, Refusal, decode_body};

/// Why a proxy would refuse the resource in `body`, whatever its name; the proxy runs the same code.
pub fn validate(kind: &str, body: &[u8]) -> Result<(), Refusal> {
    let kind = Kind::parse(kind)
        .ok_or_else(|| Refusal::new(Reason::UnknownKind, "this version does not know the kind"))?;
    actions::check(&decode_body(kind, body)?)
}

//! The contract between the controller and its proxies, as this side reads it.
//!
//! The Python twin is `fairlead.snapshot`; golden frames in `tests/golden` hold the two together.
//!
//! Laws:
//! 1. A resource is decoded and validated alone: whatever is wrong with it refuses it and nothing else.
//! 2. Fail closed: a value of a closed set that this version does not know refuses the resource. An optional
//!    field that it does not know is ignored.
//! 3. What leaves [`decode_resource`] is valid: addresses parse, ports and weights are in range, hostnames and
//!    paths have their form. Nobody behind it checks again.
//! 4. Fields are declared in alphabetical order and those at their default are left out when encoding, so that
//!    the bytes are the ones that Python writes for the same value, and so is their hash.
//! 5. No input panics, and none costs more memory than a small multiple of its size.

mod codec;
mod decode;
mod error;
mod frames;
mod resources;
mod scalars;
mod validate;

pub use codec::{FrameReader, MAX_FRAME_BYTES, encode_from_proxy, encode_to_proxy};
pub use decode::{
    Resource, decode_body, decode_from_proxy, decode_resource, decode_to_proxy, encode_resource,
};
pub use error::{FrameError, Reason, Refusal};
pub use frames::{
    Ack, BindFact, EndpointStats, EndpointsDelta, Facts, FromProxy, Hello, Position, ReflectorStats,
    Rejection, Removal, SCHEMA, Stats, Subscribe, Tag, Telemetry, ToProxy, Update, Upsert,
};
pub use resources::{
    Attachment, Backend, Bind, ConsistentHash, Endpoint, Endpoints, FieldMatch, Key, Kind, Listener,
    PathMatch, Policy, Route, RouteMatch, Rule, Target, Timeouts,
};
pub use scalars::{HashKey, LoadBalancer, MatchType, PathMatchType, Protocol, TargetError};
pub use validate::validate_endpoint;

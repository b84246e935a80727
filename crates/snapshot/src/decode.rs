//! Bytes to frames, and bodies to valid resources.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{FrameError, Reason, Refusal};
use crate::frames::{Ack, Facts, FromProxy, Hello, Stats, Subscribe, Telemetry, ToProxy, Update};
use crate::resources::{Backend, Bind, Endpoints, Key, Kind, Listener, Route};
use crate::scalars::UNSUPPORTED;
use crate::validate;

/// Deeper than any resource; bounds the decoder's recursion.
const MAX_DEPTH: usize = 32;

/// A valid resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A socket.
    Bind(Bind),
    /// A Gateway's Listener.
    Listener(Listener),
    /// The endpoints of a Backend, sorted by id.
    Endpoints(Endpoints),
    /// A Service port.
    Backend(Backend),
    /// A Kubernetes route.
    Route(Route),
}

#[derive(Deserialize)]
struct FrameType<'a> {
    #[serde(borrow)]
    r#type: &'a str,
}

/// The frame in `payload` (without the length).
pub fn decode_to_proxy(payload: &[u8]) -> Result<ToProxy<'_>, FrameError> {
    // Nearly all are updates: what is none is refused by its type, and only then looked at for that alone.
    if let Ok(update) = read::<Update<'_>>(payload) {
        return Ok(ToProxy::Update(update));
    }
    match frame_type(payload)? {
        "update" => frame::<Update<'_>>(payload).map(ToProxy::Update),
        "subscribe" => frame::<Subscribe>(payload).map(ToProxy::Subscribe),
        "stats" => frame::<Stats>(payload).map(ToProxy::Stats),
        other => Err(FrameError::UnknownType(other.to_owned())),
    }
}

/// The frame in `payload` (without the length), as a controller reads it (for tests and tools).
pub fn decode_from_proxy(payload: &[u8]) -> Result<FromProxy, FrameError> {
    match frame_type(payload)? {
        "hello" => frame::<Hello>(payload).map(FromProxy::Hello),
        "ack" => frame::<Ack>(payload).map(FromProxy::Ack),
        "facts" => frame::<Facts>(payload).map(FromProxy::Facts),
        "telemetry" => frame::<Telemetry>(payload).map(FromProxy::Telemetry),
        other => Err(FrameError::UnknownType(other.to_owned())),
    }
}

fn frame_type(payload: &[u8]) -> Result<&str, FrameError> {
    Ok(frame::<FrameType<'_>>(payload)?.r#type)
}

fn frame<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, FrameError> {
    read(payload).map_err(|error| FrameError::Malformed(error.to_string()))
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut deserializer)
}

/// The resource named `key` in `body`, valid in itself. What it refers to is not looked at.
pub fn decode_resource(key: &Key, body: &[u8]) -> Result<Resource, Refusal> {
    let resource = decode_body(key.kind, body)?;
    validate::key(&key.name, &resource)?;
    Ok(resource)
}

/// The resource in `body`, whatever its name.
pub fn decode_body(kind: Kind, body: &[u8]) -> Result<Resource, Refusal> {
    validate::size(kind, body)?;
    match kind {
        Kind::Bind => {
            let bind: Bind = resource(body)?;
            validate::bind(&bind)?;
            Ok(Resource::Bind(bind))
        }
        Kind::Listener => {
            let listener: Listener = resource(body)?;
            validate::listener(&listener)?;
            Ok(Resource::Listener(listener))
        }
        Kind::Endpoints => {
            let mut endpoints: Endpoints = resource(body)?;
            validate::endpoints(&mut endpoints)?;
            Ok(Resource::Endpoints(endpoints))
        }
        Kind::Backend => {
            let backend: Backend = resource(body)?;
            validate::backend(&backend)?;
            Ok(Resource::Backend(backend))
        }
        Kind::Route => {
            let route: Route = resource(body)?;
            validate::route(&route)?;
            Ok(Resource::Route(route))
        }
    }
}

fn resource<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    read(body).map_err(|error| {
        let message = error.to_string();
        let reason =
            if message.starts_with(UNSUPPORTED) { Reason::UnsupportedValue } else { Reason::Malformed };
        Refusal::new(reason, message)
    })
}

/// The canonical bytes of a resource: those that Python writes for the same value.
pub fn encode_resource(resource: &Resource) -> Vec<u8> {
    let encoded = match resource {
        Resource::Bind(resource) => rmp_serde::to_vec_named(resource),
        Resource::Listener(resource) => rmp_serde::to_vec_named(resource),
        Resource::Endpoints(resource) => rmp_serde::to_vec_named(resource),
        Resource::Backend(resource) => rmp_serde::to_vec_named(resource),
        Resource::Route(resource) => rmp_serde::to_vec_named(resource),
    };
    // Writing into a Vec cannot fail, and every map of these types knows its length.
    encoded.expect("resources serialise")
}

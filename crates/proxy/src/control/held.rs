//! Versions of resources.

use std::sync::Arc;

use fairlead_snapshot::{Endpoints, Key, Resource, encode_resource};

use super::backends::Member;

/// A resource's bytes as the controller sent them. They are kept, for the last good file, as they came: a newer
/// controller may have written fields that this version does not know.
pub(super) type Body = Arc<[u8]>;

/// Which content of a resource is held.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) hash: Box<str>,
    pub(super) body: Body,
}

/// One resource on its way to the last good file.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(super) key: Key,
    pub(super) hash: Box<str>,
    pub(super) content: Content,
}

/// What is written of a resource.
#[derive(Debug)]
pub(super) enum Content {
    /// The bytes that came.
    Body(Body),
    /// Endpoints that deltas have changed since. Encoding them is left to whoever has the time.
    Members(Vec<Arc<Member>>),
}

impl Content {
    /// The encoded resource.
    pub(super) fn bytes(&self) -> Body {
        match self {
            Self::Body(body) => Arc::clone(body),
            Self::Members(members) => {
                let endpoints = members.iter().map(|member| member.endpoint.clone()).collect();
                encode_resource(&Resource::Endpoints(Endpoints { endpoints })).into()
            }
        }
    }
}

//! Versions of resources.

use std::sync::Arc;

/// A resource's bytes as the controller sent them. They are kept, for the last good file, as they came: a newer
/// controller may have written fields that this version does not know.
pub(super) type Body = Arc<[u8]>;

/// Which content of a resource is held.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) hash: Box<str>,
    pub(super) body: Body,
}

//! Hashes of hosts and paths.

use std::hash::Hasher;

use rustc_hash::FxHasher;

/// The hash of a host.
pub(crate) fn of_host(host: &[u8]) -> u64 {
    extend(0, host)
}

/// The hash of the path without segments, from which all others are made by [`extend`].
pub(crate) const ROOT: u64 = 0;

/// The hash of a path whose parent's hash is `parent` and whose last segment is `segment`.
pub(crate) fn extend(parent: u64, segment: &[u8]) -> u64 {
    let mut hasher = FxHasher::with_seed(parent as usize);
    hasher.write(segment);
    hasher.finish()
}

/// The segments of an absolute path: what lies between slashes, the last one possibly empty.
pub(crate) fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').skip(1)
}

/// The hash of an absolute path.
pub(crate) fn of_path(path: &[u8]) -> u64 {
    segments(path).fold(ROOT, extend)
}

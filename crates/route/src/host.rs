//! What hangs on hostnames: the search from the most to the least specific, and the paths of one host.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use crate::cow::CowMap;
use crate::hash;
use crate::predicate::Predicates;
use crate::{PathMatch, RequestView};

/// Longer names are none (RFC 1035 section 2.3.4); it bounds the search for wildcards.
pub(crate) const NAME_MAX: usize = 253;

/// Values by hostname: exact ones, wildcards (by what follows `*.`), and the one for every host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostMap<V> {
    exact: CowMap<V>,
    wildcards: CowMap<V>,
    any: Option<V>,
}

impl<V> Default for HostMap<V> {
    fn default() -> Self {
        Self { exact: CowMap::default(), wildcards: CowMap::default(), any: None }
    }
}

impl<V> HostMap<V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty() && self.any.is_none()
    }

    /// The first result of `visit` over the values whose hostname matches `host`, the most specific one first.
    pub(crate) fn find<'a, R>(&'a self, host: &[u8], mut visit: impl FnMut(&'a V) -> Option<R>) -> Option<R> {
        if !self.exact.is_empty() {
            let found = self.exact.get(hash::of_host(host), host).and_then(&mut visit);
            if found.is_some() {
                return found;
            }
        }
        if !self.wildcards.is_empty() {
            let dots = host.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'.');
            let suffixes = dots.map(|(at, _)| &host[at + 1..]).filter(|suffix| suffix.len() <= NAME_MAX);
            for suffix in suffixes {
                let found = self.wildcards.get(hash::of_host(suffix), suffix).and_then(&mut visit);
                if found.is_some() {
                    return found;
                }
            }
        }
        self.any.as_ref().and_then(visit)
    }
}

impl<V: Clone> HostMap<V> {
    /// The value of `hostname` (`None`: every host), which is made if it is absent.
    pub(crate) fn entry(&mut self, hostname: Option<&str>, make: impl FnOnce() -> V) -> &mut V {
        match self.place(hostname) {
            Place::Any(any) => any.get_or_insert_with(make),
            Place::Named(map, name) => map.entry(hash::of_host(&name), &name, make),
        }
    }

    /// Changes the value of `hostname`, and removes it if `change` says so.
    pub(crate) fn change(&mut self, hostname: Option<&str>, change: impl FnOnce(&mut V) -> bool) {
        match self.place(hostname) {
            Place::Any(any) => {
                if any.as_mut().is_some_and(change) {
                    *any = None;
                }
            }
            Place::Named(map, name) => {
                let hash = hash::of_host(&name);
                if map.get_mut(hash, &name).is_some_and(change) {
                    map.remove(hash, &name);
                }
            }
        }
    }

    fn place(&mut self, hostname: Option<&str>) -> Place<'_, V> {
        let Some(hostname) = hostname else { return Place::Any(&mut self.any) };
        let name = hostname.to_ascii_lowercase().into_bytes();
        match name.strip_prefix(b"*.") {
            Some(suffix) => Place::Named(&mut self.wildcards, suffix.to_vec()),
            None => Place::Named(&mut self.exact, name),
        }
    }
}

enum Place<'a, V> {
    Any(&'a mut Option<V>),
    Named(&'a mut CowMap<V>, Vec<u8>),
}

/// A Route's place among others.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) created_s: i64,
    pub(crate) name: Arc<str>,
    /// The Route's key, so that no two ranks are equal.
    pub(crate) key: Arc<str>,
}

/// One match of a Rule, under its host and path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate<A> {
    pub(crate) rank: Arc<Rank>,
    /// Position of the match in its Route, over all Rules.
    pub(crate) position: u32,
    pub(crate) specificity: Specificity,
    pub(crate) predicates: Arc<Predicates>,
    pub(crate) action: A,
}

/// Method given; number of headers; number of parameters. More is more specific, the first deciding.
pub(crate) type Specificity = (bool, usize, usize);

impl<A> Candidate<A> {
    /// HTTPRouteRule.matches: method, headers, parameters; then the older Route, its name, and its order.
    fn precedence(&self, other: &Self) -> Ordering {
        let order = |one: &Self| Reverse(one.specificity);
        order(self)
            .cmp(&order(other))
            .then_with(|| self.rank.cmp(&other.rank))
            .then(self.position.cmp(&other.position))
    }
}

/// Candidates under one path, by precedence.
type Candidates<A> = Arc<Vec<Candidate<A>>>;

/// The paths of one host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Paths<A> {
    exact: CowMap<Candidates<A>>,
    /// By the prefix without its trailing slash: the root is empty.
    prefixes: CowMap<Candidates<A>>,
    /// Number of prefixes by their number of segments; the last one is not 0.
    depths: Arc<Vec<u32>>,
}

impl<A> Default for Paths<A> {
    fn default() -> Self {
        Self { exact: CowMap::default(), prefixes: CowMap::default(), depths: Arc::default() }
    }
}

impl<A> Paths<A> {
    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// The action of the candidate that takes the request.
    ///
    /// One walk over the path gives the hashes of all its prefixes, and in the end its own. Prefixes are looked up no
    /// deeper than there are any, so that a long path costs its length only.
    pub(crate) fn find(&self, request: &RequestView<'_>) -> Option<&A> {
        let path = request.path;
        let mut best = take(&self.prefixes, hash::ROOT, b"", request);
        if path.first() != Some(&b'/') {
            return best; // the `*` of OPTIONS is under the root, and is no path
        }
        let (mut hash, mut end) = (hash::ROOT, 0);
        for (segment, depth) in hash::segments(path).zip(1..) {
            if depth >= self.depths.len() && self.exact.is_empty() {
                return best;
            }
            hash = hash::extend(hash, segment);
            end += 1 + segment.len();
            if depth < self.depths.len() {
                best = take(&self.prefixes, hash, &path[..end], request).or(best);
            }
        }
        take(&self.exact, hash, path, request).or(best)
    }
}

/// The action of the first candidate under a path whose predicates hold.
fn take<'a, A>(
    paths: &'a CowMap<Candidates<A>>,
    hash: u64,
    path: &[u8],
    request: &RequestView<'_>,
) -> Option<&'a A> {
    let candidates = paths.get(hash, path)?;
    candidates.iter().find(|candidate| candidate.predicates.hold(request)).map(|candidate| &candidate.action)
}

impl<A: Clone> Paths<A> {
    pub(crate) fn insert(&mut self, path: &PathMatch, candidate: Candidate<A>) {
        let candidates = match path {
            PathMatch::Exact(path) => {
                let path = path.as_bytes();
                self.exact.entry(hash::of_path(path), path, Arc::default)
            }
            PathMatch::Prefix(prefix) => {
                let depth = depth(prefix);
                let depths = Arc::make_mut(&mut self.depths);
                depths.resize(depths.len().max(depth + 1), 0);
                depths[depth] += 1;
                let prefix = prefix.as_bytes();
                self.prefixes.entry(hash::of_path(prefix), prefix, Arc::default)
            }
        };
        let candidates = Arc::make_mut(candidates);
        let position = candidates.partition_point(|other| other.precedence(&candidate) != Ordering::Greater);
        candidates.insert(position, candidate);
    }

    /// Removes all candidates of a Route under a path.
    pub(crate) fn remove(&mut self, path: &PathMatch, route: &str) {
        match path {
            PathMatch::Exact(path) => {
                prune(&mut self.exact, path.as_bytes(), route);
            }
            PathMatch::Prefix(prefix) => {
                let removed = prune(&mut self.prefixes, prefix.as_bytes(), route);
                if removed > 0 {
                    let depths = Arc::make_mut(&mut self.depths);
                    depths[depth(prefix)] -= removed;
                    while depths.last() == Some(&0) {
                        depths.pop();
                    }
                }
            }
        }
    }
}

/// The number of segments of a prefix without its trailing slash.
fn depth(prefix: &str) -> usize {
    hash::segments(prefix.as_bytes()).count()
}

/// Removes a Route's candidates under a path; says how many.
fn prune<A: Clone>(paths: &mut CowMap<Candidates<A>>, path: &[u8], route: &str) -> u32 {
    let hash = hash::of_path(path);
    let Some(candidates) = paths.get_mut(hash, path) else { return 0 };
    let candidates = Arc::make_mut(candidates);
    let before = candidates.len();
    candidates.retain(|candidate| *candidate.rank.key != *route);
    let removed = before - candidates.len();
    if candidates.is_empty() {
        paths.remove(hash, path);
    }
    removed as u32
}

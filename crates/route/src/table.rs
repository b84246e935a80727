//! The table and its editor.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::host::{Candidate, HostMap, Paths, Rank};
use crate::predicate::Predicates;
use crate::{ListenerSpec, RouteSpec};

/// A request's header fields.
pub trait HeaderLookup {
    /// Calls `visit` with each value of the fields named `name` (given in lower case, compared without case), in
    /// order, without surrounding blanks.
    fn each_value(&self, name: &str, visit: &mut dyn FnMut(&[u8]));
}

/// What of a request decides its Rule.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// Lower case, without port; empty if the request named none.
    pub host: &'a [u8],
    /// In normal form ([`normalise_path`](crate::normalise_path)), without query. What does not start with a slash,
    /// as the `*` of OPTIONS, is matched by the prefix `/` alone.
    pub path: &'a [u8],
    /// What follows the `?`.
    pub query: Option<&'a [u8]>,
    /// With case.
    pub method: &'a [u8],
    /// The header fields.
    pub headers: &'a dyn HeaderLookup,
}

/// The Routes of one Bind. Immutable; a clone shares everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<A> {
    listeners: Arc<HostMap<Listener<A>>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Listener<A> {
    key: Arc<str>,
    hosts: HostMap<Paths<A>>,
}

impl<A> Table<A> {
    /// The action of the Rule that takes the request.
    pub fn find(&self, request: &RequestView<'_>) -> Option<&A> {
        let listener = self.listeners.find(request.host, Some)?;
        listener.hosts.find(request.host, |paths| paths.find(request))
    }

    /// The key of the Listener that takes requests for `host` (lower case, without port).
    pub fn listener(&self, host: &[u8]) -> Option<&Arc<str>> {
        self.listeners.find(host, Some).map(|listener| &listener.key)
    }
}

impl<A> Default for Table<A> {
    fn default() -> Self {
        Self { listeners: Arc::default() }
    }
}

/// Makes tables, one change at a time. Belongs to the control thread.
///
/// An edit touches the hosts and paths of one Route; a table costs the number of Listeners to make.
#[derive(Debug)]
pub struct Editor<A> {
    /// By key: of Listeners with one hostname, which the controller reports as a conflict, the first takes all.
    listeners: BTreeMap<Arc<str>, Attached<A>>,
    routes: FxHashMap<Arc<str>, RouteSpec<A>>,
}

/// A Listener, or what waits for it.
#[derive(Debug)]
struct Attached<A> {
    spec: Option<ListenerSpec>,
    hosts: HostMap<Paths<A>>,
}

impl<A> Default for Editor<A> {
    fn default() -> Self {
        Self { listeners: BTreeMap::default(), routes: FxHashMap::default() }
    }
}

impl<A: Clone> Editor<A> {
    /// An editor of an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a Listener, or replaces the one with the same key.
    pub fn upsert_listener(&mut self, listener: &ListenerSpec) {
        self.attached(&listener.key).spec = Some(listener.clone());
    }

    /// Removes a Listener; Routes attached to it wait for its return. Says whether it was there.
    pub fn remove_listener(&mut self, key: &str) -> bool {
        let Some(attached) = self.listeners.get_mut(key) else { return false };
        let was_there = attached.spec.take().is_some();
        self.forget_if_unused(key);
        was_there
    }

    /// Adds a Route, or replaces the one with the same key.
    pub fn upsert_route(&mut self, route: RouteSpec<A>) {
        self.remove_route(&route.key);
        let rank = Arc::new(Rank {
            created_s: route.created_s,
            name: Arc::clone(&route.name),
            key: Arc::clone(&route.key),
        });
        let rules = route.rules.iter();
        let matches = rules.flat_map(|rule| rule.matches.iter().map(|spec| (spec, &rule.action)));
        for ((spec, action), position) in matches.zip(0..) {
            let candidate = Candidate {
                rank: Arc::clone(&rank),
                position,
                specificity: spec.specificity(),
                predicates: Arc::new(Predicates::new(spec)),
                action: action.clone(),
            };
            for (listener, hostname) in places(&route) {
                let hosts = &mut self.attached(listener).hosts;
                hosts.entry(hostname, Paths::default).insert(&spec.path, candidate.clone());
            }
        }
        self.routes.insert(Arc::clone(&route.key), route);
    }

    /// Removes a Route. Says whether it was there.
    pub fn remove_route(&mut self, key: &str) -> bool {
        let Some(route) = self.routes.remove(key) else { return false };
        for (listener, hostname) in places(&route) {
            let hosts = &mut self.attached(listener).hosts;
            hosts.change(hostname, |paths| {
                for spec in route.rules.iter().flat_map(|rule| &rule.matches) {
                    paths.remove(&spec.path, key);
                }
                paths.is_empty()
            });
        }
        for attachment in &route.attachments {
            self.forget_if_unused(&attachment.listener);
        }
        true
    }

    /// The table as it is now; later edits do not change it.
    pub fn table(&self) -> Table<A> {
        let mut listeners = HostMap::default();
        for (key, attached) in &self.listeners {
            if let Some(spec) = &attached.spec {
                let listener = || Listener { key: Arc::clone(key), hosts: attached.hosts.clone() };
                listeners.entry(spec.hostname.as_deref(), listener);
            }
        }
        Table { listeners: Arc::new(listeners) }
    }

    fn attached(&mut self, key: &Arc<str>) -> &mut Attached<A> {
        let nothing = || Attached { spec: None, hosts: HostMap::default() };
        self.listeners.entry(Arc::clone(key)).or_insert_with(nothing)
    }

    fn forget_if_unused(&mut self, key: &str) {
        let unused = |attached: &Attached<A>| attached.spec.is_none() && attached.hosts.is_empty();
        if self.listeners.get(key).is_some_and(unused) {
            self.listeners.remove(key);
        }
    }
}

/// The Listeners and hostnames of a Route; no hostname is every host.
fn places<A>(route: &RouteSpec<A>) -> impl Iterator<Item = (&Arc<str>, Option<&str>)> {
    route.attachments.iter().flat_map(|attachment| {
        let hostnames = attachment.hostnames.iter().map(|hostname| Some(hostname.as_str()));
        let every = attachment.hostnames.is_empty().then_some(None);
        hostnames.chain(every).map(|hostname| (&attachment.listener, hostname))
    })
}

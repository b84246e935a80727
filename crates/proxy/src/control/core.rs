//! What is held, and how a transaction changes it: frames in, roots out.
//!
//! Laws:
//! 1. A transaction is applied whole, and becomes visible in one root. It cannot fail; its parts can be rejected one
//!    by one, and then their last good version stays.
//! 2. A `full` transaction deletes what it does not name.
//! 3. A Route with a target whose Backend is not held keeps its last good version until the Backend comes; a Route
//!    without one is taken, and that target's share is answered 500. Both are reported for as long as it lasts.
//! 4. The cost is that of what changed, whatever else is held.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use fairlead_balance::Micros;
use fairlead_snapshot::{Key, Kind, Position, Reason, Refusal, Rejection, Resource, Route, Update};
use rustc_hash::FxHashMap;

use super::actions::Actions;
use super::backends::Backends;
use super::held::{Content, Saved, Version};
use super::refusals::Refusals;
use super::routing::Routing;
use super::transaction::{ContractError, Transaction};
use crate::config::TimeoutsConfig;
use crate::shared::{BindTable, Changed, Root};

/// A transaction that is to be adopted.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) root: Root,
    pub(crate) position: Position,
    /// What this transaction brought about.
    pub(crate) rejected: Vec<Rejection>,
    /// All that is refused from now on, whichever transaction brought it.
    pub(crate) in_force: Vec<Rejection>,
    /// Unix time in milliseconds of the oldest endpoint event in it.
    pub(crate) event_ms: Option<i64>,
    /// [`Core::wanted_binds`] differs from before.
    pub(crate) binds_changed: bool,
}

/// The configuration on the control thread.
#[derive(Debug)]
pub(crate) struct Core {
    pub(super) backends: Backends,
    routing: Routing,
    open: Option<Transaction>,
    /// Versions of Routes that wait for a Backend, while an older one serves.
    waiting: BTreeMap<Arc<str>, (Version, Route)>,
    refusals: Refusals,
    position: Option<Position>,
    generation: u64,
    binds: FxHashMap<SocketAddr, Arc<BindTable>>,
    states: crate::shared::Slots<crate::shared::BackendState>,
    stats: crate::shared::Slots<crate::shared::RouteStats>,
}

impl Core {
    pub(crate) fn new(workers: usize, timeouts: TimeoutsConfig) -> Self {
        Self {
            backends: Backends::new(workers),
            routing: Routing::new(Actions::new(workers, timeouts)),
            open: None,
            waiting: BTreeMap::new(),
            refusals: Refusals::default(),
            position: None,
            generation: 0,
            binds: FxHashMap::default(),
            states: crate::shared::Slots::default(),
            stats: crate::shared::Slots::default(),
        }
    }

    /// Takes a frame's update; gives the transaction's outcome with its last part.
    pub(crate) fn take(&mut self, update: Update<'_>, now: Micros) -> Result<Option<Commit>, ContractError> {
        let more = update.more;
        let open = self.open.get_or_insert_with(|| Transaction::new(update.position));
        open.add(update)?;
        if more {
            return Ok(None);
        }
        let transaction = self.open.take().unwrap_or_default();
        Ok(Some(self.apply(transaction, now)))
    }

    /// The connection is lost: a transaction that was not complete never happened.
    pub(crate) fn abandon(&mut self) {
        self.open = None;
    }

    pub(crate) fn position(&self) -> Option<Position> {
        self.position
    }

    /// The addresses that are to be listened on, with the names of their binds.
    pub(crate) fn wanted_binds(&self) -> BTreeMap<SocketAddr, Arc<str>> {
        let binds = self.routing.binds().keys();
        binds.filter_map(|name| Some((name.parse().ok()?, Arc::clone(name)))).collect()
    }

    /// `KIND/NAME` of what is held, with its version.
    pub(crate) fn have(&self) -> BTreeMap<String, Box<str>> {
        let mut have = BTreeMap::new();
        self.each_version(|kind, name, hash| {
            have.insert(format!("{kind}/{name}"), hash.into());
        });
        for name in self.backends.endpoint_names() {
            if let Some(hash) = self.backends.endpoints_hash(name) {
                have.insert(format!("{}/{name}", Kind::Endpoints), hash.into());
            }
        }
        have
    }

    /// Everything that is held, to be written to disk.
    pub(crate) fn saved(&self) -> Vec<Saved> {
        let mut saved: Vec<Saved> = Vec::new();
        let mut push = |kind, name: &Arc<str>, version: &Version| {
            let content = Content::Body(Arc::clone(&version.body));
            saved.push(Saved { key: Key::new(kind, Arc::clone(name)), hash: version.hash.clone(), content });
        };
        self.routing.binds().iter().for_each(|(name, (version, _))| push(Kind::Bind, name, version));
        self.routing.listeners().iter().for_each(|(name, (version, _))| push(Kind::Listener, name, version));
        self.backends.held().for_each(|(name, version)| push(Kind::Backend, name, version));
        self.routing.routes().iter().for_each(|(name, (version, _))| push(Kind::Route, name, version));
        saved.extend(self.backends.saved_endpoints());
        saved
    }

    /// Frees what gone Endpoints held, once nobody uses them.
    pub(crate) fn sweep(&mut self) {
        self.backends.sweep();
    }

    fn apply(&mut self, mut transaction: Transaction, now: Micros) -> Commit {
        if transaction.full {
            let unnamed: Vec<Key> = self.keys().into_iter().filter(|key| !transaction.names(key)).collect();
            transaction.removals.extend(unnamed);
            self.refusals.clear();
        }
        for (kind, name) in std::mem::take(&mut transaction.unknown_removals) {
            self.refusals.lift(&kind, &name);
        }
        let mut came = false;
        let mut went = transaction.full;
        for key in std::mem::take(&mut transaction.kept) {
            let rejected = transaction
                .rejected
                .iter()
                .any(|each| *each.name == *key.name && *each.kind == *key.kind.as_str());
            if rejected {
                continue;
            }
            if key.kind == Kind::Route {
                self.waiting.remove(&key.name);
            }
            if !self.is_held(&key) {
                transaction.reject(
                    &key,
                    Refusal::new(Reason::BaseMismatch, "no version is held that could be kept"),
                );
            }
        }
        let mut routes = Vec::new();
        for (key, (version, resource)) in std::mem::take(&mut transaction.upserts) {
            // What a transaction both brings and removes is removed: removals come last.
            if transaction.removals.contains(&key) {
                continue;
            }
            self.refusals.lift(key.kind.as_str(), &key.name);
            match resource {
                Resource::Bind(bind) => self.routing.put_bind(&mut self.backends, &key.name, version, bind),
                Resource::Listener(listener) => {
                    self.routing.put_listener(&mut self.backends, &key.name, version, listener);
                }
                Resource::Endpoints(endpoints) => {
                    self.backends.put_endpoints(&key.name, version, endpoints, now);
                }
                Resource::Backend(backend) => {
                    came = true;
                    self.backends.put(&key.name, version, backend);
                }
                Resource::Route(route) => routes.push((key.name, version, route)),
            }
        }
        for delta in std::mem::take(&mut transaction.deltas) {
            let key = Key::new(Kind::Endpoints, Arc::clone(&delta.name));
            match self.backends.apply_delta(delta, now) {
                Ok(()) => self.refusals.lift(key.kind.as_str(), &key.name),
                Err(refusal) => transaction.reject(&key, refusal),
            }
        }
        for key in transaction.removals.iter().rev() {
            went |= key.kind == Kind::Backend && self.backends.is_held(&key.name);
            self.refusals.lift(key.kind.as_str(), &key.name);
            self.remove(key);
        }
        // A refusal of what is removed in the same breath is of no use to anybody.
        let removals = std::mem::take(&mut transaction.removals);
        let removed = |each: &Rejection| {
            Kind::parse(&each.kind).is_some_and(|kind| removals.contains(&Key::new(kind, &*each.name)))
        };
        transaction.rejected.retain(|each| !removed(each));
        self.put_routes(routes, &mut transaction);
        self.refusals.add(&transaction.rejected);
        if came || went {
            self.serve_waiting();
        }
        if went {
            self.refuse_dangling(&mut transaction);
        }
        self.commit(transaction)
    }

    /// Last, when it is known which Backends are held.
    fn put_routes(&mut self, routes: Vec<(Arc<str>, Version, Route)>, transaction: &mut Transaction) {
        for (name, version, route) in routes {
            self.waiting.remove(&name);
            let missing = missing_backends(&self.backends, &route);
            if !missing.is_empty() {
                let key = Key::new(Kind::Route, Arc::clone(&name));
                transaction.reject(&key, not_held(&missing));
                if self.routing.routes().contains_key(&name) {
                    self.waiting.insert(name, (version, route));
                    continue;
                }
            }
            self.routing.put_route(&mut self.backends, &name, version, route);
        }
    }

    /// Backends came: what lacked one of them and lacks none now is refused no more.
    fn serve_waiting(&mut self) {
        let backends = &self.backends;
        let complete =
            |(_, (_, route)): &(&Arc<str>, &(Version, Route))| missing_backends(backends, route).is_empty();
        let ready: Vec<Arc<str>> =
            self.waiting.iter().filter(complete).map(|(name, _)| Arc::clone(name)).collect();
        for name in ready {
            if let Some((version, route)) = self.waiting.remove(&name) {
                self.routing.put_route(&mut self.backends, &name, version, route);
            }
        }
        let lacks = |name: &str| {
            let waiting = self.waiting.get(name).map(|(_, route)| route);
            let route = waiting.or_else(|| self.routing.routes().get(name).map(|(_, route)| &**route));
            route.is_some_and(|route| !missing_backends(&self.backends, route).is_empty())
        };
        let healed: Vec<Box<str>> =
            self.refusals.dangling().filter(|name| !lacks(name)).map(Box::from).collect();
        for name in healed {
            self.refusals.lift(Kind::Route.as_str(), &name);
        }
    }

    /// Backends went, or all is said anew: a Route that is held and lacks one is reported. One pass over all Routes.
    fn refuse_dangling(&mut self, transaction: &mut Transaction) {
        let before = transaction.rejected.len();
        for (name, (_, route)) in self.routing.routes() {
            let missing = missing_backends(&self.backends, route);
            if !missing.is_empty() && !self.refusals.contains(Kind::Route, name) {
                transaction.reject(&Key::new(Kind::Route, Arc::clone(name)), not_held(&missing));
            }
        }
        self.refusals.add(&transaction.rejected[before..]);
    }

    fn remove(&mut self, key: &Key) {
        match key.kind {
            Kind::Bind => self.routing.remove_bind(&mut self.backends, &key.name),
            Kind::Listener => self.routing.remove_listener(&mut self.backends, &key.name),
            Kind::Endpoints => self.backends.remove_endpoints(&key.name),
            Kind::Backend => self.backends.remove(&key.name),
            Kind::Route => {
                self.waiting.remove(&key.name);
                self.routing.remove_route(&mut self.backends, &key.name);
            }
        }
    }

    fn commit(&mut self, transaction: Transaction) -> Commit {
        let mut binds_changed = false;
        for (address, table) in self.routing.settle() {
            binds_changed |= table.is_some() != self.binds.contains_key(&address);
            match table {
                Some(table) => self.binds.insert(address, table),
                None => self.binds.remove(&address),
            };
        }
        let actions = self.routing.actions.settle();
        let backends = self.backends.settle();
        let changed: BTreeSet<_> = backends.states.iter().map(|(slot, _)| *slot).collect();
        if !backends.states.is_empty() {
            self.states = self.states.with(backends.states.into_iter().map(|(slot, state)| (slot.0, state)));
        }
        if !actions.stats.is_empty() {
            self.stats = self.stats.with(actions.stats);
        }
        self.generation += 1;
        self.position = Some(transaction.position);
        let root = Root {
            generation: self.generation,
            position: self.position,
            binds: self.binds.clone(),
            backends: self.states.clone(),
            stats: self.stats.clone(),
            changed: Changed {
                backends: changed.into_iter().collect(),
                gone: backends.gone.into(),
                actions: actions.gone.into(),
            },
        };
        Commit {
            root,
            position: transaction.position,
            rejected: transaction.rejected,
            in_force: self.refusals.all(),
            event_ms: transaction.event_ms,
            binds_changed,
        }
    }

    fn is_held(&self, key: &Key) -> bool {
        match key.kind {
            Kind::Bind => self.routing.binds().contains_key(&key.name),
            Kind::Listener => self.routing.listeners().contains_key(&key.name),
            Kind::Endpoints => self.backends.endpoints_hash(&key.name).is_some(),
            Kind::Backend => self.backends.is_held(&key.name),
            Kind::Route => self.routing.routes().contains_key(&key.name),
        }
    }

    fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        self.each_version(|kind, name, _| keys.push(Key::new(kind, Arc::clone(name))));
        keys.extend(self.backends.endpoint_names().map(|name| Key::new(Kind::Endpoints, Arc::clone(name))));
        keys
    }

    /// All that is held but endpoints.
    fn each_version(&self, mut visit: impl FnMut(Kind, &Arc<str>, &str)) {
        self.routing.binds().iter().for_each(|(name, (version, _))| visit(Kind::Bind, name, &version.hash));
        self.routing
            .listeners()
            .iter()
            .for_each(|(name, (version, _))| visit(Kind::Listener, name, &version.hash));
        self.backends.held().for_each(|(name, version)| visit(Kind::Backend, name, &version.hash));
        self.routing.routes().iter().for_each(|(name, (version, _))| visit(Kind::Route, name, &version.hash));
    }
}

fn missing_backends<'a>(backends: &Backends, route: &'a Route) -> Vec<&'a str> {
    let targets = route.rules.iter().flat_map(|rule| &rule.targets);
    let named: BTreeSet<&str> = targets.filter_map(|target| target.backend.as_deref()).collect();
    named.into_iter().filter(|name| !backends.is_held(name)).collect()
}

fn not_held(missing: &[&str]) -> Refusal {
    Refusal::new(Reason::MissingReference, format!("not held: {}", missing.join(", ")))
}

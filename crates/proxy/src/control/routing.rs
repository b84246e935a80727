//! Binds, Listeners and Routes, on the way to one [`BindTable`] per bind.
//!
//! Laws:
//! 1. A Route enters a bind's table once per Listener that it attached to: its counters carry the Listener's name.
//! 2. A change costs the tables that it touches. A Listener that changes its bind, hostname or labels takes its
//!    Routes along; another one's Routes stay where they are.
//! 3. The order of arrival does not matter: a Route waits for its Listener, a Listener for its bind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use fairlead_route::{Editor, ListenerSpec};
use fairlead_snapshot::{Bind, Listener, Route};
use rustc_hash::{FxHashMap, FxHashSet};

use super::actions::{Actions, Installed};
use super::backends::Backends;
use super::held::Version;
use crate::shared::{BindTable, RouteLabels, RouteStats, RuleAction};

#[derive(Debug)]
struct BindState {
    editor: Editor<Arc<RuleAction>>,
    unmatched: FxHashMap<Arc<str>, (u32, Arc<RouteStats>)>,
    unheard: (u32, Arc<RouteStats>),
}

#[derive(Debug, Default)]
struct Attached {
    /// Routes that name the Listener, held or not.
    routes: BTreeSet<Arc<str>>,
    /// Those in the bind's table.
    installed: BTreeMap<Arc<str>, Installed>,
}

/// Binds, Listeners and Routes by name.
#[derive(Debug)]
pub(super) struct Routing {
    pub(super) actions: Actions,
    binds: BTreeMap<Arc<str>, (Version, Bind)>,
    listeners: BTreeMap<Arc<str>, (Version, Listener)>,
    routes: BTreeMap<Arc<str>, (Version, Arc<Route>)>,
    attached: FxHashMap<Arc<str>, Attached>,
    by_bind: FxHashMap<SocketAddr, BTreeSet<Arc<str>>>,
    tables: FxHashMap<SocketAddr, BindState>,
    dirty: FxHashSet<SocketAddr>,
}

impl Routing {
    pub(super) fn new(actions: Actions) -> Self {
        Self {
            actions,
            binds: BTreeMap::new(),
            listeners: BTreeMap::new(),
            routes: BTreeMap::new(),
            attached: FxHashMap::default(),
            by_bind: FxHashMap::default(),
            tables: FxHashMap::default(),
            dirty: FxHashSet::default(),
        }
    }

    pub(super) fn binds(&self) -> &BTreeMap<Arc<str>, (Version, Bind)> {
        &self.binds
    }

    pub(super) fn listeners(&self) -> &BTreeMap<Arc<str>, (Version, Listener)> {
        &self.listeners
    }

    pub(super) fn routes(&self) -> &BTreeMap<Arc<str>, (Version, Arc<Route>)> {
        &self.routes
    }

    pub(super) fn put_bind(
        &mut self,
        backends: &mut Backends,
        name: &Arc<str>,
        version: Version,
        bind: Bind,
    ) {
        let new = self.binds.insert(Arc::clone(name), (version, bind)).is_none();
        if let (true, Some(address)) = (new, address(name)) {
            let labels = RouteLabels {
                gateway: Box::default(),
                listener: Arc::clone(name).as_ref().into(),
                ..RouteLabels::default()
            };
            let unheard = self.actions.count(labels);
            self.tables.insert(
                address,
                BindState { editor: Editor::new(), unmatched: FxHashMap::default(), unheard },
            );
            self.dirty.insert(address);
            for listener in self.by_bind.get(&address).cloned().unwrap_or_default() {
                self.install_listener(backends, &listener);
            }
        }
    }

    pub(super) fn remove_bind(&mut self, backends: &mut Backends, name: &Arc<str>) {
        if self.binds.remove(name).is_none() {
            return;
        }
        let Some(address) = address(name) else { return };
        for listener in self.by_bind.get(&address).cloned().unwrap_or_default() {
            self.uninstall_listener(backends, &listener);
        }
        if let Some(bind) = self.tables.remove(&address) {
            self.actions.uncount(bind.unheard.0);
        }
        self.dirty.insert(address);
    }

    pub(super) fn put_listener(
        &mut self,
        backends: &mut Backends,
        name: &Arc<str>,
        version: Version,
        listener: Listener,
    ) {
        self.take_listener(backends, name);
        if let Ok(address) = listener.bind.parse::<SocketAddr>() {
            self.by_bind.entry(address).or_default().insert(Arc::clone(name));
        }
        self.listeners.insert(Arc::clone(name), (version, listener));
        self.install_listener(backends, name);
    }

    pub(super) fn remove_listener(&mut self, backends: &mut Backends, name: &Arc<str>) {
        self.take_listener(backends, name);
    }

    pub(super) fn put_route(
        &mut self,
        backends: &mut Backends,
        name: &Arc<str>,
        version: Version,
        route: Route,
    ) {
        self.remove_route(backends, name);
        let route = Arc::new(route);
        self.routes.insert(Arc::clone(name), (version, Arc::clone(&route)));
        for attachment in &route.attachments {
            self.attached
                .entry(Arc::clone(&attachment.listener))
                .or_default()
                .routes
                .insert(Arc::clone(name));
            self.install_route(backends, name, &attachment.listener);
        }
    }

    pub(super) fn remove_route(&mut self, backends: &mut Backends, name: &Arc<str>) {
        let Some(route) = self.routes.get(name).map(|(_, route)| Arc::clone(route)) else { return };
        for attachment in &route.attachments {
            self.uninstall_route(backends, name, &attachment.listener);
            if let Some(attached) = self.attached.get_mut(&attachment.listener) {
                attached.routes.remove(name);
                if attached.routes.is_empty() && attached.installed.is_empty() {
                    self.attached.remove(&attachment.listener);
                }
            }
        }
        self.routes.remove(name);
    }

    /// The end of a transaction: new tables of what changed.
    pub(super) fn settle(&mut self) -> Vec<(SocketAddr, Option<Arc<BindTable>>)> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty
            .into_iter()
            .map(|address| (address, self.tables.get(&address).map(|bind| table(address, bind))))
            .collect()
    }

    fn take_listener(&mut self, backends: &mut Backends, name: &Arc<str>) {
        self.uninstall_listener(backends, name);
        if let Some((_, listener)) = self.listeners.remove(name)
            && let Ok(address) = listener.bind.parse::<SocketAddr>()
            && let Some(names) = self.by_bind.get_mut(&address)
        {
            names.remove(name);
            if names.is_empty() {
                self.by_bind.remove(&address);
            }
        }
    }

    /// Brings a Listener and its Routes into its bind's table, if all of them are held.
    fn install_listener(&mut self, backends: &mut Backends, name: &Arc<str>) {
        let Some((_, listener)) = self.listeners.get(name) else { return };
        let Some((address, bind)) = place(&mut self.tables, listener) else { return };
        let hostname = listener.hostname.as_ref().map(ToString::to_string);
        bind.editor.upsert_listener(&ListenerSpec { key: Arc::clone(name), hostname });
        let unmatched = self.actions.count_unmatched(listener);
        if let Some((slot, _)) = bind.unmatched.insert(Arc::clone(name), unmatched) {
            self.actions.uncount(slot);
        }
        self.dirty.insert(address);
        let routes = self.attached.get(name).map(|attached| attached.routes.clone()).unwrap_or_default();
        for route in routes {
            self.install_route(backends, &route, name);
        }
    }

    fn uninstall_listener(&mut self, backends: &mut Backends, name: &Arc<str>) {
        let routes = self.attached.get(name).map(|attached| attached.routes.clone()).unwrap_or_default();
        for route in routes {
            self.uninstall_route(backends, &route, name);
        }
        let Some((_, listener)) = self.listeners.get(name) else { return };
        let Some((address, bind)) = place(&mut self.tables, listener) else { return };
        bind.editor.remove_listener(name);
        if let Some((slot, _)) = bind.unmatched.remove(name) {
            self.actions.uncount(slot);
        }
        self.dirty.insert(address);
    }

    fn install_route(&mut self, backends: &mut Backends, name: &Arc<str>, listener_name: &Arc<str>) {
        self.uninstall_route(backends, name, listener_name);
        let (Some((_, route)), Some((_, listener))) =
            (self.routes.get(name), self.listeners.get(listener_name))
        else {
            return;
        };
        let Some((address, bind)) = place(&mut self.tables, listener) else { return };
        let key = table_key(name, listener_name);
        let listener = (listener_name, listener);
        let (spec, installed) = self.actions.install(backends, key, route, listener);
        bind.editor.upsert_route(spec);
        self.dirty.insert(address);
        self.attached
            .entry(Arc::clone(listener_name))
            .or_default()
            .installed
            .insert(Arc::clone(name), installed);
    }

    fn uninstall_route(&mut self, backends: &mut Backends, name: &Arc<str>, listener_name: &Arc<str>) {
        let Some(attached) = self.attached.get_mut(listener_name) else { return };
        let Some(installed) = attached.installed.remove(name) else { return };
        let Some((_, route)) = self.routes.get(name) else { return };
        self.actions.uninstall(backends, route, installed);
        let Some((_, listener)) = self.listeners.get(listener_name) else { return };
        if let Some((address, bind)) = place(&mut self.tables, listener) {
            bind.editor.remove_route(&table_key(name, listener_name));
            self.dirty.insert(address);
        }
    }
}

fn place<'a>(
    tables: &'a mut FxHashMap<SocketAddr, BindState>,
    listener: &Listener,
) -> Option<(SocketAddr, &'a mut BindState)> {
    let address = listener.bind.parse().ok()?;
    Some((address, tables.get_mut(&address)?))
}

fn address(bind: &str) -> Option<SocketAddr> {
    bind.parse().ok()
}

fn table_key(route: &str, listener: &str) -> Arc<str> {
    format!("{listener}|{route}").into()
}

fn table(address: SocketAddr, bind: &BindState) -> Arc<BindTable> {
    let unmatched =
        bind.unmatched.iter().map(|(name, (_, stats))| (Arc::clone(name), Arc::clone(stats))).collect();
    Arc::new(BindTable {
        address,
        table: bind.editor.table(),
        unmatched,
        unheard: Arc::clone(&bind.unheard.1),
    })
}

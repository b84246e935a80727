//! Backends and their endpoints, on the way to [`BackendState`]s.
//!
//! Laws:
//! 1. A Backend has a slot as long as it is held or a Route names it: a Route built before its Backend came need not
//!    be built again.
//! 2. A change of single endpoints costs a search per endpoint and, of the Backend's list of views, what changed
//!    ([`Copies`]); where an endpoint comes or goes, a copy of that list and of its list of states. Each copied entry is
//!    a count of references somewhere in memory: that is what copies cost, so what has not changed is shared.
//! 3. What is invalid was refused before it came here.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use fairlead_balance::{EndpointView, Maglev, Micros, StableHash, parts};
use fairlead_snapshot::{Backend, Endpoint, Endpoints, Key, Kind, Reason, Refusal};
use rustc_hash::{FxHashMap, FxHashSet};

use super::algorithm::algorithm;
use super::copies::Copies;
use super::held::{Body, Content, Saved, Version};
use super::registry::{Counts, Registry};
use super::slots::Numbers;
use super::transaction::Delta;
use crate::shared::{Algorithm, BackendSlot, BackendState, Ejections, EndpointSlot, EndpointState};

/// One endpoint of one Backend.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) endpoint: Endpoint,
    pub(super) state: Arc<EndpointState>,
}

#[derive(Debug)]
struct HeldEndpoints {
    hash: Box<str>,
    /// As received; absent after a delta.
    body: Option<Body>,
    /// Sorted by id.
    members: Vec<Arc<Member>>,
    /// Of each member.
    views: Copies<EndpointView>,
    /// Hashes of the members' ids, the same in all processes.
    identities: Vec<u64>,
    /// Of each member, as of the last transaction; absent where one came or went since.
    states: Option<Arc<[Arc<EndpointState>]>>,
}

impl HeldEndpoints {
    fn new(version: Version, members: Vec<Arc<Member>>) -> Self {
        let views = Copies::new(members.iter().map(|member| view(member)).collect());
        let identities = members.iter().map(|member| identity(member)).collect();
        Self { hash: version.hash, body: Some(version.body), members, views, identities, states: None }
    }

    /// Puts a member in its place; gives the one that was there.
    fn put(&mut self, member: Arc<Member>) -> Option<Arc<Member>> {
        let place = self.members.binary_search_by(|other| other.endpoint.id.cmp(&member.endpoint.id));
        match place {
            Ok(at) => {
                self.views.set(at, view(&member));
                let before = std::mem::replace(&mut self.members[at], member);
                if !Arc::ptr_eq(&before.state, &self.members[at].state) {
                    self.states = None;
                }
                Some(before)
            }
            Err(at) => {
                self.views.insert(at, view(&member));
                self.identities.insert(at, identity(&member));
                self.members.insert(at, member);
                self.states = None;
                None
            }
        }
    }

    fn remove(&mut self, id: &str) -> Option<Arc<Member>> {
        let at = self.members.binary_search_by(|member| (*member.endpoint.id).cmp(id)).ok()?;
        self.views.remove(at);
        self.identities.remove(at);
        self.states = None;
        Some(self.members.remove(at))
    }

    fn states(&mut self) -> Arc<[Arc<EndpointState>]> {
        let members = &self.members;
        let states = self
            .states
            .get_or_insert_with(|| members.iter().map(|member| Arc::clone(&member.state)).collect());
        Arc::clone(states)
    }
}

#[derive(Debug)]
struct Entry {
    slot: BackendSlot,
    incarnation: u64,
    version: u64,
    backend: Option<(Version, Backend)>,
    endpoints: Option<HeldEndpoints>,
    /// The last one made, while keys decide.
    table: Option<Arc<Maglev>>,
    references: u32,
    overflows: Arc<AtomicU64>,
    ejections: Arc<Ejections>,
}

/// What a transaction changed.
#[derive(Debug, Default)]
pub(super) struct BackendChanges {
    pub(super) states: Vec<(BackendSlot, Option<Arc<BackendState>>)>,
    pub(super) gone: Vec<EndpointSlot>,
}

/// All Backends by name.
#[derive(Debug)]
pub(super) struct Backends {
    by_name: FxHashMap<Arc<str>, Entry>,
    numbers: Numbers,
    registry: Registry,
    dirty: FxHashSet<Arc<str>>,
    workers: usize,
}

impl Backends {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            by_name: FxHashMap::default(),
            numbers: Numbers::default(),
            registry: Registry::new(workers),
            dirty: FxHashSet::default(),
            workers,
        }
    }

    /// The slot of a Backend that may be held or not; one more Route target names it.
    pub(super) fn refer(&mut self, name: &Arc<str>) -> BackendSlot {
        let entry = self.entry(name);
        entry.references += 1;
        entry.slot
    }

    /// One Route target less names it.
    pub(super) fn forget(&mut self, name: &Arc<str>) {
        self.entry(name).references -= 1;
        self.dirty.insert(Arc::clone(name));
    }

    pub(super) fn is_held(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|entry| entry.backend.is_some())
    }

    pub(super) fn endpoints_hash(&self, name: &str) -> Option<&str> {
        self.by_name.get(name)?.endpoints.as_ref().map(|held| &*held.hash)
    }

    pub(super) fn put(&mut self, name: &Arc<str>, version: Version, backend: Backend) {
        self.touch(name).backend = Some((version, backend));
    }

    pub(super) fn remove(&mut self, name: &Arc<str>) {
        if self.is_held(name) {
            self.touch(name).backend = None;
        }
    }

    /// All endpoints of a Backend; those that it had before keep their state.
    pub(super) fn put_endpoints(
        &mut self,
        name: &Arc<str>,
        version: Version,
        endpoints: Endpoints,
        now: Micros,
    ) {
        let registry = &mut self.registry;
        let members =
            endpoints.endpoints.into_iter().map(|endpoint| member(registry, endpoint, now)).collect();
        let held = HeldEndpoints::new(version, members);
        let before = self.touch(name).endpoints.replace(held);
        self.release_all(before.as_ref());
    }

    pub(super) fn remove_endpoints(&mut self, name: &Arc<str>) {
        if self.endpoints_hash(name).is_some() {
            let before = self.touch(name).endpoints.take();
            self.release_all(before.as_ref());
        }
    }

    /// Changes single endpoints. Nothing is changed if the delta starts from another version, or holds an endpoint
    /// that is not valid.
    pub(super) fn apply_delta(&mut self, delta: Delta, now: Micros) -> Result<(), Refusal> {
        for endpoint in &delta.upserts {
            fairlead_snapshot::validate_endpoint(endpoint)?;
        }
        let held = match self.by_name.get_mut(&delta.name).map(|entry| entry.endpoints.as_mut()) {
            Some(Some(held)) if held.hash == delta.base => held,
            Some(Some(held)) => {
                let message = format!("the delta starts from {}, held is {}", delta.base, held.hash);
                return Err(Refusal::new(Reason::BaseMismatch, message));
            }
            _ => return Err(Refusal::new(Reason::BaseMismatch, "no version is held")),
        };
        for endpoint in delta.upserts {
            if let Some(before) = held.put(member(&mut self.registry, endpoint, now)) {
                self.registry.release(&before.state);
            }
        }
        for id in delta.removals {
            if let Some(before) = held.remove(&id) {
                self.registry.release(&before.state);
            }
        }
        held.hash = delta.hash;
        held.body = None;
        self.touch(&delta.name);
        Ok(())
    }

    /// The end of a transaction: new states of what changed, and Endpoints that no Backend has any more.
    pub(super) fn settle(&mut self) -> BackendChanges {
        let mut changes = BackendChanges { states: Vec::new(), gone: self.registry.settle() };
        for name in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.by_name.get_mut(&name) else { continue };
            if entry.backend.is_none() && entry.endpoints.is_none() && entry.references == 0 {
                changes.states.push((entry.slot, None));
                self.numbers.give_back(entry.slot.0);
                self.by_name.remove(&name);
                continue;
            }
            entry.version += 1;
            changes.states.push((entry.slot, state(&name, entry, self.workers)));
        }
        changes
    }

    /// Frees what gone Endpoints held, once nobody uses them.
    pub(super) fn sweep(&mut self) {
        self.registry.sweep();
    }

    /// Backends that are held or named.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// How many Endpoints there are.
    pub(super) fn endpoint_counts(&self) -> Counts {
        self.registry.counts()
    }

    /// Names of the Backends whose endpoints are known.
    pub(super) fn endpoint_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_name.iter().filter(|(_, entry)| entry.endpoints.is_some()).map(|(name, _)| name)
    }

    /// Names and versions of Backends, with their bytes.
    pub(super) fn held(&self) -> impl Iterator<Item = (&Arc<str>, &Version)> {
        self.by_name
            .iter()
            .filter_map(|(name, entry)| entry.backend.as_ref().map(|(version, _)| (name, version)))
    }

    /// Endpoints of all Backends as they are to be saved.
    pub(super) fn saved_endpoints(&self) -> impl Iterator<Item = Saved> {
        self.by_name.iter().filter_map(|(name, entry)| {
            let held = entry.endpoints.as_ref()?;
            let content = match &held.body {
                Some(body) => Content::Body(Arc::clone(body)),
                None => Content::Members(held.members.clone()),
            };
            Some(Saved { key: Key::new(Kind::Endpoints, Arc::clone(name)), hash: held.hash.clone(), content })
        })
    }

    /// The Backends named, or all that are held, with their members.
    pub(super) fn members<'a>(
        &'a self,
        names: Option<&'a [Box<str>]>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a [Arc<Member>])> {
        let wanted = move |name: &str| names.is_none_or(|names| names.iter().any(|wanted| **wanted == *name));
        self.by_name
            .iter()
            .filter(move |(name, entry)| entry.backend.is_some() && wanted(name))
            .map(|(name, entry)| (name, entry.endpoints.as_ref().map_or(&[][..], |held| &held.members)))
    }

    fn entry(&mut self, name: &Arc<str>) -> &mut Entry {
        let (numbers, workers) = (&mut self.numbers, self.workers);
        self.by_name.entry(Arc::clone(name)).or_insert_with(|| {
            let (slot, incarnation) = numbers.take();
            Entry {
                slot: BackendSlot(slot),
                incarnation,
                version: 0,
                backend: None,
                endpoints: None,
                table: None,
                references: 0,
                overflows: Arc::default(),
                ejections: Arc::new(Ejections::new(workers)),
            }
        })
    }

    fn touch(&mut self, name: &Arc<str>) -> &mut Entry {
        self.dirty.insert(Arc::clone(name));
        self.entry(name)
    }

    fn release_all(&mut self, before: Option<&HeldEndpoints>) {
        for member in before.into_iter().flat_map(|held| &held.members) {
            self.registry.release(&member.state);
        }
    }
}

fn member(registry: &mut Registry, endpoint: Endpoint, now: Micros) -> Arc<Member> {
    // Validation has seen to it that the address parses; an unspecified one could only be refused by the kernel.
    let ip: IpAddr = endpoint.address.parse().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    let state = registry.acquire(&endpoint, SocketAddr::new(ip, endpoint.port), now);
    state.set_terminating(endpoint.terminating);
    Arc::new(Member { endpoint, state })
}

fn state(name: &Arc<str>, entry: &mut Entry, workers: usize) -> Option<Arc<BackendState>> {
    let (_, backend) = entry.backend.as_ref()?;
    let (seen, identities) = match &entry.endpoints {
        Some(held) => (held.views.list(), &held.identities[..]),
        None => (&[][..], &[][..]),
    };
    let algorithm = algorithm(&backend.policy, seen, identities, &mut entry.table);
    let parts = match &algorithm {
        // A single worker uses all, and need not look at each to find that out.
        Algorithm::Drawn(_) if workers > 1 => parts(seen, identities, workers),
        Algorithm::Drawn(_) | Algorithm::Hashed(..) => None,
    };
    let (endpoints, (views, changed)) = match &mut entry.endpoints {
        Some(held) => (held.states(), held.views.publish()),
        None => (Arc::from([]), (Arc::from([]), 0..0)),
    };
    Some(Arc::new(BackendState {
        slot: entry.slot,
        incarnation: entry.incarnation,
        version: entry.version,
        name: Arc::clone(name),
        namespace: backend.namespace.clone(),
        algorithm,
        max_connections_per_endpoint: backend.policy.max_connections_per_endpoint.and_then(NonZeroU32::new),
        retry_attempts: backend.policy.retry_attempts,
        overflows: Arc::clone(&entry.overflows),
        ejections: Arc::clone(&entry.ejections),
        endpoints,
        views,
        changed,
        parts,
    }))
}

fn identity(member: &Member) -> u64 {
    StableHash::of(member.endpoint.id.as_bytes())
}

/// What pickers see of an endpoint.
pub(super) fn view(member: &Member) -> EndpointView {
    let endpoint = &member.endpoint;
    EndpointView {
        load: Arc::clone(&member.state.load),
        weight: endpoint.weight,
        ready: endpoint.ready,
        fallback: !endpoint.ready && endpoint.serving && endpoint.terminating,
    }
}

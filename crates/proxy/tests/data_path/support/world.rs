//! A running proxy, and the configuration that it is given.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use fairlead_balance::{EndpointLoad, EndpointView, Maglev, Policy, StableHash, TableSize};
use fairlead_proxy::ProxyConfig;
use fairlead_proxy::internals::{
    ActionSlot, Algorithm, BackendSlot, BackendState, BindTable, Changed, Destination, Ejections,
    EndpointSlot, EndpointState, HashOn, ListenSocket, Phase, ReasonCounters, Root, RouteLabels, RouteStats,
    RuleAction, RuleTarget, Shared, Slots, WorkerMessage, WorkerStats,
};
use fairlead_route::{Attachment, Editor, ListenerSpec, MatchSpec, PathMatch, RouteSpec, RuleSpec};
use fairlead_snapshot::{Endpoint, TargetError};

use super::{Backend, wait_until};

const APP: BackendSlot = BackendSlot(0);
const EMPTY: BackendSlot = BackendSlot(1);

/// One worker, no access log.
pub(crate) fn config() -> ProxyConfig {
    ProxyConfig { workers: Some(1), access_log: false, ..ProxyConfig::default() }
}

/// What Kubernetes says of a member.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It takes requests.
    Ready,
    /// Its Pod terminates and still serves.
    Serving,
    /// Its Pod terminates and serves no more.
    Ended,
}

/// A proxy with routes for `app.test`: `/` to the members, `/empty` to a Backend without any, `/invalid` to none,
/// `/timed` with 300 ms for the request, `/hurried` with 300 ms for an attempt, `/weighted` to the members and to the
/// Backend without any as 9:1.
pub(crate) struct Proxy {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    pub(crate) stats: Arc<RouteStats>,
    pub(crate) open: Arc<()>,
    policy: Policy,
    /// Keys decide, and not the policy.
    hash_on: Option<HashOn>,
    limit: Option<u32>,
    retry_attempts: u8,
    overflows: Arc<AtomicU64>,
    ejections: Arc<Ejections>,
    standings: HashMap<SocketAddr, Standing>,
    endpoints: Vec<Arc<EndpointState>>,
    /// Every Endpoint that ever was, for the gauges.
    all: Vec<Arc<EndpointState>>,
    table: Arc<BindTable>,
    backends: Slots<BackendState>,
    version: u64,
    threads: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy in front of these backends.
    pub(crate) fn start(members: &[&Backend]) -> Self {
        Self::with(config(), members)
    }

    /// The same with a configuration of its own.
    pub(crate) fn with(config: ProxyConfig, members: &[&Backend]) -> Self {
        let shared = Shared::new(config);
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let workers = shared.workers.len();
        let labels =
            RouteLabels { route: "app".into(), route_namespace: "default".into(), ..RouteLabels::default() };
        let stats = Arc::new(RouteStats::new(labels, workers));
        let unheard = Arc::new(RouteStats::new(RouteLabels::default(), workers));
        let table = Arc::new(BindTable::new(address, table(&stats), unheard));
        let mut proxy = Self {
            shared,
            address,
            stats,
            open: Arc::new(()),
            policy: Policy::RoundRobin,
            hash_on: None,
            limit: None,
            retry_attempts: 1,
            overflows: Arc::default(),
            ejections: Arc::new(Ejections::new(workers)),
            standings: HashMap::new(),
            endpoints: vec![],
            all: vec![],
            table,
            backends: Slots::default(),
            version: 0,
            threads: vec![],
        };
        proxy.set_members(&members.iter().map(|backend| backend.address).collect::<Vec<_>>());
        proxy.publish(&[EMPTY]);
        for index in 0..workers {
            let shared = Arc::clone(&proxy.shared);
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            let run = move || fairlead_proxy::internals::run_worker(&shared, index).unwrap();
            proxy.threads.push(thread.spawn(run).unwrap());
            let socket = socket.try_clone().unwrap();
            let open = Arc::clone(&proxy.open);
            let listen = ListenSocket { address, shard: 0, socket, open };
            proxy.shared.workers[index].send(WorkerMessage::Listen(listen));
        }
        proxy.adopted();
        proxy
    }

    /// How endpoints are chosen from the next change on.
    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Lets keys decide. Waits for the adoption.
    pub(crate) fn hash_on(&mut self, on: HashOn) {
        self.hash_on = Some(on);
        self.publish(&[APP]);
        self.adopted();
    }

    /// How many connections each member may have. Waits for the adoption.
    pub(crate) fn set_limit(&mut self, limit: Option<u32>) {
        self.limit = limit;
        self.publish(&[APP]);
        self.adopted();
    }

    /// Repeats of a request that was sent. Waits for the adoption.
    pub(crate) fn set_retry_attempts(&mut self, attempts: u8) {
        self.retry_attempts = attempts;
        self.publish(&[APP]);
        self.adopted();
    }

    /// Requests that no member had room for.
    pub(crate) fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }

    /// Makes these addresses the Backend's members: those that stay keep their identity. Waits for the adoption.
    pub(crate) fn set_members(&mut self, members: &[SocketAddr]) {
        let now = self.shared.clock.now();
        let gone: Vec<_> =
            self.endpoints.iter().filter(|state| !members.contains(&state.address)).cloned().collect();
        self.endpoints.retain(|state| members.contains(&state.address));
        for address in members {
            if self.endpoints.iter().any(|state| state.address == *address) {
                continue;
            }
            let slot = EndpointSlot { index: self.all.len() as u32, generation: 1 };
            let endpoint = Endpoint {
                id: format!("uid-{}|{}|{}|TCP", slot.index, address.ip(), address.port()).into(),
                address: address.ip().to_string().into(),
                port: address.port(),
                ready: true,
                serving: true,
                terminating: false,
                weight: 1,
                pod: None,
                node: None,
                zone: None,
                subsets: vec![],
                drain_deadline_s: None,
            };
            let load = Arc::new(EndpointLoad::new(now, self.shared.workers.len()));
            let state = Arc::new(EndpointState::new(slot, &endpoint, *address, load));
            self.all.push(Arc::clone(&state));
            self.endpoints.push(state);
        }
        self.endpoints.sort_by(|a, b| a.id.cmp(&b.id));
        for state in &gone {
            state.set_gone();
            self.standings.remove(&state.address);
        }
        let gone: Vec<_> = gone.iter().map(|state| state.slot).collect();
        self.publish_with(&[APP], &gone);
        if !self.threads.is_empty() {
            self.adopted();
        }
    }

    /// What Kubernetes says of these members from now on; all are ready at first. Waits for the adoption.
    pub(crate) fn set_standings(&mut self, standings: &[(&Backend, Standing)]) {
        for (backend, standing) in standings {
            self.standings.insert(backend.address, *standing);
            self.endpoint(backend.address).set_terminating(*standing != Standing::Ready);
        }
        self.publish(&[APP]);
        self.adopted();
    }

    /// The record of the member at an address.
    pub(crate) fn endpoint(&self, address: SocketAddr) -> &Arc<EndpointState> {
        self.all.iter().rfind(|state| state.address == address).unwrap()
    }

    fn publish(&mut self, changed: &[BackendSlot]) {
        self.publish_with(changed, &[]);
    }

    fn publish_with(&mut self, changed: &[BackendSlot], gone: &[EndpointSlot]) {
        self.version += 1;
        let version = self.version;
        let state = |slot: BackendSlot, members: &[Arc<EndpointState>]| {
            let view = |state: &Arc<EndpointState>| {
                let standing = self.standings.get(&state.address).copied().unwrap_or(Standing::Ready);
                EndpointView {
                    load: Arc::clone(&state.load),
                    weight: 1,
                    ready: standing == Standing::Ready,
                    fallback: standing == Standing::Serving,
                }
            };
            let ejections = if slot == APP {
                Arc::clone(&self.ejections)
            } else {
                Arc::new(Ejections::new(self.shared.workers.len()))
            };
            let views: Arc<[EndpointView]> = members.iter().map(view).collect();
            let algorithm = match &self.hash_on {
                None => Algorithm::Drawn(self.policy),
                Some(on) => {
                    let identity = |state: &Arc<EndpointState>| StableHash::of(state.id.as_bytes());
                    let identities: Vec<u64> = members.iter().map(identity).collect();
                    let table = Maglev::new(TableSize::default(), &views, &identities);
                    Algorithm::Hashed(on.clone(), Arc::new(table))
                }
            };
            let state = BackendState {
                slot,
                incarnation: 1,
                version,
                name: "Service/default/app/80".into(),
                namespace: "default".into(),
                algorithm,
                max_connections_per_endpoint: self.limit.and_then(NonZeroU32::new),
                retry_attempts: self.retry_attempts,
                overflows: Arc::clone(&self.overflows),
                ejections,
                parts: None,
                endpoints: members.to_vec().into(),
                views,
                changed: 0..members.len(),
            };
            (slot.0, Some(Arc::new(state)))
        };
        let edits = changed.iter().map(|slot| state(*slot, if *slot == APP { &self.endpoints } else { &[] }));
        self.backends = self.backends.with(edits.collect::<Vec<_>>());
        let root = Root {
            generation: version,
            binds: [(self.address, Arc::clone(&self.table))].into_iter().collect(),
            backends: self.backends.clone(),
            changed: Changed { backends: changed.into(), gone: gone.into(), actions: [].into() },
            ..Root::default()
        };
        self.shared.root.store(Arc::new(root));
        self.shared.wake_all();
    }

    /// Waits until every worker reads the latest configuration.
    pub(crate) fn adopted(&self) {
        wait_until("adoption", || self.shared.adopted_by_all(self.version));
    }

    /// Requests in flight at all Endpoints, and in all workers.
    pub(crate) fn in_flight(&self) -> u64 {
        let endpoints: u64 = self.all.iter().map(|state| u64::from(state.load.in_flight())).sum();
        endpoints + self.shared.workers.iter().map(|cell| cell.stats.exchanges.get()).sum::<u64>()
    }

    /// Refusals of a code, over all workers.
    pub(crate) fn refused(&self, reason: &str) -> u64 {
        self.counted(reason, |stats| &stats.refused)
    }

    /// Refusals of responses of a code, over all workers.
    pub(crate) fn refused_responses(&self, reason: &str) -> u64 {
        self.counted(reason, |stats| &stats.refused_responses)
    }

    fn counted(&self, reason: &str, counters: fn(&WorkerStats) -> &ReasonCounters) -> u64 {
        let count = |reasons: &ReasonCounters| {
            reasons.iter().filter(|(name, _)| *name == reason).map(|(_, count)| count).sum::<u64>()
        };
        self.shared.workers.iter().map(|cell| count(counters(&cell.stats))).sum()
    }

    /// Waits for the workers to end by themselves.
    pub(crate) fn join(&mut self) {
        let threads = std::mem::take(&mut self.threads);
        wait_until("the workers' end", || threads.iter().all(JoinHandle::is_finished));
        for thread in threads {
            thread.join().unwrap();
        }
    }

    /// Ends the test: all gauges must come to 0.
    pub(crate) fn finish(mut self) {
        wait_until("in-flight gauges at 0", || self.in_flight() == 0);
        self.shared.advance(Phase::Stopped);
        self.join();
        assert_eq!(self.in_flight(), 0);
        // The workers' connections ended with them: no permit is left.
        assert!(self.all.iter().all(|state| state.load.connections() == 0));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.advance(Phase::Stopped);
    }
}

fn table(stats: &Arc<RouteStats>) -> fairlead_route::Table<Arc<RuleAction>> {
    let backend = |weight, slot| RuleTarget { weight, to: Destination::Backend(slot) };
    let invalid = |weight| RuleTarget { weight, to: Destination::Invalid(TargetError::BackendNotFound) };
    let rules = [
        ("/", vec![backend(1, APP)], None, None),
        ("/empty", vec![backend(1, EMPTY)], None, None),
        ("/invalid", vec![invalid(1)], None, None),
        ("/timed", vec![backend(1, APP)], Some(300_000), None),
        ("/hurried", vec![backend(1, APP)], None, Some(300_000)),
        ("/weighted", vec![backend(90, APP), invalid(0), backend(10, EMPTY)], None, None),
    ];
    let rules = rules.into_iter().enumerate().map(|(index, (path, targets, request, attempt))| {
        let action = RuleAction {
            slot: ActionSlot { index: index as u32, version: 1 },
            targets: targets.into(),
            request_timeout_us: request,
            backend_timeout_us: attempt,
            listener_port: 80,
            stats: Arc::clone(stats),
        };
        let spec = MatchSpec::new(PathMatch::Prefix(path.into()), None, vec![], vec![]).unwrap();
        RuleSpec { matches: vec![spec], action: Arc::new(action) }
    });
    let mut editor = Editor::new();
    editor.upsert_listener(&ListenerSpec { key: "web".into(), hostname: None });
    editor.upsert_route(RouteSpec {
        key: "default/app".into(),
        created_s: 0,
        name: "default/app".into(),
        attachments: vec![Attachment { listener: "web".into(), hostnames: vec!["app.test".into()] }],
        rules: rules.collect(),
    });
    editor.table()
}

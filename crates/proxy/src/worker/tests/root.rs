//! What the worker of a test reads: a route's Rules and their Backends.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use fairlead_balance::{EndpointView, Policy};
use fairlead_route::{Attachment, Editor, ListenerSpec, MatchSpec, PathMatch, RouteSpec, RuleSpec};

use super::{Pod, TIMED};
use crate::shared::{
    ActionSlot, Algorithm, BackendSlot, BackendState, BindTable, Changed, Destination, Ejections, Root,
    RouteLabels, RouteStats, RuleAction, RuleTarget, Slots,
};

const BACKEND: BackendSlot = BackendSlot(0);
const EMPTY: BackendSlot = BackendSlot(1);

/// `/` without a deadline, `/timed` with one for the request, `/hurried` with one for each attempt, `/empty` without
/// Endpoints.
pub(super) fn root(address: SocketAddr, pods: &[Pod], limit: Option<u32>) -> Root {
    let stats = Arc::new(RouteStats::new(RouteLabels::default(), 1));
    let rules = [
        ("/", BACKEND, None, None),
        ("/timed", BACKEND, Some(TIMED.0), None),
        ("/hurried", BACKEND, None, Some(TIMED.0)),
        ("/empty", EMPTY, None, None),
    ];
    let rules = (0..).zip(rules).map(|(index, (path, slot, request, attempt))| {
        let action = RuleAction {
            slot: ActionSlot { index, version: 1 },
            targets: [RuleTarget { weight: 1, to: Destination::Backend(slot) }].into(),
            request_timeout_us: request,
            backend_timeout_us: attempt,
            listener_port: 80,
            stats: Arc::clone(&stats),
        };
        let spec = MatchSpec::new(PathMatch::Prefix(path.into()), None, vec![], vec![]).unwrap();
        RuleSpec { matches: vec![spec], action: Arc::new(action) }
    });
    let mut editor = Editor::new();
    editor.upsert_listener(&ListenerSpec { key: "web".into(), hostname: None });
    editor.upsert_route(RouteSpec {
        key: "app".into(),
        created_s: 0,
        name: "app".into(),
        attachments: vec![Attachment { listener: "web".into(), hostnames: vec!["app.test".into()] }],
        rules: rules.collect(),
    });
    let backends = [(BACKEND, pods), (EMPTY, &[])];
    let backends = backends.map(|(slot, pods)| (slot.0, Some(Arc::new(backend(slot, pods, limit)))));
    Root {
        generation: 1,
        binds: [(address, Arc::new(BindTable::new(address, editor.table(), stats)))].into_iter().collect(),
        backends: Slots::default().with(backends),
        changed: Changed { backends: [BACKEND, EMPTY].into(), ..Changed::default() },
        ..Root::default()
    }
}

fn backend(slot: BackendSlot, pods: &[Pod], limit: Option<u32>) -> BackendState {
    let view = |pod: &Pod| EndpointView {
        load: Arc::clone(&pod.state.load),
        weight: 1,
        ready: true,
        fallback: false,
    };
    BackendState {
        slot,
        incarnation: 1,
        version: 1,
        name: "Service/default/app/80".into(),
        namespace: "default".into(),
        algorithm: Algorithm::Drawn(Policy::RoundRobin),
        max_connections_per_endpoint: limit.and_then(NonZeroU32::new),
        retry_attempts: 1,
        overflows: Arc::default(),
        ejections: Arc::new(Ejections::new(1)),
        parts: None,
        endpoints: pods.iter().map(|pod| Arc::clone(&pod.state)).collect(),
        views: pods.iter().map(view).collect(),
        changed: 0..pods.len(),
    }
}

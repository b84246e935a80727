//! What a transaction costs, printed: that each of a large world is taken whole is asserted, how fast is not.
//!
//! `cargo test --profile fast -p fairlead-proxy --lib figures -- --nocapture`

use std::time::Instant;

use fairlead_balance::Micros;
use fairlead_snapshot::{
    Attachment, Backend, Bind, Endpoint, Endpoints, EndpointsDelta, Listener, Policy, Position, Protocol,
    Resource, Route, RouteMatch, Rule, Target, ToProxy, Update, Upsert, decode_to_proxy, encode_resource,
    encode_to_proxy,
};

use super::core::Core;
use crate::config::TimeoutsConfig;

const ROUTES: usize = 1_000;
const ENDPOINTS: usize = 4_000;
// Without optimisations the figures say nothing, and a few rounds show as much.
const ROUNDS: usize = if cfg!(debug_assertions) { 20 } else { 200 };

fn endpoint(backend: usize, number: usize) -> Endpoint {
    let address = format!("10.{}.{}.{}", backend % 200, number / 250, number % 250);
    Endpoint {
        id: format!("uid-{backend}-{number:05}|{address}|80|TCP").into(),
        address: address.into(),
        drain_deadline_s: None,
        node: Some("node-1".into()),
        pod: Some(format!("shop/pod-{number}").into()),
        port: 80,
        ready: true,
        serving: true,
        subsets: Vec::new(),
        terminating: false,
        weight: 1,
        zone: None,
    }
}

fn backend_name(number: usize) -> String {
    format!("Service/shop/app-{number}/80")
}

fn route(number: usize) -> (String, Resource) {
    let name = format!("r-{number}");
    let target = Target { backend: Some(backend_name(number).into()), error: None, weight: 1 };
    let rule =
        Rule { matches: vec![RouteMatch::default()], name: None, targets: vec![target], timeouts: None };
    let hostnames = vec![format!("h-{number}.example.com").into()];
    let route = Route {
        attachments: vec![Attachment { hostnames, listener: "infra/edge/http".into() }],
        created_s: 0,
        name: name.as_str().into(),
        namespace: "shop".into(),
        rules: vec![rule],
    };
    (format!("HTTPRoute/shop/{name}"), Resource::Route(route))
}

fn world() -> Vec<(&'static str, String, Resource)> {
    let address = "127.0.0.2:8080";
    let bind = Bind { address: "127.0.0.2".into(), port: 8080, protocol: Protocol::Http };
    let listener = Listener {
        bind: address.into(),
        gateway: "edge".into(),
        gateway_namespace: "infra".into(),
        hostname: None,
        listener: "http".into(),
        port: 80,
    };
    let mut all = vec![
        ("bind", address.to_owned(), Resource::Bind(bind)),
        ("listener", "infra/edge/http".to_owned(), Resource::Listener(listener)),
    ];
    for number in 0..ROUTES {
        let size = if number == 0 { ENDPOINTS } else { 10 };
        let endpoints = (0..size).map(|each| endpoint(number, each)).collect();
        let backend = Backend {
            namespace: "shop".into(),
            policy: Policy::default(),
            port: 80,
            protocol: Protocol::Http,
            service: format!("app-{number}").into(),
        };
        all.push(("endpoints", backend_name(number), Resource::Endpoints(Endpoints { endpoints })));
        all.push(("backend", backend_name(number), Resource::Backend(backend)));
        let (name, route) = route(number);
        all.push(("route", name, route));
    }
    all
}

fn at(generation: u64) -> Update<'static> {
    Update::at(Position { epoch: 1, generation })
}

fn apply(core: &mut Core, frame: &[u8]) -> crate::shared::Root {
    let Ok(ToProxy::Update(update)) = decode_to_proxy(&frame[4..]) else { panic!("no update") };
    let commit = core.take(update, Micros(1)).unwrap().unwrap();
    assert!(commit.rejected.is_empty());
    commit.root
}

fn report(what: &str, frames: &[Vec<u8>], core: &mut Core) {
    let mut micros: Vec<u128> = frames
        .iter()
        .map(|frame| {
            let start = Instant::now();
            let root = apply(core, frame);
            drop(root);
            start.elapsed().as_micros()
        })
        .collect();
    micros.sort_unstable();
    println!("{what}: median {} us, worst {} us", micros[micros.len() / 2], micros[micros.len() - 1]);
}

#[test]
fn every_transaction_of_a_large_world_is_taken_whole() {
    let world = world();
    let bodies: Vec<Vec<u8>> = world.iter().map(|(_, _, resource)| encode_resource(resource)).collect();
    let mut update = at(1);
    update.full = true;
    for ((kind, name, _), body) in world.iter().zip(&bodies) {
        update.upserts.push(Upsert { body: Some(serde_bytes::Bytes::new(body)), hash: "h0", kind, name });
    }
    let full = encode_to_proxy(&ToProxy::Update(update));
    let mut core = Core::new(2, TimeoutsConfig::default());
    let start = Instant::now();
    apply(&mut core, &full);
    println!("full: {ROUTES} routes, {} bytes: {} ms", full.len(), start.elapsed().as_millis());

    let backend = backend_name(0);
    let hash = |round: usize| format!("h{round}");
    let deltas = |backend: &str, size: usize| -> Vec<Vec<u8>> {
        let frame = |round: usize| {
            let mut changed = endpoint(0, round % size);
            changed.ready = round.is_multiple_of(2);
            let (base, hash) = (hash(round), hash(round + 1));
            let mut update = at(2);
            let upserts = vec![changed];
            update.endpoints =
                vec![EndpointsDelta { base: &base, hash: &hash, name: backend, removals: vec![], upserts }];
            encode_to_proxy(&ToProxy::Update(update))
        };
        (0..ROUNDS).map(frame).collect()
    };
    report(&format!("delta of one endpoint among {ENDPOINTS}"), &deltas(&backend, ENDPOINTS), &mut core);
    let came_and_went: Vec<Vec<u8>> = (0..ROUNDS)
        .map(|round| {
            let number = ENDPOINTS + round / 2;
            let (base, hash) = (hash(ROUNDS + round), hash(ROUNDS + round + 1));
            let (newcomer, gone) = (endpoint(0, number), endpoint(0, number).id);
            let (upserts, removals) =
                if round % 2 == 0 { (vec![newcomer], vec![]) } else { (vec![], vec![&*gone]) };
            let mut update = at(2);
            update.endpoints =
                vec![EndpointsDelta { base: &base, hash: &hash, name: &backend, removals, upserts }];
            encode_to_proxy(&ToProxy::Update(update))
        })
        .collect();
    report(&format!("one endpoint comes to or leaves {ENDPOINTS}"), &came_and_went, &mut core);
    report("delta of one endpoint among 10", &deltas(&backend_name(1), 10), &mut core);
    let routes: Vec<Vec<u8>> = (0..ROUNDS)
        .map(|round| {
            let (name, route) = route(round);
            let body = encode_resource(&route);
            let mut update = at(3);
            update.upserts = vec![Upsert {
                body: Some(serde_bytes::Bytes::new(&body)),
                hash: "h1",
                kind: "route",
                name: &name,
            }];
            encode_to_proxy(&ToProxy::Update(update))
        })
        .collect();
    report(&format!("one route among {ROUTES}"), &routes, &mut core);
    let start = Instant::now();
    let saved = core.saved();
    println!("saved: {} resources in {} us", saved.len(), start.elapsed().as_micros());
    let start = Instant::now();
    let file = super::last_good::encode(core.position().unwrap(), &saved, 0);
    println!("last good file: {} bytes in {} us", file.len(), start.elapsed().as_micros());
}

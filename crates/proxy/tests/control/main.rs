//! A whole proxy with a controller in the test's hands: the stream, readiness, sockets, the last good file.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod admission;
mod controller;
#[path = "../data_path/support/mod.rs"]
#[allow(unused_imports, dead_code, unreachable_pub, reason = "made for the data path's tests")]
mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};

use controller::{Controller, Folder, Proxy, Session, free_address, gateway};
use fairlead_proxy::ProxyConfig;
use fairlead_snapshot::{
    FromProxy, Position, ReflectorStats, Removal, Stats, Subscribe, Tag, ToProxy, Update, Upsert,
};
use support::{Backend, Client, wait_until};

/// A proxy that has adopted one Gateway, which says hello at `bind`.
struct Serving {
    session: Session,
    proxy: Proxy,
    bind: SocketAddr,
    backend: Backend,
    controller: Controller,
    folder: Folder,
}

impl Serving {
    fn start(generation: u64) -> Self {
        let folder = Folder::new();
        let controller = Controller::listen(&folder);
        let backend = Backend::saying("hello");
        let bind = free_address();
        let proxy = Proxy::start(folder.config());
        let (mut session, _, _) = controller.accept();
        session.update(generation, true, &gateway("a", bind, backend.address));
        Self { session, proxy, bind, backend, controller, folder }
    }
}

#[test]
fn a_proxy_is_ready_only_when_it_has_adopted_a_configuration() {
    let folder = Folder::new();
    let controller = Controller::listen(&folder);
    let backend = Backend::saying("hello");
    let bind = free_address();
    let proxy = Proxy::start(folder.config());
    let (mut session, hello, facts) = controller.accept();
    assert_eq!((hello.schema, hello.position, hello.have.len()), (1, None, 0));
    assert!(facts.binds.is_empty());
    assert_eq!(proxy.health("/readyz").status, 503);
    assert_eq!(proxy.health("/livez").status, 200);
    let (facts, ack) = session.update(1, true, &gateway("a", bind, backend.address));
    assert!(ack.rejected.is_empty() && ack.position == Position { epoch: 1, generation: 1 });
    assert!(
        facts.iter().any(|each| each.binds.iter().any(|fact| fact.listening)),
        "facts come before the ack"
    );
    assert_eq!(Client::connect(bind).get("/").text(), "hello");
    let ready = proxy.health("/readyz?verbose");
    assert_eq!(ready.status, 200);
    assert!(ready.text.contains("[+]configuration ok"), "{}", ready.text);
    assert_eq!(proxy.metric("fairlead_config_generation"), Some(1.0));
    let ready_file = std::fs::read_to_string(folder.0.join("ready")).unwrap();
    assert!(ready_file.contains("127.0.0.1:"), "{ready_file}");
}

#[test]
fn losing_the_controller_changes_nothing_and_the_next_hello_says_what_is_held() {
    let Serving { folder, controller, session, proxy, bind, backend: _backend } = Serving::start(4);
    let mut client = Client::connect(bind);
    assert_eq!(client.get("/").text(), "hello");
    drop((session, controller));
    wait_until("the loss is noticed", || proxy.metric("fairlead_controller_connected") == Some(0.0));
    assert_eq!(client.get("/").text(), "hello", "the same connection");
    assert_eq!(proxy.health("/readyz").status, 200);
    let controller = Controller::listen(&folder);
    let (mut session, hello, facts) = controller.accept();
    assert_eq!(hello.position, Some(Position { epoch: 1, generation: 4 }));
    assert_eq!(hello.have.len(), 5);
    assert_eq!(hello.have[&format!("bind/{bind}")].as_ref(), "h");
    assert_eq!(facts.binds.len(), 1);
    let mut keep = Update::at(Position { epoch: 2, generation: 1 });
    keep.full = true;
    let names: Vec<(&str, &str)> = hello.have.keys().map(|key| key.split_once('/').unwrap()).collect();
    keep.upserts = names.iter().map(|(kind, name)| Upsert { body: None, hash: "h", kind, name }).collect();
    session.send(&ToProxy::Update(keep));
    let (_, ack) = session.ack();
    assert!(ack.rejected.is_empty() && ack.position.epoch == 2);
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn a_proxy_that_breaks_off_a_frame_or_gets_nonsense_asks_again() {
    let folder = Folder::new();
    let controller = Controller::listen(&folder);
    let proxy = Proxy::start(folder.config());
    let (mut session, _, _) = controller.accept();
    session.send_bytes(&[0xff, 0xff, 0xff, 0xff]);
    assert!(session.try_next().is_none(), "a frame above the limit ends the connection");
    let (mut session, _, _) = controller.accept();
    session.send_bytes(&[0, 0, 0, 1, 0xc0]);
    assert!(session.try_next().is_none(), "so does what is no frame");
    let (mut session, _, _) = controller.accept();
    session.send_bytes(&[0, 0, 0, 9, 0x81]);
    drop(session);
    let (mut session, hello, _) = controller.accept();
    assert_eq!(hello.position, None);
    assert!(session.update(1, true, &[]).1.rejected.is_empty());
    assert_eq!(proxy.metric("fairlead_controller_disconnects_total{reason=\"malformed_frame\"}"), Some(1.0));
}

#[test]
fn a_restarted_proxy_serves_from_disk_without_a_controller() {
    let folder = Folder::new();
    let backend = Backend::saying("hello");
    let bind = free_address();
    {
        let controller = Controller::listen(&folder);
        let _proxy = Proxy::start(folder.config());
        let (mut session, _, _) = controller.accept();
        session.update(9, true, &gateway("a", bind, backend.address));
    }
    let proxy = Proxy::start(folder.config());
    wait_until("it is ready", || proxy.health("/readyz").status == 200);
    assert_eq!(Client::connect(bind).get("/").text(), "hello");
    assert_eq!(proxy.metric("fairlead_config_generation"), Some(9.0));
    assert!(proxy.metric("fairlead_last_good_age_seconds").is_some());
    assert_eq!(proxy.metric("fairlead_controller_connected"), Some(0.0));
    let controller = Controller::listen(&folder);
    let (_session, hello, _) = controller.accept();
    assert_eq!((hello.position, hello.have.len()), (Some(Position { epoch: 1, generation: 9 }), 5));
}

#[test]
fn a_broken_last_good_file_is_refused_and_not_fatal() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("last-good"), b"{\"magic\":\"fairlead-last-good\"").unwrap();
    let controller = Controller::listen(&folder);
    let proxy = Proxy::start(folder.config());
    let (mut session, hello, _) = controller.accept();
    assert!(hello.have.is_empty());
    assert_eq!(proxy.health("/readyz").status, 503);
    assert_eq!(proxy.metric("fairlead_last_good_refused_total{reason=\"broken\"}"), Some(1.0));
    session.update(1, true, &[]);
    assert_eq!(proxy.health("/readyz").status, 200);
}

#[test]
fn a_port_that_is_taken_is_a_fact_and_harms_no_other_bind() {
    let folder = Folder::new();
    let controller = Controller::listen(&folder);
    let backend = Backend::saying("hello");
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, free) = (stranger.local_addr().unwrap(), free_address());
    let proxy = Proxy::start(folder.config());
    let (mut session, _, _) = controller.accept();
    let mut resources = gateway("a", taken, backend.address);
    resources.extend(gateway("b", free, backend.address));
    let (facts, ack) = session.update(1, true, &resources);
    assert!(ack.rejected.is_empty(), "a bind that fails is no refusal");
    let fact = |facts: &fairlead_snapshot::Facts, at: SocketAddr| {
        facts.binds.iter().find(|fact| *fact.name == at.to_string()).cloned().unwrap()
    };
    let last = facts.last().unwrap();
    assert!(fact(last, free).listening);
    assert!(fact(last, taken).message.contains("in use"), "{last:?}");
    assert_eq!(Client::connect(free).get("/").text(), "hello");
    assert_eq!(proxy.health("/readyz").status, 200);
    drop(stranger);
    let FromProxy::Facts(facts) = session.next() else { panic!("no facts") };
    assert!(fact(&facts, taken).listening, "tried again");
    assert_eq!(Client::connect(taken).get("/").text(), "hello");
}

#[test]
fn a_bind_goes_without_touching_other_connections() {
    let folder = Folder::new();
    let controller = Controller::listen(&folder);
    let backend = Backend::saying("hello");
    let (kept, going) = (free_address(), free_address());
    let _proxy = Proxy::start(folder.config());
    let (mut session, _, _) = controller.accept();
    let mut resources = gateway("a", kept, backend.address);
    resources.extend(gateway("b", going, backend.address));
    session.update(1, true, &resources);
    let mut client = Client::connect(kept);
    assert_eq!(client.get("/").text(), "hello");
    let mut update = Update::at(Position { epoch: 1, generation: 2 });
    let name = going.to_string();
    update.removals.push(Removal { kind: "bind", name: &name });
    session.send(&ToProxy::Update(update));
    session.ack();
    wait_until("the socket is closed", || TcpStream::connect(going).is_err());
    assert_eq!(client.get("/").text(), "hello");
    assert_eq!(Client::connect(kept).get("/").text(), "hello");
}

#[test]
fn a_refused_resource_is_named_in_the_ack_and_counted() {
    let mut serving = Serving::start(1);
    let mut update = Update::at(Position { epoch: 1, generation: 2 });
    let body = serde_bytes::Bytes::new(&[0x80]);
    update.upserts.push(Upsert { body: Some(body), hash: "x", kind: "route", name: "HTTPRoute/shop/a" });
    serving.session.send(&ToProxy::Update(update));
    let (_, ack) = serving.session.ack();
    assert_eq!((ack.rejected.len(), &*ack.rejected[0].reason), (1, "Malformed"));
    assert_eq!(Client::connect(serving.bind).get("/").text(), "hello", "the last good version serves");
    assert_eq!(serving.proxy.metric("fairlead_config_rejected_total{reason=\"Malformed\"}"), Some(1.0));
}

#[test]
fn telemetry_comes_while_it_is_subscribed() {
    let mut serving = Serving::start(1);
    let mut client = Client::connect(serving.bind);
    for _ in 0..3 {
        client.get("/");
    }
    serving.session.send(&ToProxy::Subscribe(Subscribe {
        backends: None,
        period_ms: 100,
        tag: Tag::default(),
    }));
    for _ in 0..2 {
        let telemetry = loop {
            let FromProxy::Telemetry(telemetry) = serving.session.next() else { panic!("no telemetry") };
            // The client may have its answer before the worker has closed the books.
            if telemetry.endpoints[0].in_flight == 0 {
                break telemetry;
            }
        };
        let stats = &telemetry.endpoints[0];
        assert_eq!((stats.requests, stats.success, stats.failures, &*stats.state), (3, 3, 0, "ready"));
        assert_eq!((&*stats.backend, stats.in_flight), ("Service/shop/a/80", 0));
    }
    let none = Some(vec!["Service/shop/absent/80".into()]);
    serving.session.send(&ToProxy::Subscribe(Subscribe {
        backends: none,
        period_ms: 100,
        tag: Tag::default(),
    }));
    loop {
        let FromProxy::Telemetry(telemetry) = serving.session.next() else { panic!("no telemetry") };
        if telemetry.endpoints.is_empty() {
            break;
        }
    }
}

/// What a controller counts of one kind.
fn reflector(kind: &str, last_sync_age_ms: Option<u64>, watch_events: u64) -> ReflectorStats {
    ReflectorStats {
        errors: [("Forbidden".into(), 4)].into_iter().filter(|_| last_sync_age_ms.is_none()).collect(),
        kind: kind.into(),
        last_sync_age_ms,
        relists: 2,
        watch_events,
    }
}

#[test]
fn the_controllers_counters_are_on_the_page_and_no_ack_answers_them() {
    let mut serving = Serving::start(1);
    let page = serving.proxy.health("/metrics").text;
    assert!(!page.contains("fairlead_kube_reflector_relists_total{"), "not told yet");
    for watch_events in [70, 75] {
        let reflectors =
            vec![reflector("EndpointSlice", Some(5_000), watch_events), reflector("HTTPRoute", None, 0)];
        serving.session.send(&ToProxy::Stats(Stats { reflectors, tag: Tag::default() }));
    }
    let metric = |proxy: &Proxy, name: &str, labels: &str| {
        proxy.metric(&format!("fairlead_kube_reflector_{name}{{{labels}}}"))
    };
    let (slices, routes) = ("kind=\"EndpointSlice\"", "kind=\"HTTPRoute\"");
    let proxy = &serving.proxy;
    wait_until("the last word", || metric(proxy, "watch_events_total", slices) == Some(75.0));
    assert_eq!(metric(proxy, "watch_events_total", routes), Some(0.0));
    assert_eq!(metric(proxy, "relists_total", routes), Some(2.0));
    let forbidden = metric(proxy, "errors_total", &format!("{routes},reason=\"Forbidden\""));
    assert_eq!(forbidden, Some(4.0));
    assert_eq!(metric(proxy, "last_sync_age_seconds", routes), None, "it never was");
    let age = || metric(proxy, "last_sync_age_seconds", slices).unwrap();
    let first = age();
    assert!(first >= 5.0);
    // Whoever told it is gone: the copies grow older.
    let (_, ack) = serving.session.update(2, true, &gateway("a", serving.bind, serving.backend.address));
    assert_eq!(ack.position.generation, 2, "the next frame is the ack of the update");
    drop((serving.session, serving.controller));
    wait_until("the loss is noticed", || proxy.metric("fairlead_controller_connected") == Some(0.0));
    assert!(age() > first);
    assert_eq!(metric(proxy, "watch_events_total", slices), Some(75.0));
}

#[test]
fn series_of_what_is_deleted_vanish() {
    let mut serving = Serving::start(1);
    assert_eq!(Client::connect(serving.bind).get("/").status, 200);
    let labels = "gateway=\"infra/a\",listener=\"http\"";
    let requests = format!(
        "fairlead_http_requests_total{{{labels},route_namespace=\"shop\",route=\"a\",rule=\"0\",code=\"2xx\"}}"
    );
    wait_until("the request is counted", || serving.proxy.metric(&requests) == Some(1.0));
    assert!(serving.proxy.health("/metrics").text.contains("fairlead_upstream_requests_total{"));
    serving.session.update(2, true, &[]);
    let page = serving.proxy.health("/metrics").text;
    assert!(!page.contains("infra/a") && !page.contains("fairlead_upstream_requests_total{"), "{page}");
}

#[test]
fn a_proxy_without_a_controller_or_a_file_is_alive_and_not_ready() {
    let proxy = Proxy::start(ProxyConfig { workers: Some(1), access_log: false, ..ProxyConfig::default() });
    wait_until("it is alive", || proxy.health("/livez").status == 200);
    assert_eq!(proxy.health("/healthz").status, 503);
    assert_eq!(proxy.health("/nothing").status, 404);
}

//! Transactions in virtual time: updates in, roots out.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fairlead_route::RequestView;
use fairlead_snapshot::{Endpoint, Kind, Policy, Position, Resource, Update};

use super::core::Commit;
use super::world::{
    APP, BIND, LISTENER, NOW, NoHeaders, OTHER, ROUTE, Sent, attached, backend, bind, core, endpoint,
    endpoints, gateway, listener, route,
};
use crate::shared::{BackendState, Destination, Root, RuleAction};

fn find<'a>(root: &'a Root, path: &str) -> Option<&'a Arc<RuleAction>> {
    let address: SocketAddr = BIND.parse().unwrap();
    let request = RequestView {
        host: b"a.test",
        path: path.as_bytes(),
        query: None,
        method: b"GET",
        headers: &NoHeaders,
    };
    root.binds.get(&address)?.table.find(&request)
}

/// The Backend that a request for `path` goes to; `None` where it is answered 404 or 500.
fn reached<'a>(root: &'a Root, path: &str) -> Option<&'a BackendState> {
    match find(root, path)?.targets.first()?.to {
        Destination::Backend(slot) => root.backends.get(slot.0).map(|state| &**state),
        Destination::Invalid(_) => None,
    }
}

fn pods(state: &BackendState) -> Vec<&str> {
    state.endpoints.iter().map(|endpoint| endpoint.pod.as_deref().unwrap_or_default()).collect()
}

fn reasons(commit: &Commit) -> Vec<(&str, &str)> {
    commit.rejected.iter().map(|rejection| (&*rejection.kind, &*rejection.reason)).collect()
}

fn in_force(commit: &Commit) -> Vec<(&str, &str)> {
    commit.in_force.iter().map(|rejection| (&*rejection.kind, &*rejection.reason)).collect()
}

#[test]
fn one_transaction_makes_one_root_with_everything_in_it() {
    let mut core = core();
    let commit = gateway().apply(&mut core, 1);
    assert!(commit.rejected.is_empty() && commit.binds_changed);
    assert_eq!(commit.root.generation, 1);
    let state = reached(&commit.root, "/x").expect("a Backend");
    assert_eq!((&*state.name, pods(state)), (APP, vec!["shop/pod-1", "shop/pod-2"]));
    assert_eq!(core.wanted_binds().len(), 1);
    assert_eq!(core.have().len(), 5);
}

#[test]
fn parts_are_one_transaction_and_an_unfinished_one_never_happened() {
    let mut core = core();
    let first = || Sent::full().put(BIND, "b1", bind()).put(LISTENER, "l1", listener(None)).part();
    assert!(first().take(&mut core, 1).is_none());
    assert!(core.position().is_none() && core.have().is_empty());
    core.abandon();
    let rest = Sent::full().put(APP, "k1", backend("app")).apply(&mut core, 2);
    assert!(rest.root.binds.is_empty(), "the part before the loss is gone");
    assert!(first().take(&mut core, 3).is_none());
    let commit = Sent::default().put(APP, "k1", backend("app")).apply(&mut core, 3);
    assert_eq!((commit.root.binds.len(), core.have().len()), (1, 3));
}

#[test]
fn a_part_of_another_transaction_breaks_the_contract() {
    let mut core = core();
    assert!(Sent::full().part().take(&mut core, 1).is_none());
    assert!(core.take(Update::at(Position { epoch: 1, generation: 2 }), NOW).is_err());
}

#[test]
fn a_bad_resource_harms_itself_only_and_keeps_its_last_good_version() {
    let mut core = core();
    gateway().apply(&mut core, 1);
    let commit =
        Sent::default().broken("route", ROUTE).put(OTHER, "k2", backend("other")).apply(&mut core, 2);
    assert_eq!(reasons(&commit), [("route", "Malformed")]);
    assert!(reached(&commit.root, "/x").is_some());
    assert_eq!(core.have()["route/HTTPRoute/shop/r"].as_ref(), "r1");
    assert_eq!(core.have()["backend/Service/shop/other/80"].as_ref(), "k2");
}

#[test]
fn a_full_transaction_deletes_what_it_does_not_name_and_keeps_what_it_names() {
    let mut core = core();
    gateway().put(OTHER, "k2", backend("other")).apply(&mut core, 1);
    let again = Sent::full()
        .keep("bind", BIND)
        .keep("listener", LISTENER)
        .keep("endpoints", APP)
        .keep("backend", APP);
    let commit = again.broken("route", ROUTE).apply(&mut core, 2);
    assert!(reached(&commit.root, "/").is_some(), "a refused version still names the Route");
    assert!(!core.have().contains_key("backend/Service/shop/other/80"));
    let commit = Sent::full().keep("bind", BIND).apply(&mut core, 3);
    assert!(find(&commit.root, "/").is_none() && commit.root.binds.len() == 1);
    assert_eq!(commit.root.changed.gone.len(), 2);
    assert_eq!(commit.root.stats.iter().count(), 1, "only the bind's own counters are left");
}

#[test]
fn what_is_not_held_cannot_be_kept() {
    let commit = Sent::full().keep("backend", APP).apply(&mut core(), 1);
    assert_eq!(reasons(&commit), [("backend", "BaseMismatch")]);
}

#[test]
fn an_endpoint_that_stays_keeps_its_state_and_counters() {
    let mut core = core();
    let before = gateway().apply(&mut core, 1);
    let state = Arc::clone(&reached(&before.root, "/").unwrap().endpoints[1]);
    let mut delta = Sent::default();
    delta.deltas.push((
        APP.to_owned(),
        "e1",
        "e2",
        vec![endpoint(3)],
        vec!["uid1|10.0.0.1|80|TCP".to_owned()],
    ));
    let commit = delta.apply(&mut core, 2);
    let after = reached(&commit.root, "/").unwrap();
    assert_eq!(pods(after), ["shop/pod-2", "shop/pod-3"]);
    assert!(Arc::ptr_eq(&after.endpoints[0], &state) && Arc::ptr_eq(&after.views[0].load, &state.load));
    assert_eq!(commit.root.changed.gone.len(), 1);
    assert_eq!(core.have()["endpoints/Service/shop/app/80"].as_ref(), "e2");
    let whole = Sent::default().put(APP, "e3", endpoints([2, 4])).apply(&mut core, 3);
    assert!(Arc::ptr_eq(&reached(&whole.root, "/").unwrap().endpoints[0], &state));
}

#[test]
fn a_delta_from_another_base_changes_nothing() {
    let mut core = core();
    gateway().apply(&mut core, 1);
    let mut delta = Sent::default();
    delta.deltas.push((APP.to_owned(), "e0", "e2", vec![endpoint(3)], vec![]));
    delta.deltas.push((OTHER.to_owned(), "e0", "e1", vec![], vec![]));
    let commit = delta.apply(&mut core, 2);
    assert_eq!(reasons(&commit), [("endpoints", "BaseMismatch"), ("endpoints", "BaseMismatch")]);
    assert_eq!(reached(&commit.root, "/").unwrap().endpoints.len(), 2);
    let mut invalid = Sent::default();
    invalid.deltas.push((
        APP.to_owned(),
        "e1",
        "e2",
        vec![Endpoint { port: 0, ..endpoint(3) }],
        vec!["uid1|10.0.0.1|80|TCP".to_owned()],
    ));
    assert_eq!(reasons(&invalid.apply(&mut core, 3)), [("endpoints", "InvalidPort")]);
    assert_eq!(core.have()["endpoints/Service/shop/app/80"].as_ref(), "e1");
}

#[test]
fn metrics_and_telemetry_have_one_word_for_where_an_endpoint_stands() {
    let mut core = core();
    let commit = gateway().apply(&mut core, 1);
    let word = |commit: &Commit| {
        let backend = reached(&commit.root, "/").unwrap();
        backend.endpoints[0].word(&backend.views[0], NOW).as_str()
    };
    assert_eq!(word(&commit), "ready");
    let stands = |serving, terminating| Endpoint { ready: false, serving, terminating, ..endpoint(1) };
    let steps = [
        (stands(true, true), "fallback"),
        (stands(false, true), "draining"),
        (stands(false, false), "not-ready"),
        (endpoint(1), "ready"),
    ];
    for (step, (endpoint, expected)) in steps.into_iter().enumerate() {
        let mut delta = Sent::default();
        let hashes = ["e1", "e2", "e3", "e4", "e5"];
        delta.deltas.push((APP.to_owned(), hashes[step], hashes[step + 1], vec![endpoint], vec![]));
        assert_eq!(word(&delta.apply(&mut core, step as u64 + 2)), expected);
    }
}

#[test]
fn a_backend_has_what_its_policy_says_and_keeps_its_count_of_overflows() {
    let mut core = core();
    let commit = gateway().apply(&mut core, 1);
    let state = reached(&commit.root, "/").unwrap();
    assert_eq!((state.max_connections_per_endpoint, state.retry_attempts), (None, 1));
    state.overflows.fetch_add(3, Ordering::Relaxed);
    let Resource::Backend(mut limited) = backend("app") else { panic!("no Backend") };
    limited.policy =
        Policy { max_connections_per_endpoint: Some(20), retry_attempts: 0, ..Policy::default() };
    let commit = Sent::default().put(APP, "k2", Resource::Backend(limited)).apply(&mut core, 2);
    let state = reached(&commit.root, "/").unwrap();
    assert_eq!((state.max_connections_per_endpoint, state.retry_attempts), (NonZeroU32::new(20), 0));
    assert_eq!(state.overflows.load(Ordering::Relaxed), 3);
}

#[test]
fn an_endpoint_of_two_backends_is_one_state() {
    let mut core = core();
    let two = gateway().put(OTHER, "e1", endpoints([2])).put(OTHER, "k1", backend("other"));
    let commit = two.apply(&mut core, 1);
    let other = commit.root.backends.iter().find(|(_, state)| &*state.name == OTHER).unwrap().1;
    assert!(Arc::ptr_eq(&other.endpoints[0], &reached(&commit.root, "/").unwrap().endpoints[1]));
    let commit = Sent::default().remove("endpoints", OTHER).remove("backend", OTHER).apply(&mut core, 2);
    assert!(commit.root.changed.gone.is_empty(), "the other Backend still has it");
}

#[test]
fn routes_and_their_backends_appear_together_and_removals_come_last() {
    let mut core = core();
    gateway().apply(&mut core, 1);
    let commit = Sent::default()
        .remove("backend", APP)
        .remove("endpoints", APP)
        .put(OTHER, "k1", backend("other"))
        .put(OTHER, "e1", endpoints([1]))
        .put(ROUTE, "r2", route("/", OTHER))
        .apply(&mut core, 2);
    assert!(commit.rejected.is_empty());
    let state = reached(&commit.root, "/").unwrap();
    assert_eq!((&*state.name, state.endpoints.len()), (OTHER, 1));
    assert_eq!(commit.root.changed.gone.len(), 1, "one endpoint moved along, the other one is gone");
}

#[test]
fn a_route_waits_for_its_backend_with_its_last_good_version() {
    let mut core = core();
    gateway().apply(&mut core, 1);
    let commit =
        Sent::default().put(ROUTE, "r2", route("/", OTHER)).broken("backend", OTHER).apply(&mut core, 2);
    assert_eq!(reasons(&commit), [("backend", "Malformed"), ("route", "MissingReference")]);
    assert_eq!(&*reached(&commit.root, "/").unwrap().name, APP);
    assert_eq!(core.have()["route/HTTPRoute/shop/r"].as_ref(), "r1");
    let commit = Sent::default().put(OTHER, "k1", backend("other")).apply(&mut core, 3);
    assert_eq!(&*reached(&commit.root, "/").unwrap().name, OTHER);
    assert_eq!(core.have()["route/HTTPRoute/shop/r"].as_ref(), "r2");
}

#[test]
fn a_new_route_without_its_backend_answers_500_until_it_comes() {
    let mut core = core();
    let new = Sent::full().put(BIND, "b1", bind()).put(LISTENER, "l1", listener(None)).put(
        ROUTE,
        "r1",
        route("/", APP),
    );
    let commit = new.apply(&mut core, 1);
    assert_eq!(reasons(&commit), [("route", "MissingReference")]);
    assert!(find(&commit.root, "/").is_some() && reached(&commit.root, "/").is_none(), "500, not 404");
    let table = Arc::clone(&commit.root.binds[&BIND.parse().unwrap()]);
    let commit =
        Sent::default().put(APP, "k1", backend("app")).put(APP, "e1", endpoints([1])).apply(&mut core, 2);
    assert_eq!(reached(&commit.root, "/").unwrap().endpoints.len(), 1);
    assert!(Arc::ptr_eq(&table, &commit.root.binds[&BIND.parse().unwrap()]), "no table was built again");
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let mut core = core();
    Sent::default().put(ROUTE, "r1", route("/", APP)).apply(&mut core, 1);
    Sent::default().put(LISTENER, "l1", listener(None)).apply(&mut core, 2);
    Sent::default().put(APP, "e1", endpoints([1])).put(APP, "k1", backend("app")).apply(&mut core, 3);
    let commit = Sent::default().put(BIND, "b1", bind()).apply(&mut core, 4);
    assert!(reached(&commit.root, "/").is_some());
    let commit = Sent::default().remove("bind", BIND).apply(&mut core, 5);
    assert!(commit.root.binds.is_empty() && commit.binds_changed);
    let commit = Sent::default().put(BIND, "b1", bind()).apply(&mut core, 6);
    assert!(reached(&commit.root, "/").is_some());
}

#[test]
fn a_changed_listener_takes_its_routes_along() {
    let mut core = core();
    gateway().apply(&mut core, 1);
    let commit = Sent::default().put(LISTENER, "l2", listener(Some("other.test"))).apply(&mut core, 2);
    assert!(find(&commit.root, "/").is_none(), "a.test is not other.test");
    let commit = Sent::default().put(LISTENER, "l3", listener(Some("a.test"))).apply(&mut core, 3);
    assert!(find(&commit.root, "/").is_some());
    let commit = Sent::default().remove("listener", LISTENER).apply(&mut core, 4);
    assert!(find(&commit.root, "/").is_none());
    let commit = Sent::default().put(LISTENER, "l4", listener(None)).apply(&mut core, 5);
    assert!(find(&commit.root, "/").is_some());
}

#[test]
fn a_new_version_of_a_route_keeps_its_counters_and_a_removed_one_takes_them_along() {
    let mut core = core();
    let commit = gateway().apply(&mut core, 1);
    find(&commit.root, "/").unwrap().stats.finished(0, 200, 5);
    let commit = Sent::default().put(ROUTE, "r2", route("/new", APP)).apply(&mut core, 2);
    let stats = &find(&commit.root, "/new").unwrap().stats;
    assert_eq!(stats.requests(fairlead_balance::StatusClass::Success), 1);
    let routes = |commit: &Commit| {
        commit.root.stats.iter().filter(|(_, stats)| !stats.labels.route.is_empty()).count()
    };
    assert_eq!(routes(&commit), 1);
    let commit = Sent::default().remove("route", ROUTE).apply(&mut core, 3);
    assert_eq!(routes(&commit), 0);
    assert_eq!(commit.root.changed.actions.len(), 1);
}

#[test]
fn what_is_saved_makes_the_same_configuration_again() {
    let mut core = core();
    gateway().apply(&mut core, 7);
    let mut delta = Sent::default();
    delta.deltas.push((APP.to_owned(), "e1", "e2", vec![endpoint(3)], vec![]));
    delta.apply(&mut core, 8);
    let file = super::last_good::encode(core.position().unwrap(), &core.saved(), 0);
    let read = super::last_good::decode(&file).unwrap();
    let mut restarted = self::core();
    let commit = restarted.take(read.update().unwrap(), NOW).unwrap().unwrap();
    assert!(commit.rejected.is_empty());
    assert_eq!(restarted.have(), core.have());
    assert_eq!(restarted.position(), core.position());
    assert_eq!(reached(&commit.root, "/").unwrap().endpoints.len(), 3);
}

#[test]
fn an_unknown_kind_is_refused_alone() {
    let mut core = core();
    let commit = gateway().broken("certificate", "infra/tls").apply(&mut core, 1);
    assert_eq!(reasons(&commit), [("certificate", "UnknownKind")]);
    assert!(reached(&commit.root, "/").is_some());
    assert_eq!(Kind::parse("certificate"), None);
}

#[test]
fn a_refusal_stays_in_force_until_another_version_comes() {
    let mut core = core();
    gateway().apply(&mut core, 1);
    Sent::default().broken("route", ROUTE).apply(&mut core, 2);
    let commit = Sent::default().put(OTHER, "k2", backend("other")).apply(&mut core, 3);
    assert!(commit.rejected.is_empty(), "this transaction is not to blame");
    assert_eq!(in_force(&commit), [("route", "Malformed")]);
    let commit = Sent::default().put(ROUTE, "r3", route("/", APP)).apply(&mut core, 4);
    assert!(in_force(&commit).is_empty());
    Sent::default().broken("certificate", "infra/tls").broken("route", ROUTE).apply(&mut core, 5);
    let commit = Sent::default().remove("route", ROUTE).apply(&mut core, 6);
    assert_eq!(in_force(&commit), [("certificate", "UnknownKind")]);
    let commit = Sent::default().remove("certificate", "infra/tls").apply(&mut core, 7);
    assert!(in_force(&commit).is_empty());
    Sent::default().broken("route", ROUTE).apply(&mut core, 8);
    assert!(in_force(&Sent::full().apply(&mut core, 9)).is_empty(), "a full one says everything anew");
}

#[test]
fn a_refused_delta_is_in_force_until_the_whole_comes() {
    let mut core = core();
    gateway().apply(&mut core, 1);
    let commit = Sent::default().delta(APP, "e0", "e2", 3, None).apply(&mut core, 2);
    assert_eq!(in_force(&commit), [("endpoints", "BaseMismatch")]);
    let commit = Sent::default().put(APP, "e2", endpoints([1, 3])).apply(&mut core, 3);
    assert!(in_force(&commit).is_empty());
}

#[test]
fn a_backend_that_comes_heals_the_routes_that_lacked_it() {
    let mut core = core();
    gateway().apply(&mut core, 1);
    let second = "HTTPRoute/shop/s";
    let commit = Sent::default()
        .put(ROUTE, "r2", route("/", OTHER))
        .put(second, "s1", attached("s", [(LISTENER, None)], "/s", OTHER))
        .apply(&mut core, 2);
    let lacking = [("route", "MissingReference"); 2];
    assert_eq!(in_force(&commit), lacking, "one keeps its version, one is new");
    let commit = Sent::default().put(APP, "e2", endpoints([1])).apply(&mut core, 3);
    assert_eq!(in_force(&commit), lacking);
    let commit = Sent::default().put(OTHER, "k1", backend("other")).apply(&mut core, 4);
    assert!(in_force(&commit).is_empty());
}

#[test]
fn a_route_that_loses_its_backend_is_reported() {
    let mut core = core();
    gateway().apply(&mut core, 1);
    let commit = Sent::default().remove("backend", APP).apply(&mut core, 2);
    assert_eq!(
        (reasons(&commit), in_force(&commit)),
        (in_force(&commit), vec![("route", "MissingReference")])
    );
    let keep = || Sent::full().keep("bind", BIND).keep("listener", LISTENER).keep("route", ROUTE);
    assert_eq!(in_force(&keep().apply(&mut core, 3)), [("route", "MissingReference")]);
    let commit = keep().put(APP, "k1", backend("app")).apply(&mut core, 4);
    assert!(in_force(&commit).is_empty());
}

#[test]
fn a_version_that_is_kept_ends_the_wait_of_a_later_one() {
    let mut core = core();
    gateway().apply(&mut core, 1);
    Sent::default().put(ROUTE, "r2", route("/", OTHER)).apply(&mut core, 2);
    let again = Sent::full().keep("bind", BIND).keep("listener", LISTENER).keep("backend", APP);
    let commit = again.keep("route", ROUTE).apply(&mut core, 3);
    assert!(in_force(&commit).is_empty());
    Sent::default().put(OTHER, "k1", backend("other")).apply(&mut core, 4);
    assert_eq!(core.have()["route/HTTPRoute/shop/r"].as_ref(), "r1");
}

#[test]
fn a_change_of_single_endpoints_says_which_and_a_coming_or_going_says_all() {
    let mut core = core();
    let mut changed = |sent: Sent, generation| {
        let commit = sent.apply(&mut core, generation);
        assert!(commit.rejected.is_empty());
        reached(&commit.root, "/x").map(|state| (state.changed.clone(), state.endpoints.len()))
    };
    assert_eq!(changed(gateway(), 1), Some((0..2, 2)));
    assert_eq!(changed(Sent::default().delta(APP, "e1", "e2", 2, None), 2), Some((1..2, 2)));
    assert_eq!(changed(Sent::default().put(APP, "k2", backend("app")), 3), Some((0..0, 2)));
    assert_eq!(changed(Sent::default().delta(APP, "e2", "e3", 3, Some(1)), 4), Some((0..2, 2)));
    assert_eq!(changed(Sent::default().delta(APP, "e3", "e4", 1, None), 5), Some((0..3, 3)));
}

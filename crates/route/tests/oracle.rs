//! The table against a slow matcher that follows the words of the Gateway API, over generated Routes and requests.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use fairlead_route::{
    Attachment, Editor, HeaderLookup, ListenerSpec, MatchSpec, PathMatch, RequestView, RouteSpec, RuleSpec,
    Table,
};
use proptest::prelude::*;
use proptest::sample::select;

const HOSTNAMES: &[&str] = &[
    "example.com",
    "a.example.com",
    "b.a.example.com",
    "*.example.com",
    "*.a.example.com",
    "*.com",
    "*.b.a.example.com",
];
const HOSTS: &[&str] = &[
    "example.com",
    "a.example.com",
    "b.a.example.com",
    "c.b.a.example.com",
    "x.example.com",
    "com",
    "other",
    "",
    ".example.com",
    "10.0.0.1",
];
const CONFIGURED: &[&str] = &["/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "/a/b/c/d", "/%61/b", "/b"];
const PATHS: &[&str] =
    &["/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/a/b/c/d/e", "/ab", "/abc", "/b/a", "/c", "*"];
const VALUES: &[&str] = &["1", "2"];

#[derive(Clone, Debug)]
struct Match {
    exact: bool,
    path: String,
    method: Option<String>,
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct Route {
    created_s: i64,
    name: String,
    attachments: Vec<(usize, Vec<String>)>,
    rules: Vec<Vec<Match>>,
}

#[derive(Clone, Debug)]
struct Request {
    host: String,
    path: String,
    method: String,
    headers: Vec<(String, String)>,
    query: Option<Vec<(String, String)>>,
}

#[derive(Clone, Debug)]
enum Step {
    Listener(usize, Option<String>),
    NoListener(usize),
    Route(usize, Route),
    NoRoute(usize),
}

/// (Route, Rule).
type Taker = (usize, usize);

impl HeaderLookup for Request {
    fn each_value(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        for (_, value) in self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)) {
            visit(value.as_bytes());
        }
    }
}

/// Greater is more specific; none if it does not match. A wildcard stands for any number of labels, but at least
/// one.
fn host_specificity(hostname: Option<&str>, host: &str) -> Option<(bool, usize)> {
    let Some(hostname) = hostname else { return Some((false, 0)) };
    match hostname.strip_prefix('*') {
        None => (hostname == host).then_some((true, hostname.len())),
        Some(suffix) => {
            (host.len() > suffix.len() && host.ends_with(suffix)).then_some((false, hostname.len()))
        }
    }
}

fn path_specificity(spec: &Match, path: &str) -> Option<(bool, usize)> {
    let configured = spec.path.replace("%61", "a");
    if spec.exact {
        return (configured == path).then_some((true, configured.len()));
    }
    let prefix = configured.strip_suffix('/').unwrap_or(&configured);
    if prefix.is_empty() {
        return Some((false, 0));
    }
    let wanted: Vec<&str> = prefix.split('/').collect();
    let given: Vec<&str> = path.split('/').collect();
    given.starts_with(&wanted).then_some((false, prefix.len()))
}

fn first_of_equals(pairs: &[(String, String)], same: fn(&str, &str) -> bool) -> Vec<&(String, String)> {
    let is_first = |i: usize| pairs[..i].iter().all(|(name, _)| !same(name, &pairs[i].0));
    (0..pairs.len()).filter(|&i| is_first(i)).map(|i| &pairs[i]).collect()
}

fn predicates_hold(spec: &Match, request: &Request) -> Option<(bool, usize, usize)> {
    let headers = first_of_equals(&spec.headers, str::eq_ignore_ascii_case);
    let query = first_of_equals(&spec.query, |a, b| a == b);
    let header_holds = |(name, value): &&(String, String)| {
        let lines = request.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let lines: Vec<&str> = lines.map(|(_, value)| value.as_str()).collect();
        !lines.is_empty() && lines.join(",") == *value
    };
    let parameter_holds = |(name, value): &&(String, String)| {
        let given = request.query.iter().flatten().find(|(key, _)| key == name);
        given.is_some_and(|(_, given)| given == value)
    };
    let holds = spec.method.as_ref().is_none_or(|method| *method == request.method)
        && headers.iter().all(header_holds)
        && query.iter().all(parameter_holds);
    holds.then_some((spec.method.is_some(), headers.len(), query.len()))
}

/// What the table holds, and the obvious way to search it: all that matches, then the greatest.
#[derive(Clone, Debug, Default)]
struct Model {
    listeners: BTreeMap<usize, Option<String>>,
    routes: BTreeMap<usize, Route>,
}

impl Model {
    fn apply(&mut self, step: Step) {
        match step {
            Step::Listener(key, hostname) => drop(self.listeners.insert(key, hostname)),
            Step::NoListener(key) => drop(self.listeners.remove(&key)),
            Step::Route(key, route) => drop(self.routes.insert(key, route)),
            Step::NoRoute(key) => drop(self.routes.remove(&key)),
        }
    }

    fn find(&self, request: &Request) -> Option<Taker> {
        let listeners = self.listeners.iter().filter_map(|(key, hostname)| {
            Some((host_specificity(hostname.as_deref(), &request.host)?, Reverse(*key)))
        });
        let (_, Reverse(listener)) = listeners.max()?;
        let mut found = Vec::new();
        for (key, route) in &self.routes {
            let attached = route.attachments.iter().filter(|(to, _)| *to == listener);
            let hosts = attached.flat_map(|(_, hostnames)| {
                let every = hostnames.is_empty().then_some(None);
                hostnames.iter().map(|hostname| Some(hostname.as_str())).chain(every)
            });
            for host in hosts.filter_map(|hostname| host_specificity(hostname, &request.host)) {
                for (rule, matches) in route.rules.iter().enumerate() {
                    for spec in matches {
                        let Some(path) = path_specificity(spec, &request.path) else { continue };
                        let Some(predicates) = predicates_hold(spec, request) else { continue };
                        let order = Reverse((route.created_s, &route.name, *key, rule));
                        found.push(((host, path, predicates, order), (*key, rule)));
                    }
                }
            }
        }
        found.into_iter().max().map(|(_, taker)| taker)
    }

    fn table(&self) -> Table<Taker> {
        let mut editor = Editor::new();
        for (key, hostname) in &self.listeners {
            edit(&mut editor, &Step::Listener(*key, hostname.clone()));
        }
        for (key, route) in &self.routes {
            edit(&mut editor, &Step::Route(*key, route.clone()));
        }
        editor.table()
    }
}

fn name(kind: &str, key: usize) -> Arc<str> {
    format!("{kind}{key}").into()
}

fn match_spec(spec: &Match) -> MatchSpec {
    let path = if spec.exact { PathMatch::Exact } else { PathMatch::Prefix };
    MatchSpec::new(path(spec.path.clone()), spec.method.clone(), spec.headers.clone(), spec.query.clone())
        .expect("a good path")
}

fn edit(editor: &mut Editor<Taker>, step: &Step) {
    match step {
        Step::Listener(key, hostname) => {
            editor.upsert_listener(&ListenerSpec { key: name("listener", *key), hostname: hostname.clone() });
        }
        Step::NoListener(key) => _ = editor.remove_listener(&name("listener", *key)),
        Step::NoRoute(key) => _ = editor.remove_route(&name("route", *key)),
        Step::Route(key, route) => {
            let attachment = |(listener, hostnames): &(usize, Vec<String>)| Attachment {
                listener: name("listener", *listener),
                hostnames: hostnames.clone(),
            };
            let rule = |(rule, matches): (usize, &Vec<Match>)| RuleSpec {
                matches: matches.iter().map(match_spec).collect(),
                action: (*key, rule),
            };
            editor.upsert_route(RouteSpec {
                key: name("route", *key),
                created_s: route.created_s,
                name: route.name.as_str().into(),
                attachments: route.attachments.iter().map(attachment).collect(),
                rules: route.rules.iter().enumerate().map(rule).collect(),
            });
        }
    }
}

fn find(table: &Table<Taker>, request: &Request) -> Option<Taker> {
    let query = request.query.as_ref().map(|parameters| {
        parameters.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    });
    let view = RequestView {
        host: request.host.as_bytes(),
        path: request.path.as_bytes(),
        query: query.as_ref().map(String::as_bytes),
        method: request.method.as_bytes(),
        headers: request,
    };
    table.find(&view).copied()
}

fn text(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(choices).prop_map(str::to_owned)
}

fn pairs(
    names: &'static [&'static str],
    values: &'static [&'static str],
) -> impl Strategy<Value = Vec<(String, String)>> {
    prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec((text(names), text(values)), 1..3)]
}

fn matches() -> impl Strategy<Value = Match> {
    let method = prop::option::weighted(0.2, text(&["GET", "POST"]));
    let headers = pairs(&["x-a", "X-A", "x-b"], &["1", "2", "1,2"]);
    (any::<bool>(), text(CONFIGURED), method, headers, pairs(&["q", "Q", "r"], VALUES))
        .prop_map(|(exact, path, method, headers, query)| Match { exact, path, method, headers, query })
}

fn routes() -> impl Strategy<Value = Route> {
    let hostnames = prop_oneof![1 => Just(vec![]), 1 => prop::collection::vec(text(HOSTNAMES), 1..4)];
    // Most on one Listener, so that they compete.
    let listener = prop_oneof![4 => Just(0usize), 1 => 1..4usize];
    let attachments = prop::collection::vec((listener, hostnames), 0..4);
    let rules = prop::collection::vec(prop::collection::vec(matches(), 0..4), 0..4);
    (0..3i64, text(&["ns/a", "ns/b", "z/a"]), attachments, rules)
        .prop_map(|(created_s, name, attachments, rules)| Route { created_s, name, attachments, rules })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let hostname = prop::option::weighted(0.6, text(HOSTNAMES));
    let step = prop_oneof![
        3 => (0..4usize, hostname).prop_map(|(key, hostname)| Step::Listener(key, hostname)),
        1 => (0..4usize).prop_map(Step::NoListener),
        9 => (0..8usize, routes()).prop_map(|(key, route)| Step::Route(key, route)),
        3 => (0..8usize).prop_map(Step::NoRoute),
    ];
    prop::collection::vec(step, 0..24)
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let query = prop::option::weighted(0.5, pairs(&["q", "Q", "r"], VALUES));
    let methods = text(&["GET", "POST", "PUT"]);
    let request = (text(HOSTS), text(PATHS), methods, pairs(&["x-A", "x-b"], VALUES), query)
        .prop_map(|(host, path, method, headers, query)| Request { host, path, method, headers, query });
    prop::collection::vec(request, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_table_finds_what_the_words_say(steps in steps(), requests in requests()) {
        let mut model = Model::default();
        for step in steps {
            model.apply(step);
        }
        // The Listener that most Routes are on takes what no other one does.
        model.listeners.insert(0, None);
        let table = model.table();
        for request in &requests {
            prop_assert_eq!(find(&table, request), model.find(request), "{:?}", request);
        }
    }

    #[test]
    fn any_way_leads_to_the_same_table(steps in steps(), requests in requests()) {
        let mut model = Model::default();
        let mut editor = Editor::new();
        let mut versions = Vec::new();
        for step in steps {
            edit(&mut editor, &step);
            model.apply(step);
            prop_assert!(editor.table() == model.table(), "{:#?}\n{:#?}", editor.table(), model.table());
            versions.push((editor.table(), model.clone()));
        }
        // Versions that were handed out do not change.
        for (table, model) in versions {
            for request in &requests {
                prop_assert_eq!(find(&table, request), model.find(request));
            }
        }
    }
}

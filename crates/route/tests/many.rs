//! Rules of the Gateway API one by one, and many Routes at once.

use std::sync::Arc;

use fairlead_route::{
    Attachment, Editor, HeaderLookup, ListenerSpec, MatchSpec, PathMatch, RequestView, RouteSpec, RuleSpec,
    Table,
};

struct NoFields;

impl HeaderLookup for NoFields {
    fn each_value(&self, _: &str, _: &mut dyn FnMut(&[u8])) {}
}

fn find<'a>(table: &'a Table<Arc<str>>, host: &str, path: &str) -> Option<&'a str> {
    let (host, path) = (host.as_bytes(), path.as_bytes());
    let view = RequestView { host, path, query: None, method: b"GET", headers: &NoFields };
    table.find(&view).map(|action| &**action)
}

fn route(key: &str, hostnames: &[&str], path: PathMatch) -> RouteSpec<Arc<str>> {
    let spec = MatchSpec::new(path, None, vec![], vec![]).expect("a good path");
    let hostnames = hostnames.iter().map(ToString::to_string).collect();
    RouteSpec {
        key: key.into(),
        created_s: 0,
        name: format!("default/{key}").into(),
        attachments: vec![Attachment { listener: "web".into(), hostnames }],
        rules: vec![RuleSpec { matches: vec![spec], action: key.into() }],
    }
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.into())
}

fn editor() -> Editor<Arc<str>> {
    let mut editor = Editor::new();
    editor.upsert_listener(&ListenerSpec { key: "web".into(), hostname: None });
    editor
}

#[test]
fn a_thousand_routes_on_one_host_come_and_go() {
    let mut editor = editor();
    for i in 0..1_000 {
        editor.upsert_route(route(&format!("r{i}"), &["example.com"], prefix(&format!("/p{i}"))));
    }
    let full = editor.table();
    for i in 0..1_000 {
        let (key, path) = (format!("r{i}"), format!("/p{i}/x"));
        assert_eq!(find(&full, "example.com", &path), Some(&*key));
        assert!(editor.remove_route(&key));
        assert_eq!(find(&editor.table(), "example.com", &path), None);
    }
    assert_eq!(editor.table(), self::editor().table());
    assert_eq!(find(&full, "example.com", "/p999"), Some("r999"), "the old version stays");
}

#[test]
fn a_listener_takes_its_hosts_alone() {
    let mut editor = editor();
    editor.upsert_route(route("everywhere", &[], prefix("/")));
    editor.upsert_listener(&ListenerSpec { key: "foo".into(), hostname: Some("*.Example.com".into()) });
    let table = editor.table();
    assert_eq!(find(&table, "a.b.example.com", "/"), None, "the more specific Listener has no Route");
    assert_eq!(table.listener(b"a.b.example.com").map(|key| &**key), Some("foo"));
    assert_eq!(find(&table, "example.com", "/"), Some("everywhere"), "a wildcard is not the bare domain");
    assert!(editor.remove_listener("foo"));
    assert_eq!(find(&editor.table(), "a.b.example.com", "/"), Some("everywhere"));
}

#[test]
fn routes_wait_for_their_listener() {
    let mut editor = editor();
    assert!(editor.remove_listener("web"));
    editor.upsert_route(route("r", &[], prefix("/")));
    assert_eq!(find(&editor.table(), "h", "/"), None);
    editor.upsert_listener(&ListenerSpec { key: "web".into(), hostname: None });
    assert_eq!(find(&editor.table(), "h", "/"), Some("r"));
}

#[test]
fn a_host_whose_rules_do_not_match_falls_through_to_a_less_specific_one() {
    let mut editor = editor();
    editor.upsert_route(route("exact", &["a.example.com"], PathMatch::Exact("/only".into())));
    editor.upsert_route(route("wildcard", &["*.example.com"], prefix("/w")));
    editor.upsert_route(route("any", &[], prefix("/")));
    let table = editor.table();
    assert_eq!(find(&table, "a.example.com", "/only"), Some("exact"));
    assert_eq!(find(&table, "a.example.com", "/w/x"), Some("wildcard"));
    assert_eq!(find(&table, "a.example.com", "/else"), Some("any"));
}

#[test]
fn prefixes_are_whole_segments() {
    for configured in ["/foo", "/foo/"] {
        let mut editor = editor();
        editor.upsert_route(route("r", &[], prefix(configured)));
        let table = editor.table();
        for path in ["/foo", "/foo/", "/foo/bar"] {
            assert_eq!(find(&table, "h", path), Some("r"), "{path}");
        }
        for path in ["/foobar", "/fo", "/", "/bar/foo", "*"] {
            assert_eq!(find(&table, "h", path), None, "{path}");
        }
    }
}

#[test]
fn a_path_of_many_segments_is_no_trouble() {
    let mut editor = editor();
    editor.upsert_route(route("deep", &[], prefix(&"/a".repeat(500))));
    editor.upsert_route(route("root", &["*.example.com"], prefix("/")));
    editor.upsert_route(route("other", &[], prefix("/")));
    let table = editor.table();
    assert_eq!(find(&table, "h", &"/a".repeat(30_000)), Some("deep"));
    assert_eq!(find(&table, "h", &"/b".repeat(30_000)), Some("other"));
    assert_eq!(find(&table, &"a.".repeat(30_000), "/"), Some("other"));
    assert_eq!(find(&table, &("a.".repeat(30_000) + "example.com"), "/"), Some("root"));
}

//! Prints what a search and an edit cost with 10,000 Routes, on one host and on as many.
//!
//! `cargo run --release -p fairlead-route --example find_cost`

use std::hint::black_box;
use std::time::Instant;

use fairlead_route::{
    Attachment, Editor, HeaderLookup, ListenerSpec, MatchSpec, PathMatch, RequestView, RouteSpec, RuleSpec,
    SpecError,
};

const ROUTES: usize = 10_000;
/// Rounds are short and many, and the best one counts: on a busy machine few run undisturbed.
const ROUNDS: usize = 200;
const SEARCHES: usize = 5_000;
const EDITS: usize = 2_000;

struct NoFields;

impl HeaderLookup for NoFields {
    fn each_value(&self, _: &str, _: &mut dyn FnMut(&[u8])) {}
}

fn route(i: usize, host: &str) -> Result<RouteSpec<usize>, SpecError> {
    let path = PathMatch::Prefix(format!("/team-{}/service-{i}", i % 100));
    Ok(RouteSpec {
        key: format!("route-{i}").into(),
        created_s: 0,
        name: format!("default/route-{i}").into(),
        attachments: vec![Attachment { listener: "web".into(), hostnames: vec![host.to_owned()] }],
        rules: vec![RuleSpec { matches: vec![MatchSpec::new(path, None, vec![], vec![])?], action: i }],
    })
}

fn main() -> Result<(), SpecError> {
    for one_host in [true, false] {
        let host =
            |i: usize| if one_host { "www.example.com".to_owned() } else { format!("h{i}.example.com") };
        let mut editor = Editor::new();
        editor.upsert_listener(&ListenerSpec { key: "web".into(), hostname: None });
        let start = Instant::now();
        for i in 0..ROUTES {
            editor.upsert_route(route(i, &host(i))?);
        }
        let build = start.elapsed();
        let mut table = editor.table();

        let requests: Vec<(String, String)> =
            (0..ROUTES).map(|i| (host(i), format!("/team-{}/service-{i}/items/42", i % 100))).collect();
        let round = |round: usize| {
            let start = Instant::now();
            for i in 0..SEARCHES {
                let (host, path) = &requests[(round * SEARCHES + i) * 7 % ROUTES];
                let (host, path) = (host.as_bytes(), path.as_bytes());
                let view = RequestView { host, path, query: None, method: b"GET", headers: &NoFields };
                black_box(table.find(&view));
            }
            start.elapsed().as_secs_f64() * 1e9 / SEARCHES as f64
        };
        let search = (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min);

        let mut edits = Vec::with_capacity(EDITS);
        for i in 0..EDITS {
            let i = i * 7 % ROUTES;
            let spec = route(i, &host(i))?;
            let start = Instant::now();
            editor.remove_route(&spec.key);
            editor.upsert_route(spec);
            table = editor.table();
            edits.push(start.elapsed().as_secs_f64() * 1e6);
        }
        edits.sort_by(f64::total_cmp);
        black_box(&table);
        println!(
            "{ROUTES} Routes on {}: built in {:.1} ms; search {search:.0} ns; edit and table {:.1} us, p99 {:.0} us",
            if one_host { "one host" } else { "as many hosts" },
            build.as_secs_f64() * 1e3,
            edits[EDITS / 2],
            edits[EDITS * 99 / 100],
        );
    }
    Ok(())
}

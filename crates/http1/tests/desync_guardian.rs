//! The codec against `http_desync_guardian`, by which AWS's load balancers judge requests: its 159 cases, and its
//! verdict over generated messages. Severe and ambiguous requests are never accepted.
//!
//! The cases are read where cargo keeps the published crate; nothing of them is copied here.
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

#[path = "common/generate.rs"]
mod generate;

use std::path::PathBuf;
use std::process::Command;

use fairlead_http1::{HeadCursor, HeadStorage, Limits, Reason, RequestError, RequestHead};
use generate::{broken, request_text};
use http_desync_guardian::RequestSafetyTier as Tier;
use http_desync_guardian::request_analyzer::HttpRequestData;
use proptest::prelude::*;
use yaml_rust2::{Yaml, YamlLoader};

/// Each file of cases, and how many it holds.
const FILES: [(&str, usize); 10] = [
    ("acceptable", 9),
    ("ambiguous", 37),
    ("bad-header-characters", 15),
    ("edge-cases", 8),
    ("more-compliant-tests", 10),
    ("real-life-test-cases", 24),
    ("rfc-compliant", 14),
    ("severe", 27),
    ("single-case", 1),
    ("uri-specific-test-cases", 14),
];

/// A request and what it is rated.
struct Case {
    name: String,
    message: Vec<u8>,
    tier: String,
}

/// The folder of the crate's sources, wherever this build has them from.
fn guardian() -> PathBuf {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = |more: &[&str]| {
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform])
            .args(more)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap()
    };
    let mut output = metadata(&["--offline"]);
    if !output.status.success() {
        // What no test needs, cargo may not have fetched yet.
        output = metadata(&[]);
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let found = packages.iter().find(|package| package["name"] == "http_desync_guardian").unwrap();
    PathBuf::from(found["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

/// The text of a scalar, in which `\x01` and the like stand for characters.
fn text(yaml: &Yaml) -> String {
    let raw = match yaml {
        Yaml::Integer(number) => number.to_string(),
        other => other.as_str().unwrap().to_owned(),
    };
    let mut text = String::new();
    let mut rest = raw.chars();
    while let Some(char) = rest.next() {
        if char != '\\' {
            text.push(char);
            continue;
        }
        text.push(match rest.next().unwrap() {
            'x' => {
                let digits: String = rest.by_ref().take(2).collect();
                char::from(u8::from_str_radix(&digits, 16).unwrap())
            }
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            other => other,
        });
    }
    text
}

fn cases() -> Vec<Case> {
    let folder = guardian().join("tests");
    let mut cases = vec![];
    for (file, count) in FILES {
        let source = std::fs::read_to_string(folder.join(file).with_extension("yaml")).unwrap();
        let documents = YamlLoader::load_from_str(&source).unwrap();
        let found = documents[0].as_vec().unwrap();
        assert_eq!(found.len(), count, "{file}");
        cases.extend(found.iter().map(case));
    }
    cases
}

fn case(yaml: &Yaml) -> Case {
    let mut fields = String::new();
    let mut has_host = false;
    for field in yaml["headers"].as_vec().into_iter().flatten() {
        let name = text(&field["name"]);
        has_host |= name.eq_ignore_ascii_case("host");
        fields.extend([&name, ": ", &text(&field["value"]), "\r\n"]);
    }
    // Nearly all cases lack a Host, which would be reason enough to refuse them.
    let host = if has_host { "" } else { "Host: a\r\n" };
    let [method, uri, version] = ["method", "uri", "version"].map(|part| text(&yaml[part]));
    let message = format!("{method} {uri} {version}\r\n{host}{fields}\r\n").into_bytes();
    let name = yaml["name"].as_str().unwrap().to_owned();
    Case { name, message, tier: yaml["expected"]["tier"].as_str().unwrap().to_owned() }
}

/// None: the head does not end.
fn verdict(message: &[u8]) -> Option<Result<RequestHead, Reason>> {
    let mut storage = HeadStorage::new();
    RequestHead::parse(message, &mut HeadCursor::default(), &mut storage, &Limits::REQUEST)
        .map_err(RequestError::reason)
        .transpose()
}

#[test]
fn of_the_159_cases_no_severe_and_no_ambiguous_one_is_accepted() {
    let cases = cases();
    assert_eq!(cases.len(), 159);
    let of = |tier: &str| cases.iter().filter(|case| case.tier == tier).count();
    assert_eq!((of("Severe"), of("Ambiguous"), of("Acceptable"), of("Compliant")), (58, 58, 15, 28));
    let accepted: Vec<_> = cases
        .iter()
        .filter(|case| matches!(case.tier.as_str(), "Severe" | "Ambiguous"))
        .filter(|case| !matches!(verdict(&case.message), Some(Err(_))))
        .map(|case| &case.name)
        .collect();
    assert!(accepted.is_empty(), "{accepted:?}");
}

#[test]
fn of_the_159_cases_the_compliant_ones_are_refused_by_stricter_rules_only() {
    let (mut accepted, mut refused) = (0, std::collections::BTreeMap::<_, usize>::new());
    for case in cases().iter().filter(|case| case.tier == "Compliant") {
        match verdict(&case.message).unwrap() {
            Ok(_) => accepted += 1,
            Err(reason) => *refused.entry(reason.as_str()).or_default() += 1,
        }
    }
    let stricter = [
        // An empty target, which the guardian leaves to the server behind.
        ("invalid_request_line", 1),
        // A fragment; bytes outside ASCII.
        ("invalid_target", 2),
        // A list with `identity` or of several codings; a parameter.
        ("invalid_transfer_encoding", 6),
        ("underscore_in_field_name", 2),
        // `gzip, chunked`: good, but not decoded here.
        ("unknown_transfer_coding", 1),
    ];
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), stricter);
    assert_eq!(accepted, 16);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_name_that_is_accepted_is_close_to_a_framing_field(
        name in "[-~.!cC]{0,2}(Content[-~.xX]{0,3}Length|Transfer[-~.xX]{0,3}Encoding)[-~.!]{0,2}",
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), "[-~.!a-z]"), 0..4),
    ) {
        let mut name = name.into_bytes();
        for (at, byte) in changes {
            let at = at.index(name.len());
            name[at] = byte.as_bytes()[0];
        }
        let head = [b"POST / HTTP/1.1\r\nHost: a\r\n", &name[..], b": x\r\n\r\n"].concat();
        let Some(Ok(_)) = verdict(&head) else { return Ok(()) };
        let judged = HttpRequestData::analyze_raw_request(&head);
        prop_assert!(judged.tier < Tier::Ambiguous, "{:?}: {:?}", judged.reason, judged.message);
    }

    #[test]
    fn what_is_accepted_is_neither_severe_nor_ambiguous(bytes in broken(request_text())) {
        let Some(Ok(head)) = verdict(&bytes) else { return Ok(()) };
        let judged = HttpRequestData::analyze_raw_request(&bytes[..head.len]);
        prop_assert!(judged.tier < Tier::Ambiguous, "{:?}: {:?}", judged.reason, judged.message);
    }
}

//! The cases of `http_desync_guardian`. They are read where cargo keeps the published crate; nothing of them is copied.

use std::path::PathBuf;
use std::process::Command;

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
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) message: Vec<u8>,
    pub(crate) tier: String,
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

pub(crate) fn cases() -> Vec<Case> {
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

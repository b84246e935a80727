//! What tables are made of.

use std::sync::Arc;

use crate::host::{NAME_MAX, Specificity};
use crate::{Normalised, PathError, normalise_path};

/// Why a part of a Route cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// The path has no normal form.
    Path(PathError),
    /// Not a hostname, nor one with a leading `*.` label.
    Hostname(String),
}

/// A Listener of the Bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSpec {
    /// Its name, unique in the Bind.
    pub key: Arc<str>,
    /// Exact, or with a leading `*.` label; `None` takes every host. Compared without case.
    pub hostname: Option<String>,
}

/// A path predicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Whole segments from the start; a trailing slash does not matter.
    Prefix(String),
}

/// All predicates hold. Made by [`MatchSpec::new`], which brings the path into its normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchSpec {
    pub(crate) path: PathMatch,
    pub(crate) method: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) query: Vec<(String, String)>,
}

impl MatchSpec {
    /// A match of `path`, `method` (with case), `headers` (names without case) and `query` parameters
    /// (with case), all by exact value. Of equal names the first counts.
    pub fn new(
        path: PathMatch,
        method: Option<String>,
        headers: Vec<(String, String)>,
        query: Vec<(String, String)>,
    ) -> Result<Self, SpecError> {
        let path = match path {
            PathMatch::Exact(path) => PathMatch::Exact(normal(path)?),
            PathMatch::Prefix(prefix) => {
                let mut prefix = normal(prefix)?;
                if prefix.ends_with('/') {
                    prefix.pop();
                }
                PathMatch::Prefix(prefix)
            }
        };
        let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
        let headers = first_of_equals(headers.into_iter().map(lower));
        Ok(Self { path, method, headers, query: first_of_equals(query.into_iter()) })
    }

    /// How specific the predicates besides the path are.
    pub(crate) fn specificity(&self) -> Specificity {
        (self.method.is_some(), self.headers.len(), self.query.len())
    }
}

/// Whether `hostname` can match anything: labels of letters, digits and inner hyphens, 253 bytes at most, optionally
/// with a leading `*.` label (gateway.networking.k8s.io/v1 Hostname). An edit takes any; one that
/// is refused here just never matches.
pub fn check_hostname(hostname: &str) -> Result<(), SpecError> {
    let name = hostname.strip_prefix("*.").unwrap_or(hostname);
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_label = |label: &str| {
        label.len() <= 63
            && label.bytes().all(is_inner)
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if hostname.len() <= NAME_MAX && name.split('.').all(is_label) {
        Ok(())
    } else {
        Err(SpecError::Hostname(hostname.to_owned()))
    }
}

fn normal(path: String) -> Result<String, SpecError> {
    let mut out = Vec::new();
    match normalise_path(path.as_bytes(), &mut out).map_err(SpecError::Path)? {
        Normalised::Unchanged => Ok(path),
        // The normal form is ASCII.
        Normalised::Rewritten => Ok(String::from_utf8_lossy(&out).into_owned()),
    }
}

fn first_of_equals(pairs: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = Vec::new();
    for (name, value) in pairs {
        if kept.iter().all(|(other, _)| *other != name) {
            kept.push((name, value));
        }
    }
    kept
}

/// A Rule: any of the matches, then the action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSpec<A> {
    /// Alternatives; none at all matches nothing.
    pub matches: Vec<MatchSpec>,
    /// What [`Table::find`](crate::Table::find) answers.
    pub action: A,
}

/// A Listener that a Route attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The Listener's key. It need not exist yet.
    pub listener: Arc<str>,
    /// Effective hostnames there, exact or with a leading `*.` label; none means every host.
    pub hostnames: Vec<String>,
}

/// A Route with its precedence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec<A> {
    /// Its identity in the table.
    pub key: Arc<str>,
    /// Seconds since the Unix epoch: the older one wins a tie.
    pub created_s: i64,
    /// `NAMESPACE/NAME`, which decides next.
    pub name: Arc<str>,
    /// Where it is attached.
    pub attachments: Vec<Attachment>,
    /// In the Route's order, which decides last.
    pub rules: Vec<RuleSpec<A>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames() {
        for good in ["a", "a.b-c.example.com", "*.example.com", "EXAMPLE.com", "10.example"] {
            assert_eq!(check_hostname(good), Ok(()), "{good}");
        }
        for bad in
            ["", "*", "*.", "*foo.com", "a.*.com", "-a.com", "a-.com", "a..b", "a.b.", "a_b", "a.com:80"]
        {
            assert!(check_hostname(bad).is_err(), "{bad}");
        }
        assert!(check_hostname(&"a".repeat(64)).is_err());
        assert!(check_hostname(&"a.".repeat(127)).is_err());
    }

    #[test]
    fn paths_are_brought_into_normal_form() {
        let path = |path| MatchSpec::new(path, None, vec![], vec![]).map(|spec| spec.path);
        assert_eq!(path(PathMatch::Exact("/%61//b/".into())), Ok(PathMatch::Exact("/a/b/".into())));
        assert_eq!(path(PathMatch::Prefix("/a/".into())), Ok(PathMatch::Prefix("/a".into())));
        assert_eq!(path(PathMatch::Prefix("/".into())), Ok(PathMatch::Prefix(String::new())));
        assert_eq!(path(PathMatch::Exact("/a%2Fb".into())), Err(SpecError::Path(PathError::EncodedSlash)));
        assert_eq!(path(PathMatch::Prefix(String::new())), Err(SpecError::Path(PathError::NotAbsolute)));
    }

    #[test]
    fn of_equal_names_the_first_counts() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![pair("X-A", "1"), pair("x-a", "2"), pair("x-b", "3")];
        let query = vec![pair("q", "1"), pair("Q", "2"), pair("q", "3")];
        let spec = MatchSpec::new(PathMatch::Prefix("/".into()), None, headers, query).unwrap();
        assert_eq!(spec.headers, [pair("x-a", "1"), pair("x-b", "3")]);
        assert_eq!(spec.query, [pair("q", "1"), pair("Q", "2")]);
        assert_eq!(spec.specificity(), (false, 2, 2));
    }
}

//! What tables are made of.

use std::sync::Arc;

use crate::PathError;

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
        _path: PathMatch,
        _method: Option<String>,
        _headers: Vec<(String, String)>,
        _query: Vec<(String, String)>,
    ) -> Result<Self, SpecError> {
        todo!()
    }
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

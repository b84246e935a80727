//! The resources of a Snapshot.
//!
//! Names of resources:
//! * bind: `ADDRESS:PORT` (`[ADDRESS]:PORT` for IPv6)
//! * listener: `NAMESPACE/GATEWAY/LISTENER`
//! * route: `HTTPRoute/NAMESPACE/NAME`
//! * backend: `Service/NAMESPACE/NAME/PORT` (the Service's port number)
//! * endpoints: the name of their backend

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::scalars::{
    self, HashKey, LoadBalancer, MatchType, PathMatchType, Protocol, TargetError, closed_set,
};

closed_set! {
    /// Kinds of resources, in the order in which they are applied; removals go in reverse.
    Kind {
        /// A socket's address and port.
        Bind = "bind",
        /// A Gateway's Listener.
        Listener = "listener",
        /// The endpoints of a Backend.
        Endpoints = "endpoints",
        /// A Service port as a destination.
        Backend = "backend",
        /// One Kubernetes route.
        Route = "route",
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The identity of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// Its name among its kind.
    pub name: Arc<str>,
}

impl Key {
    /// The identity of `name` among `kind`.
    pub fn new(kind: Kind, name: impl Into<Arc<str>>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A socket's address and port, shared by the Listeners that name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// An IP address without brackets.
    pub address: Box<str>,
    /// 1 to 65535.
    #[serde(deserialize_with = "scalars::port")]
    pub port: u16,
    /// What is spoken on it.
    #[serde(default = "Protocol::http", skip_serializing_if = "Protocol::is_http")]
    pub protocol: Protocol,
}

/// A Gateway's Listener: the requests on `bind` whose host matches `hostname` best.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The name of a bind.
    pub bind: Box<str>,
    /// The Gateway's name.
    pub gateway: Box<str>,
    /// The Gateway's namespace.
    pub gateway_namespace: Box<str>,
    /// Exact, or with a leading `*.` label; absent matches every host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Box<str>>,
    /// The Listener's name in its Gateway.
    pub listener: Box<str>,
    /// The port that users see, for forwarded fields; the bind's may differ.
    #[serde(deserialize_with = "scalars::port")]
    pub port: u16,
}

/// A path predicate; `PathPrefix` matches whole segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathMatch {
    /// How it compares.
    pub r#type: PathMatchType,
    /// Starts with `/`.
    pub value: Box<str>,
}

impl Default for PathMatch {
    /// Every path.
    fn default() -> Self {
        Self { r#type: PathMatchType::Prefix, value: "/".into() }
    }
}

impl PathMatch {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A header or query-parameter predicate. Header names compare without case, query names with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMatch {
    /// The field's name.
    pub name: Box<str>,
    /// How it compares.
    #[serde(default = "exact", skip_serializing_if = "is_exact")]
    pub r#type: MatchType,
    /// The value looked for.
    pub value: Box<str>,
}

fn exact() -> MatchType {
    MatchType::Exact
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_exact(value: &MatchType) -> bool {
    *value == MatchType::Exact
}

/// All given predicates hold; an absent one always does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteMatch {
    /// Header predicates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<FieldMatch>,
    /// The request's method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Box<str>>,
    /// The path predicate; by default every path.
    #[serde(default, skip_serializing_if = "PathMatch::is_default")]
    pub path: PathMatch,
    /// Query-parameter predicates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<FieldMatch>,
}

/// One weighted destination of a Rule: a Backend by name, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The name of a Backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Arc<str>>,
    /// Why there is no Backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TargetError>,
    /// 0 to 1,000,000.
    #[serde(deserialize_with = "scalars::weight")]
    pub weight: u32,
}

/// Milliseconds; 0 means no limit, absent means the proxy's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// One attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_request_ms: Option<u64>,
    /// The whole request, repeats included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_ms: Option<u64>,
}

/// One rule: any of the matches, then one of the targets by weight.
///
/// A rule without targets, or with a total weight of 0, answers 500 (`HTTPRouteRule.backendRefs`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Any of them.
    pub matches: Vec<RouteMatch>,
    /// The rule's name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// One of them by weight.
    pub targets: Vec<Target>,
    /// How long a request may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// A Listener that the Route attached to, with the hostnames effective there (none: every host).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The effective hostnames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<Box<str>>,
    /// The name of a listener resource.
    pub listener: Arc<str>,
}

/// One Kubernetes route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where it attached.
    pub attachments: Vec<Attachment>,
    /// `creationTimestamp` in seconds since the Unix epoch: the older Route wins a tie, then namespace/name.
    pub created_s: i64,
    /// The Route's name.
    pub name: Box<str>,
    /// The Route's namespace.
    pub namespace: Box<str>,
    /// Its rules in their order.
    pub rules: Vec<Rule>,
}

/// How a request's key is made, and the table that it is looked up in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistentHash {
    /// The header's name, where it is one that makes the key; a request without it has a random key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Box<str>>,
    /// Slots of the table: a prime of at most 5,000,011.
    #[serde(
        default = "usual_table",
        skip_serializing_if = "is_usual_table",
        deserialize_with = "scalars::table_size"
    )]
    pub table_size: u32,
    /// What the key is made of.
    pub r#type: HashKey,
}

fn usual_table() -> u32 {
    65_537
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_usual_table(value: &u32) -> bool {
    *value == usual_table()
}

/// The effective policy of a Backend; `origins` says which object set each field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Present where `load_balancer` is `ConsistentHash`, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistent_hash: Option<ConsistentHash>,
    /// How an endpoint is chosen.
    #[serde(default = "peak_ewma", skip_serializing_if = "is_peak_ewma")]
    pub load_balancer: LoadBalancer,
    /// Connections to one endpoint over all workers of a proxy, 1 to 2^31-1; absent means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "scalars::limit")]
    pub max_connections_per_endpoint: Option<u32>,
    /// Field name to `KIND/NAMESPACE/NAME`; absent fields hold Fairlead's default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<Box<str>, Box<str>>,
    /// Repeats of a request that was sent and whose connection died before an answer: 0 or 1.
    #[serde(default = "once", skip_serializing_if = "is_once", deserialize_with = "scalars::attempts")]
    pub retry_attempts: u8,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            consistent_hash: None,
            load_balancer: LoadBalancer::PeakEwma,
            max_connections_per_endpoint: None,
            origins: BTreeMap::new(),
            retry_attempts: 1,
        }
    }
}

impl Policy {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn peak_ewma() -> LoadBalancer {
    LoadBalancer::PeakEwma
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_peak_ewma(value: &LoadBalancer) -> bool {
    *value == LoadBalancer::PeakEwma
}

fn once() -> u8 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_once(value: &u8) -> bool {
    *value == 1
}

/// A Service port as a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// The Service's namespace.
    pub namespace: Box<str>,
    /// The effective policy.
    #[serde(default, skip_serializing_if = "Policy::is_default")]
    pub policy: Policy,
    /// The Service's port.
    #[serde(deserialize_with = "scalars::port")]
    pub port: u16,
    /// What its endpoints speak.
    #[serde(default = "Protocol::http", skip_serializing_if = "Protocol::is_http")]
    pub protocol: Protocol,
    /// The Service's name.
    pub service: Box<str>,
}

/// One Pod address and port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// An IP address without brackets.
    pub address: Box<str>,
    /// When it will be gone, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_deadline_s: Option<i64>,
    /// `UID|ADDRESS|PORT|PROTOCOL`: the Pod's UID, or the Service's where no Pod stands behind it.
    pub id: Arc<str>,
    /// The name of the Pod's node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Box<str>>,
    /// `NAMESPACE/NAME` of the Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Box<str>>,
    /// 1 to 65535.
    #[serde(deserialize_with = "scalars::port")]
    pub port: u16,
    /// Takes new requests.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub ready: bool,
    /// Still answers.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub serving: bool,
    /// The Subsets that it is a member of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subsets: Vec<Box<str>>,
    /// Leaves: takes new requests only while it is serving and no endpoint is ready (KEP-1669).
    #[serde(default, skip_serializing_if = "is_no")]
    pub terminating: bool,
    /// 0 to 1,000,000.
    #[serde(default = "one", skip_serializing_if = "is_one", deserialize_with = "scalars::weight")]
    pub weight: u32,
    /// The node's zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Box<str>>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_no(value: &bool) -> bool {
    !*value
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(value: &u32) -> bool {
    *value == 1
}

/// All endpoints of a Backend, sorted by id. Known and possibly empty; unknown ones are not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The members.
    pub endpoints: Vec<Endpoint>,
}

//! Frames: what travels between controller and proxy.
//!
//! A frame on the wire is a 4-byte big-endian length (at most [`crate::MAX_FRAME_BYTES`]) and a msgpack map
//! whose `type` names it.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

use crate::resources::Endpoint;

/// The number of the contract; a proxy refuses another one.
pub const SCHEMA: u32 = 1;

/// The `type` of a frame: takes no space, is written as the frame's name and checked when read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<F>(PhantomData<fn() -> F>);

impl<F> Default for Tag<F> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

pub(crate) trait Tagged {
    const TYPE: &'static str;
}

impl<F: Tagged> Serialize for Tag<F> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(F::TYPE)
    }
}

impl<'de, F: Tagged> Deserialize<'de> for Tag<F> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        if text == F::TYPE {
            Ok(Self::default())
        } else {
            Err(serde::de::Error::custom("another frame type"))
        }
    }
}

/// What a proxy has adopted: a controller's run, and a count of its updates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Milliseconds since the Unix epoch at the controller's start.
    pub epoch: u64,
    /// The update's number in that run.
    pub generation: u64,
}

/// One resource. Without `body` (only in a full update) the proxy keeps the version that it has.
///
/// `kind` stays text here: a kind that this version does not know refuses one resource, not the frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upsert<'a> {
    /// The encoded resource.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub body: Option<&'a Bytes>,
    /// The version.
    pub hash: &'a str,
    /// A [`crate::Kind`].
    pub kind: &'a str,
    /// The resource's name.
    pub name: &'a str,
}

/// A resource that is to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal<'a> {
    /// A [`crate::Kind`].
    pub kind: &'a str,
    /// The resource's name.
    pub name: &'a str,
}

/// Single endpoints of one Backend: from version `base` to version `hash`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointsDelta<'a> {
    /// The version that the delta starts from.
    pub base: &'a str,
    /// The version that it leads to.
    pub hash: &'a str,
    /// The Backend's name.
    pub name: &'a str,
    /// Endpoint ids.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<&'a str>,
    /// New or changed endpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upserts: Vec<Endpoint>,
}

/// A transaction, or a part of one.
///
/// Parts of one transaction share the position; all but the last have `more`. Upserts are applied before
/// removals. A `full` transaction deletes every resource that it does not name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update<'a> {
    /// Changes of single endpoints.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointsDelta<'a>>,
    /// Unix time in milliseconds of the oldest endpoint event, for the propagation histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_ms: Option<i64>,
    /// Deletes what it does not name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
    /// Another part follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Where the transaction leads.
    pub position: Position,
    /// Resources that go.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<Removal<'a>>,
    #[doc(hidden)]
    #[serde(rename = "type")]
    pub tag: Tag<Update<'static>>,
    /// Resources that come or change.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub upserts: Vec<Upsert<'a>>,
}

/// Asks for Telemetry every `period_ms` (0 ends it) for the Backends named, or all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// Names of Backends; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backends: Option<Vec<Box<str>>>,
    /// Milliseconds; 0 ends it.
    pub period_ms: u64,
    #[doc(hidden)]
    #[serde(rename = "type")]
    pub tag: Tag<Subscribe>,
}

/// What the controller counts of one collection that it follows, since its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReflectorStats {
    /// Failed lists and watches, by the error's code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<Box<str>, u64>,
    /// The Kubernetes kind.
    pub kind: Box<str>,
    /// Milliseconds since the local copy was last known to be current; absent: it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync_age_ms: Option<u64>,
    /// Lists begun, the first one included.
    pub relists: u64,
    /// Watch events, without bookmarks.
    pub watch_events: u64,
}

/// The controller's own counters, for the proxy's metrics page. It is no part of any transaction, and no ack answers it:
/// the last one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// One entry per kind that is followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reflectors: Vec<ReflectorStats>,
    #[doc(hidden)]
    #[serde(rename = "type")]
    pub tag: Tag<Stats>,
}

/// A proxy's first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `KIND/NAME` to hash.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub have: BTreeMap<String, Box<str>>,
    /// The proxy's name.
    pub instance: String,
    /// What it has adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// [`SCHEMA`].
    pub schema: u32,
    /// Empty for the whole installation, else `NAMESPACE/GATEWAY`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    #[doc(hidden)]
    #[serde(rename = "type")]
    pub tag: Tag<Hello>,
}

/// One resource that the proxy refused; its last good version, if any, still serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// A [`crate::Kind`], or what was sent in its place.
    pub kind: Box<str>,
    /// What is wrong.
    pub message: String,
    /// The resource's name.
    pub name: Box<str>,
    /// A stable code: [`crate::Reason`].
    pub reason: Box<str>,
}

/// All workers have adopted `position`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// What was adopted.
    pub position: Position,
    /// All that is refused at `position`, whichever update brought it: it replaces what an earlier ack said. A refusal
    /// ends without another version where what it lacked has come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejection>,
    #[doc(hidden)]
    #[serde(rename = "type")]
    pub tag: Tag<Ack>,
}

/// Whether a bind's socket is listening, and if not the system's reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindFact {
    /// Accepts connections.
    pub listening: bool,
    /// The system's reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The bind's name.
    pub name: Box<str>,
}

/// What only the proxy knows: the state of every bind. Sent before the Ack that it belongs to, and on change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Every bind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub binds: Vec<BindFact>,
    #[doc(hidden)]
    #[serde(rename = "type")]
    pub tag: Tag<Facts>,
}

/// Counters of one Endpoint since its start, summed over all workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStats {
    /// The Backend's name.
    pub backend: Box<str>,
    /// Open connections to it.
    pub connections: u64,
    /// Answers of 500 and above, failed dials, resets and timeouts.
    pub failures: u64,
    /// The endpoint's id.
    pub id: Box<str>,
    /// Requests that it has not answered yet.
    pub in_flight: u64,
    /// Response flag and age of the last failure, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_failure: String,
    /// Microseconds.
    pub latency_ewma_us: u64,
    /// Microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub latency_p50_us: u64,
    /// Microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub latency_p99_us: u64,
    /// Attempts sent to it.
    pub requests: u64,
    /// `ready`, `fallback` (serving and terminating), `draining`, `not-ready` or `suspect`.
    pub state: Box<str>,
    /// Answers below 500.
    pub success: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// The counters of the subscribed Backends' Endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Unix time in milliseconds.
    pub at_ms: i64,
    /// One entry per Endpoint and Backend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointStats>,
    #[doc(hidden)]
    #[serde(rename = "type")]
    pub tag: Tag<Telemetry>,
}

macro_rules! tags {
    ($($frame:ty = $text:literal),+ $(,)?) => {
        $(impl Tagged for $frame {
            const TYPE: &'static str = $text;
        })+
    };
}
tags! {
    Update<'static> = "update",
    Subscribe = "subscribe",
    Stats = "stats",
    Hello = "hello",
    Ack = "ack",
    Facts = "facts",
    Telemetry = "telemetry",
}

/// A frame from the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToProxy<'a> {
    /// A transaction or a part of one.
    Update(Update<'a>),
    /// A wish for telemetry.
    Subscribe(Subscribe),
    /// The controller's counters.
    Stats(Stats),
}

/// A frame from a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromProxy {
    /// The first one.
    Hello(Hello),
    /// A position that all workers have adopted.
    Ack(Ack),
    /// The state of every bind.
    Facts(Facts),
    /// Counters.
    Telemetry(Telemetry),
}

impl Update<'_> {
    /// An update that changes nothing but the position.
    pub fn at(position: Position) -> Self {
        Self {
            endpoints: Vec::new(),
            event_ms: None,
            full: false,
            more: false,
            position,
            removals: Vec::new(),
            tag: Tag::default(),
            upserts: Vec::new(),
        }
    }
}

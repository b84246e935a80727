//! Frames into whole transactions.
//!
//! Laws:
//! 1. Every resource is decoded and validated alone; one that is refused becomes a rejection and stays named.
//! 2. Parts of a transaction share the position. A part of another one means that the controller broke the contract.
//! 3. A later part's version of a resource replaces an earlier one's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairlead_snapshot::{
    Endpoint, EndpointsDelta, Key, Kind, Position, Reason, Refusal, Rejection, Resource, Update, Upsert,
    decode_resource,
};

use super::actions;
use super::held::Version;

/// A change of single endpoints, on its own.
#[derive(Debug)]
pub(super) struct Delta {
    pub(super) name: Arc<str>,
    pub(super) base: Box<str>,
    pub(super) hash: Box<str>,
    pub(super) upserts: Vec<Endpoint>,
    pub(super) removals: Vec<Box<str>>,
}

/// All parts of a transaction so far.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) position: Position,
    pub(super) full: bool,
    pub(super) event_ms: Option<i64>,
    pub(super) upserts: BTreeMap<Key, (Version, Resource)>,
    pub(super) deltas: Vec<Delta>,
    pub(super) removals: BTreeSet<Key>,
    /// Kind and name of removed resources that could only be refused.
    pub(super) unknown_removals: Vec<(Box<str>, Box<str>)>,
    /// Named without a body: whatever is held stays.
    pub(super) kept: BTreeSet<Key>,
    pub(super) rejected: Vec<Rejection>,
}

/// The controller broke the contract; the connection is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ContractError(pub(crate) &'static str);

impl Transaction {
    pub(super) fn new(position: Position) -> Self {
        Self { position, ..Self::default() }
    }

    /// Takes one part.
    pub(super) fn add(&mut self, update: Update<'_>) -> Result<(), ContractError> {
        if update.position != self.position {
            return Err(ContractError("a part of another transaction came before the last part of this one"));
        }
        self.full |= update.full;
        self.event_ms = self.event_ms.into_iter().chain(update.event_ms).min();
        for upsert in update.upserts {
            self.upsert(&upsert);
        }
        self.deltas.extend(update.endpoints.into_iter().map(Delta::from));
        for removal in update.removals {
            match Kind::parse(removal.kind) {
                Some(kind) => drop(self.removals.insert(Key::new(kind, removal.name))),
                None => self.unknown_removals.push((removal.kind.into(), removal.name.into())),
            }
        }
        Ok(())
    }

    /// Whether a full transaction names the resource.
    pub(super) fn names(&self, key: &Key) -> bool {
        self.upserts.contains_key(key)
            || self.kept.contains(key)
            || (key.kind == Kind::Endpoints && self.deltas.iter().any(|delta| delta.name == key.name))
    }

    pub(super) fn reject(&mut self, key: &Key, refusal: Refusal) {
        self.rejected.push(rejection(key.kind.as_str(), &key.name, refusal));
    }

    fn upsert(&mut self, upsert: &Upsert<'_>) {
        let Some(kind) = Kind::parse(upsert.kind) else {
            let refusal = Refusal::new(Reason::UnknownKind, "this version does not know the kind");
            self.rejected.push(rejection(upsert.kind, upsert.name, refusal));
            return;
        };
        let key = Key::new(kind, upsert.name);
        let Some(body) = upsert.body else {
            self.kept.insert(key);
            return;
        };
        let valid =
            decode_resource(&key, body).and_then(|resource| actions::check(&resource).map(|()| resource));
        match valid {
            Ok(resource) => {
                let version = Version { hash: upsert.hash.into(), body: Arc::from(&body[..]) };
                self.upserts.insert(key, (version, resource));
            }
            Err(refusal) => {
                self.reject(&key, refusal);
                self.kept.insert(key);
            }
        }
    }
}

impl From<EndpointsDelta<'_>> for Delta {
    fn from(delta: EndpointsDelta<'_>) -> Self {
        Self {
            name: delta.name.into(),
            base: delta.base.into(),
            hash: delta.hash.into(),
            upserts: delta.upserts,
            removals: delta.removals.into_iter().map(Box::from).collect(),
        }
    }
}

fn rejection(kind: &str, name: &str, refusal: Refusal) -> Rejection {
    Rejection {
        kind: kind.into(),
        message: refusal.message,
        name: name.into(),
        reason: refusal.reason.as_str().into(),
    }
}

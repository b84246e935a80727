//! What is refused at present.
//!
//! Laws:
//! 1. A refusal is in force until another version of its resource comes, until the resource goes, or until what it
//!    lacked has come.
//! 2. There is one per resource: the latest.

use std::collections::BTreeMap;

use fairlead_snapshot::{Kind, Reason, Rejection};

/// The refusals in force, by kind and name.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<(Box<str>, Box<str>), Rejection>);

impl Refusals {
    /// These are in force from now on, each in place of an earlier one of its resource.
    pub(super) fn add<'a>(&mut self, rejections: impl IntoIterator<Item = &'a Rejection>) {
        for rejection in rejections {
            self.0.insert((rejection.kind.clone(), rejection.name.clone()), rejection.clone());
        }
    }

    /// Nothing is refused of this resource any more.
    pub(super) fn lift(&mut self, kind: &str, name: &str) {
        if !self.0.is_empty() {
            self.0.remove(&(Box::from(kind), Box::from(name)));
        }
    }

    /// A transaction says everything anew.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn contains(&self, kind: Kind, name: &str) -> bool {
        !self.0.is_empty() && self.0.contains_key(&(Box::from(kind.as_str()), Box::from(name)))
    }

    /// Names of the Routes that lack a Backend.
    pub(super) fn dangling(&self) -> impl Iterator<Item = &str> {
        let lacks = |rejection: &&Rejection| {
            *rejection.kind == *Kind::Route.as_str()
                && *rejection.reason == *Reason::MissingReference.as_str()
        };
        self.0.values().filter(lacks).map(|rejection| &*rejection.name)
    }

    /// All that is in force.
    pub(super) fn all(&self) -> Vec<Rejection> {
        self.0.values().cloned().collect()
    }
}

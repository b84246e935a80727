//! The table and its editor.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::{ListenerSpec, RouteSpec};

/// A request's header fields.
pub trait HeaderLookup {
    /// Calls `visit` with each value of the fields named `name` (given in lower case, compared without case), in
    /// order, without surrounding blanks.
    fn each_value(&self, name: &str, visit: &mut dyn FnMut(&[u8]));
}

/// What of a request decides its Rule.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// Lower case, without port; empty if the request named none.
    pub host: &'a [u8],
    /// In normal form ([`normalise_path`](crate::normalise_path)), without query.
    pub path: &'a [u8],
    /// What follows the `?`.
    pub query: Option<&'a [u8]>,
    /// With case.
    pub method: &'a [u8],
    /// The header fields.
    pub headers: &'a dyn HeaderLookup,
}

/// The Routes of one Bind. Immutable; a clone shares everything.
#[derive(Clone, Debug)]
pub struct Table<A>(PhantomData<A>);

impl<A> Table<A> {
    /// The action of the Rule that takes the request.
    pub fn find(&self, _request: &RequestView<'_>) -> Option<&A> {
        todo!()
    }

    /// The key of the Listener that takes requests for `host` (lower case, without port).
    pub fn listener(&self, _host: &[u8]) -> Option<&Arc<str>> {
        todo!()
    }
}

/// Makes tables, one change at a time. Belongs to the control thread.
#[derive(Debug)]
pub struct Editor<A>(PhantomData<A>);

impl<A: Clone> Default for Editor<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Clone> Editor<A> {
    /// An editor of an empty table.
    pub fn new() -> Self {
        Self(PhantomData)
    }

    /// Adds a Listener, or replaces the one with the same key.
    pub fn upsert_listener(&mut self, _listener: &ListenerSpec) {
        todo!()
    }

    /// Removes a Listener; Routes attached to it wait for its return. Says whether it was there.
    pub fn remove_listener(&mut self, _key: &str) -> bool {
        todo!()
    }

    /// Adds a Route, or replaces the one with the same key.
    pub fn upsert_route(&mut self, _route: RouteSpec<A>) {
        todo!()
    }

    /// Removes a Route. Says whether it was there.
    pub fn remove_route(&mut self, _key: &str) -> bool {
        todo!()
    }

    /// The table as it is now; later edits do not change it.
    pub fn table(&self) -> Table<A> {
        todo!()
    }
}

//! Finds the end of a head.

/// How far the search for the end of a head has come, for one connection. Reset with [`HeadCursor::default`] for the
/// next message; small enough to live in a connection's slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadCursor {
    pub(crate) line: u32,
    pub(crate) checked: u32,
}

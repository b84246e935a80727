//! The budgets of one message. There is no switch that makes the grammar lenient, only these numbers.

/// The most fields that a head, or the trailers of a body, can have, whatever [`Limits::max_fields`] says.
pub const MAX_FIELDS: usize = 256;

/// Budgets of one message; a message above one is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the head, with its empty line. At most `u32::MAX`.
    pub max_head: usize,
    /// Field lines of the head, and as many again of the trailers; capped at [`MAX_FIELDS`].
    pub max_fields: usize,
    /// Bytes of a request-target.
    pub max_target: usize,
    /// Payload bytes of the body.
    pub max_body: u64,
    /// Bytes of all chunk extensions of a body together.
    pub max_chunk_extensions: u32,
    /// Bytes of chunk framing that a body may have beyond four times its payload; this bounds tiny chunks.
    pub max_chunk_overhead: u64,
    /// Bytes of the trailer section.
    pub max_trailers: u32,
    /// Interim (1xx) responses before the final one; 101 is a final one.
    pub max_interim: u8,
}

impl Limits {
    /// Defaults for requests.
    pub const REQUEST: Self = Self {
        max_head: 64 * 1024,
        max_fields: 100,
        max_target: 16 * 1024,
        max_body: u64::MAX,
        max_chunk_extensions: 4 * 1024,
        max_chunk_overhead: 64 * 1024,
        max_trailers: 8 * 1024,
        max_interim: 0,
    };

    /// Defaults for responses: the upstream is trusted with more small chunks, since it may stream events for days.
    pub const RESPONSE: Self =
        Self { max_chunk_overhead: 1024 * 1024, max_trailers: 16 * 1024, max_interim: 8, ..Self::REQUEST };
}

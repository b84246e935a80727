//! Where WebSocket frames end (RFC 6455 §5.2), so that a tunnel can be ended between two of them.
//!
//! Laws: every opcode and flag is accepted, payload is never looked at, and state is a few bytes. A length that no
//! frame may have (above 2^63) loses the boundaries for good: the tracker then never says that it is at one.

/// Follows one direction of a tunnel from its first byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boundary {
    payload: u64,
}

impl Boundary {
    /// At the first byte of the tunnel.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes. Gives the offset in `buf` after the last frame that ends in it, if one does.
    pub fn feed(&mut self, buf: &[u8]) -> Option<usize> {
        let _ = buf;
        None
    }

    /// Whether the bytes so far are whole frames, so that a frame of our own may follow.
    pub fn at_boundary(&self) -> bool {
        self.payload == 0
    }

    /// Whether a Close frame has begun.
    pub fn close_seen(&self) -> bool {
        false
    }
}

//! The head of a response.

use crate::{Framing, HeadCursor, HeadStorage, Limits, Method, RequestHead, ResponseError, Span, Version};

/// What must be known of the request to understand its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestContext {
    /// The request's method: a response to HEAD has no body.
    pub method: Method,
    /// Whether the request, as sent upstream, asks to switch protocols: else 101 is refused.
    pub upgrade: bool,
    /// Interim responses to this request so far.
    pub interim: u8,
}

impl RequestContext {
    /// The context of a request's first response.
    pub const fn of(request: &RequestHead) -> Self {
        Self { method: request.method, upgrade: request.upgrade, interim: 0 }
    }
}

/// A response's head. Spans refer to the slice that was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 599.
    pub status: u16,
    /// The version that the upstream speaks.
    pub version: Version,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the connection may be used again once the body is read to its end and no byte is left over.
    pub keep_alive: bool,
    /// Bytes of the head in the slice.
    pub len: usize,
    pub(crate) reason: Span,
    /// Whether it answers HEAD.
    pub(crate) to_head: bool,
}

impl ResponseHead {
    /// Parses the head at the start of `buf`; `Ok(None)` as in [`RequestHead::parse`].
    pub fn parse(
        buf: &[u8],
        cursor: &mut HeadCursor,
        storage: &mut HeadStorage,
        request: &RequestContext,
        limits: &Limits,
    ) -> Result<Option<Self>, ResponseError> {
        let _ = (buf, cursor, storage, request, limits);
        Ok(None)
    }

    /// 1xx other than 101: another response follows. It is passed on to HTTP/1.1 clients only (RFC 9110 §15.2).
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// 101: what follows the head is the tunnel.
    pub const fn is_switch(&self) -> bool {
        self.status == 101
    }

    /// The reason phrase as sent; may be empty.
    pub fn reason_phrase<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        self.reason.of(buf)
    }

    /// How the body has to reach a client of this version; the least work that is correct.
    pub const fn delivery(&self, client: Version) -> Delivery {
        match (self.framing, client) {
            (Framing::Chunked, Version::Http10) => Delivery::Decode,
            (Framing::UntilClose, Version::Http11) => Delivery::Encode,
            _ => Delivery::AsIs,
        }
    }

    /// Whether the client's connection can persist after this response, delivered so.
    pub const fn ends_without_close(&self, delivery: Delivery) -> bool {
        match delivery {
            Delivery::AsIs => !matches!(self.framing, Framing::UntilClose),
            Delivery::Decode => false,
            Delivery::Encode => true,
        }
    }
}

/// How a response's body reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The bytes that came, with their framing.
    AsIs,
    /// Chunks are decoded, and the end is the end of the connection.
    Decode,
    /// Bytes until close become chunks, see [`write_chunk_head`](crate::write_chunk_head).
    Encode,
}

//! Why a message is refused: one stable code per reason, and the status that answers it.
//!
//! Laws:
//! 1. A code never changes its meaning; counters and access logs carry it.
//! 2. After any refusal the connection that sent the message is closed: where it ends is no longer known.
//! 3. A refused request is answered with [`RequestError::status`], a refused response with 502.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal => $status:literal,)*) => {
        /// Why a message is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, for counters that are laid out once.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code, in snake case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The status that answers a request refused for this reason.
            pub const fn request_status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

reasons! {
    /// A control character (NUL, DEL or another one but HTAB) in the head or in a trailer (RFC 9110 §5.5).
    ControlCharacter = "control_character" => 400,
    /// CR without LF (RFC 9112 §2.2).
    BareCr = "bare_cr" => 400,
    /// LF without CR; RFC 9112 §2.2 would allow to accept it.
    BareLf = "bare_lf" => 400,
    /// A line that begins with a blank: obs-fold, or blanks before the first field (RFC 9112 §2.2, §5.2).
    FoldedLine = "folded_line" => 400,
    /// The head is longer than [`Limits::max_head`](crate::Limits::max_head).
    HeadTooLarge = "head_too_large" => 431,
    /// More fields, in the head or in the trailers, than [`Limits::max_fields`](crate::Limits::max_fields).
    TooManyFields = "too_many_fields" => 431,
    /// The request-target is longer than [`Limits::max_target`](crate::Limits::max_target).
    TargetTooLong = "target_too_long" => 414,
    /// The request line is not `method SP target SP version` (RFC 9112 §3).
    InvalidRequestLine = "invalid_request_line" => 400,
    /// The method is longer than any that is in use (RFC 9112 §3).
    MethodTooLong = "method_too_long" => 501,
    /// CONNECT: this gateway opens no tunnels to places that a client names (RFC 9110 §9.3.6).
    ConnectRefused = "connect_refused" => 501,
    /// PRI, which only opens HTTP/2: some read a request of that name as the preface (RFC 9113 §3.4).
    ReservedMethod = "reserved_method" => 501,
    /// The request-target is none of origin-form, absolute-form, or `*` with OPTIONS (RFC 9112 §3.2).
    InvalidTarget = "invalid_target" => 400,
    /// The version is not `HTTP/DIGIT.DIGIT` (RFC 9112 §2.3).
    InvalidVersion = "invalid_version" => 400,
    /// A well-formed version other than HTTP/1.0 and HTTP/1.1.
    UnsupportedVersion = "unsupported_version" => 505,
    /// No colon, an empty name, a blank before the colon, or a byte that no token may hold (RFC 9112 §5).
    InvalidFieldName = "invalid_field_name" => 400,
    /// An underscore in a request's field name: many applications cannot tell it from a hyphen.
    UnderscoreInFieldName = "underscore_in_field_name" => 400,
    /// A request's field name that spells Content-Length or Transfer-Encoding with other marks between the letters:
    /// who normalises names would find a second framing field.
    LookalikeFieldName = "lookalike_field_name" => 400,
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    MissingHost = "missing_host" => 400,
    /// More than one Host (RFC 9112 §3.2).
    DuplicateHost = "duplicate_host" => 400,
    /// Host, or the authority of an absolute-form target, is not `host [":" port]`.
    InvalidHost = "invalid_host" => 400,
    /// Content-Length is not a plain decimal number below 2^63 without leading zeros (RFC 9110 §8.6).
    InvalidContentLength = "invalid_content_length" => 400,
    /// More than one Content-Length, even if they agree (RFC 9112 §6.3).
    DuplicateContentLength = "duplicate_content_length" => 400,
    /// Content-Length and Transfer-Encoding together (RFC 9112 §6.1).
    AmbiguousFraming = "ambiguous_framing" => 400,
    /// Transfer-Encoding is malformed, given twice, or does not end in one `chunked` (RFC 9112 §6.1).
    InvalidTransferEncoding = "invalid_transfer_encoding" => 400,
    /// A transfer coding before `chunked`: none is implemented (RFC 9112 §6.1).
    UnknownTransferCoding = "unknown_transfer_coding" => 501,
    /// Transfer-Encoding in an HTTP/1.0 message (RFC 9112 §6.1).
    TransferEncodingInHttp10 = "transfer_encoding_in_http10" => 400,
    /// A body on GET, HEAD or TRACE, in any case: it has no meaning, and who does not read it takes it for the next
    /// request (RFC 9110 §9.3.1, §9.3.2, §9.3.8).
    UnexpectedBody = "unexpected_body" => 400,
    /// Connection is not a list of at most 32 tokens (RFC 9110 §7.6.1).
    InvalidConnection = "invalid_connection" => 400,
    /// Expect asks for something other than `100-continue` (RFC 9110 §10.1.1).
    ExpectationFailed = "expectation_failed" => 417,
    /// The body is longer than [`Limits::max_body`](crate::Limits::max_body).
    BodyTooLarge = "body_too_large" => 413,
    /// A chunk size that is not 1 to 16 hexadecimal digits below 2^63 (RFC 9112 §7.1).
    InvalidChunkSize = "invalid_chunk_size" => 400,
    /// A chunk extension that breaks the grammar; blanks around its parts count as breaking it (RFC 9112 §7.1.1).
    InvalidChunkExtension = "invalid_chunk_extension" => 400,
    /// No CRLF after a chunk's size or data (RFC 9112 §7.1).
    InvalidChunkEnd = "invalid_chunk_end" => 400,
    /// Chunk extensions above their budget (RFC 9112 §7.1.1).
    ChunkExtensionsTooLarge = "chunk_extensions_too_large" => 400,
    /// Chunk framing costs out of proportion to the data.
    ChunkOverhead = "chunk_overhead" => 400,
    /// A trailer field that breaks the grammar (RFC 9112 §7.1.2).
    InvalidTrailer = "invalid_trailer" => 400,
    /// A trailer field that would change framing, routing, or trust if a recipient merged it (RFC 9110 §6.5.1).
    ForbiddenTrailer = "forbidden_trailer" => 400,
    /// Trailers above their budget.
    TrailersTooLarge = "trailers_too_large" => 431,
    /// The connection ended before the message did (RFC 9112 §8).
    Truncated = "truncated" => 400,
    /// The status line is malformed; so is a reply without one (RFC 9112 §4).
    InvalidStatusLine = "invalid_status_line" => 400,
    /// A status outside 100 to 599 (RFC 9110 §15).
    InvalidStatus = "invalid_status" => 400,
    /// A 1xx or 204 response that announces a body (RFC 9112 §6.1, RFC 9110 §8.6).
    BodyNotAllowed = "body_not_allowed" => 400,
    /// 101 to a request that did not ask for it, or 101 without Upgrade (RFC 9110 §7.8).
    UnexpectedUpgrade = "unexpected_upgrade" => 400,
    /// More interim responses than [`Limits::max_interim`](crate::Limits::max_interim).
    TooManyInterim = "too_many_interim" => 400,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request is refused: answer with [`status`](Self::status) and close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("request refused: {0}")]
pub struct RequestError(pub Reason);

impl RequestError {
    /// Why.
    pub const fn reason(self) -> Reason {
        self.0
    }

    /// 400, 413, 414, 417, 431, 501 or 505.
    pub const fn status(self) -> u16 {
        self.0.request_status()
    }
}

/// A response is refused: close the upstream connection, never pool it, and answer the client with 502.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("response refused: {0}")]
pub struct ResponseError(pub Reason);

impl ResponseError {
    /// Why.
    pub const fn reason(self) -> Reason {
        self.0
    }

    /// Always 502; of use only while no byte of the response has been sent on.
    pub const fn status(self) -> u16 {
        502
    }
}

/// A body breaks its framing. As a request's it becomes a [`RequestError`], as a response's a [`ResponseError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("body refused: {0}")]
pub struct BodyError(pub Reason);

impl BodyError {
    /// Why.
    pub const fn reason(self) -> Reason {
        self.0
    }
}

impl From<BodyError> for RequestError {
    fn from(error: BodyError) -> Self {
        Self(error.0)
    }
}

impl From<BodyError> for ResponseError {
    fn from(error: BodyError) -> Self {
        Self(error.0)
    }
}

//! Why a frame or a resource is refused.

use std::fmt;

use crate::scalars::closed_set;

closed_set! {
    /// The stable code of a refusal; it reaches status conditions, metrics and the command line.
    Reason {
        /// The bytes are not the msgpack of this kind of resource.
        Malformed = "Malformed",
        /// The kind of resource is not known to this version.
        UnknownKind = "UnknownKind",
        /// A closed set has no such value in this version.
        UnsupportedValue = "UnsupportedValue",
        /// An address does not parse.
        InvalidAddress = "InvalidAddress",
        /// A port is not within 1 to 65535.
        InvalidPort = "InvalidPort",
        /// A weight is above 1,000,000.
        InvalidWeight = "InvalidWeight",
        /// A number of a Backend's policy is out of its range, or its fields do not go together.
        InvalidPolicy = "InvalidPolicy",
        /// A hostname is neither a DNS name nor one behind a `*.` label, or not in lower case.
        InvalidHostname = "InvalidHostname",
        /// A path does not start with `/`, or holds what no request path can hold.
        InvalidPath = "InvalidPath",
        /// A header name, query name, method or value is not one that a request can carry.
        InvalidMatch = "InvalidMatch",
        /// A name is empty, too long, or not the one that its content says.
        InvalidName = "InvalidName",
        /// A target names both a Backend and an error, or neither.
        InvalidTarget = "InvalidTarget",
        /// Two members of one resource have the same identity.
        Duplicate = "Duplicate",
        /// More bytes or members than the limits allow.
        TooLarge = "TooLarge",
        /// A delta starts from another version than the one that is held.
        BaseMismatch = "BaseMismatch",
        /// The resource names another one that is neither held nor part of the transaction.
        MissingReference = "MissingReference",
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One refused resource: a code for programs, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refusal {
    /// The stable code.
    pub reason: Reason,
    /// What is wrong, and where in the resource.
    pub message: String,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// A frame that cannot be read. The connection is of no use afterwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length prefix is above [`crate::MAX_FRAME_BYTES`].
    #[error("a frame of {0} bytes is above the limit")]
    TooLarge(u32),
    /// The payload is not the msgpack of a frame.
    #[error("malformed frame: {0}")]
    Malformed(String),
    /// The `type` is not one that travels in this direction.
    #[error("unknown frame type {0:?}")]
    UnknownType(String),
}

//! The HTTP/1.1 codec: bytes in, events out (RFC 9112, RFC 9110). No sockets, no clock, no allocation per message.
//!
//! Why not hyper: a proxy wants to pass bytes on, not to rebuild them, and to refuse whatever two implementations
//! could read in two ways. Why not httparse: it takes what is refused here (lone LF, names with underscores), so its
//! fields would need a second pass, which costs as much as the first.
//!
//! Laws:
//! 1. **Strict.** Where RFC 9112 lets a recipient repair or refuse, it is refused. There are no lenient switches.
//! 2. **Split invariance.** The same bytes give the same result however they were cut.
//! 3. **One reading.** What is passed on has one framing, written so that no other reading of it exists.
//! 4. **Nothing beyond the message.** Bytes behind a head or a body are never looked at.
//! 5. **Bounded.** Every part of a message has a budget ([`Limits`]); every refusal has a status and a stable code
//!    ([`Reason`]).
//!
//! A request's way through: [`RequestHead::parse`] → routing on [`RequestHead::path`] and [`HeadStorage`] →
//! [`RequestHead::write_to`] → [`BodyReader`]; back: [`ResponseHead::parse`] → [`ResponseHead::delivery`] →
//! [`ResponseHead::write_to`] → [`BodyReader`].
//!
//! ```
//! use fairlead_http1::{HeadCursor, HeadStorage, Limits, RequestEdits, RequestHead};
//!
//! let received = b"GET /a?b HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\n\r\n";
//! let (mut cursor, mut fields) = (HeadCursor::default(), HeadStorage::new());
//! let head = RequestHead::parse(received, &mut cursor, &mut fields, &Limits::REQUEST)?.expect("complete");
//! assert_eq!(head.path(received), b"/a");
//!
//! let mut sent = Vec::new();
//! head.write_to(received, &fields, &mut sent, &RequestEdits::default())?;
//! assert_eq!(sent, b"GET /a?b HTTP/1.1\r\nHost: example.com\r\n\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What the codec leaves to its user, because only the user has the sockets: to close (after a bounded drain) when a
//! response was sent before the request's body was read; never to pool an upstream connection that has bytes left
//! over, that was answered before its request was sent whole, or that speaks unasked; and to keep bytes behind a
//! request with Upgrade back until 101 has come.

mod body;
mod chunked;
mod classify;
mod emit;
mod error;
mod field;
mod head;
mod lanes;
mod limits;
mod request;
mod response;
mod scan;
mod table;
mod target;
pub mod ws;

pub use body::{BodyProgress, BodyReader, BodyStep, LAST_CHUNK, write_chunk_head};
pub use emit::{
    CONTINUE, FieldLine, Forwarded, InvalidEdit, RequestEdits, ResponseEdits, Scheme, Trust, place_in_front,
    write_error,
};
pub use error::{BodyError, Reason, RequestError, ResponseError};
pub use head::{Field, FieldKind, Framing, HeadStorage, Span, Version};
pub use limits::{Limits, MAX_FIELDS};
pub use request::{Method, RequestHead};
pub use response::{Delivery, RequestContext, ResponseHead};
pub use scan::HeadCursor;

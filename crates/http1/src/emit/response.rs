//! The head of a response on its way to the client.

use super::{FieldLine, Kinds, write_added, write_kept};
use crate::head::{FieldKind, Framing, HeadStorage, Version};
use crate::response::{Delivery, ResponseHead};

/// What changes in a response's head on its way to the client.
#[derive(Debug, Clone, Copy)]
pub struct ResponseEdits<'a> {
    /// The client's version. An interim response must not be sent to an HTTP/1.0 client (RFC 9110 §15.2).
    pub client: Version,
    /// Whether the client's connection persists. Ignored where the body ends with the connection.
    pub keep_alive: bool,
    /// How the body is delivered, see [`ResponseHead::delivery`].
    pub delivery: Delivery,
    /// Lines to add.
    pub add: &'a [FieldLine<'a>],
}

impl ResponseHead {
    /// Appends the head for the client to `out`, always as HTTP/1.1 (RFC 9110 §6.2), with the reason as it came.
    /// `buf` and `storage` are those that it was parsed with.
    pub fn write_to(&self, buf: &[u8], storage: &HeadStorage, out: &mut Vec<u8>, edits: &ResponseEdits<'_>) {
        let chunks_for_old = self.framing == Framing::Chunked && edits.client == Version::Http10;
        debug_assert!(!chunks_for_old || edits.delivery == Delivery::Decode, "HTTP/1.0 knows no chunks");
        // Nearly all begin as ours do, and then the status line goes with the fields behind it.
        let as_it_is = self.version == Version::Http11 && buf[12] == b' ';
        if !as_it_is {
            out.extend_from_slice(b"HTTP/1.1 ");
            out.extend_from_slice(&buf[9..12]);
            out.push(b' ');
            out.extend_from_slice(self.reason_phrase(buf));
            out.extend_from_slice(b"\r\n");
        }
        let decoded = edits.delivery == Delivery::Decode;
        let names_protocols = matches!(self.status, 101 | 426);
        let keep = Kinds::of(FieldKind::EndToEnd)
            .with(FieldKind::ContentLength, self.status >= 200 && self.status != 204)
            .with(FieldKind::TransferEncoding, edits.client == Version::Http11 && !decoded)
            .with(FieldKind::Trailer, !decoded)
            .with(FieldKind::Upgrade, names_protocols);
        write_kept(out, buf, as_it_is.then_some(0), &storage.fields, self.len - 2, keep);
        if edits.delivery == Delivery::Encode && self.framing == Framing::UntilClose {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if !self.is_interim() {
            let persists = edits.keep_alive && self.ends_without_close(edits.delivery);
            out.extend_from_slice(match (names_protocols, persists, edits.client) {
                (true, _, _) if self.is_switch() || persists => b"Connection: upgrade\r\n",
                (true, ..) => b"Connection: upgrade, close\r\n",
                (false, true, Version::Http11) => b"",
                (false, true, Version::Http10) => b"Connection: keep-alive\r\n",
                (false, false, _) => b"Connection: close\r\n",
            });
        }
        write_added(out, edits.add);
        out.extend_from_slice(b"\r\n");
    }
}

/// Puts an emitted head in front of the body bytes that begin at `body` in `buf`, over the head that was parsed and
/// the headroom before it, so that both leave in one send. Gives its start, or None where there is no room.
pub fn place_in_front(head: &[u8], buf: &mut [u8], body: usize) -> Option<usize> {
    let start = body.checked_sub(head.len())?;
    buf.get_mut(start..body)?.copy_from_slice(head);
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_goes_in_front_of_the_body_where_there_is_room() {
        let mut buf = *b"....OLD!body";
        assert_eq!(place_in_front(b"HEAD.", &mut buf, 8), Some(3));
        assert_eq!(&buf[3..], b"HEAD.body");
        assert_eq!(place_in_front(b"TOO LONG!", &mut buf, 8), None);
        assert_eq!(place_in_front(b"x", &mut buf, 13), None);
    }
}

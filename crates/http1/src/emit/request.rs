//! The head of a request on its way upstream.

use std::io::Write as _;
use std::net::IpAddr;

use super::{FieldLine, InvalidEdit, Kinds, write_added, write_kept, write_line};
use crate::head::{FieldKind, HeadStorage, Version};
use crate::target::host_len;
use crate::{RequestHead, table};

/// The scheme that the client used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

/// How far the sender of a request is believed in what it says about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Not at all: `Forwarded`, `X-Forwarded-*`, `X-Real-Ip` and `X-Envoy-*` are removed first.
    Nothing,
    /// Its X-Forwarded-For is kept and appended to: a list whose end alone is ours. The others are removed.
    Addresses,
    /// All of it is kept, and X-Forwarded-For appended to. Of fields that have one value only what it says unmistakably:
    /// who says nothing, or two things, is not believed there.
    Everything,
}

/// What the upstream is told about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forwarded {
    /// The sender's address, the last of X-Forwarded-For. IPv4 in IPv6 is written as IPv4.
    pub client: IpAddr,
    /// How far the sender is believed.
    pub trust: Trust,
    /// Sets X-Forwarded-Proto; what a sender says who is believed in everything is kept.
    pub proto: Option<Scheme>,
    /// Sets X-Forwarded-Host to the authority that was asked for, if there is one (HTTP/1.0 need not name any); what a
    /// sender says who is believed in everything is kept.
    pub host: bool,
}

/// What changes in a request's head on its way upstream.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestEdits<'a> {
    /// Replaces the path (normalised or rewritten); the query stays.
    pub path: Option<&'a [u8]>,
    /// Replaces Host.
    pub host: Option<&'a [u8]>,
    /// X-Forwarded-*; None leaves those fields alone.
    pub forwarded: Option<Forwarded>,
    /// Ask the upstream to close afterwards.
    pub close: bool,
    /// Lines to add.
    pub add: &'a [FieldLine<'a>],
}

impl RequestHead {
    /// Appends the head for the upstream to `out`: always HTTP/1.1, in origin-form or `*`, with one Host.
    /// `buf` and `storage` are those that it was parsed with.
    pub fn write_to(
        &self,
        buf: &[u8],
        storage: &HeadStorage,
        out: &mut Vec<u8>,
        edits: &RequestEdits<'_>,
    ) -> Result<(), InvalidEdit> {
        let host_sound = edits.host.is_none_or(|host| host_len(host).is_some());
        if !host_sound || !edits.path.is_none_or(is_path) {
            return Err(InvalidEdit);
        }
        let own_host = edits.host.is_some() || self.absolute || self.authority.is_none();
        // Nearly always nothing changes in the request line, and it goes with the fields behind it.
        let as_it_is = edits.path.is_none() && !own_host && self.version == Version::Http11;
        if !as_it_is {
            self.write_request_line(buf, out, edits.path);
        }
        if own_host {
            let host = edits.host.or(self.authority(buf)).unwrap_or_default();
            write_line(out, b"Host", host);
        }
        let believed = edits.forwarded.is_none_or(|forwarded| forwarded.trust == Trust::Everything);
        let keep = Kinds::of(FieldKind::EndToEnd)
            .with(FieldKind::ContentLength, true)
            .with(FieldKind::TransferEncoding, true)
            .with(FieldKind::Trailer, true)
            .with(FieldKind::Host, !own_host)
            .with(FieldKind::Upgrade, self.upgrade)
            .with(FieldKind::Expect, self.expect_continue)
            .with(FieldKind::XForwardedFor, edits.forwarded.is_none())
            .with(FieldKind::XForwardedProto, edits.forwarded.is_none())
            .with(FieldKind::XForwardedHost, edits.forwarded.is_none())
            .with(FieldKind::Forwarding, believed);
        let run = as_it_is.then_some(self.method_name.start as usize);
        write_kept(out, buf, run, &storage.fields, self.len - 2, keep);
        match (self.upgrade, edits.close) {
            (true, _) => out.extend_from_slice(b"Connection: upgrade\r\n"),
            (false, true) => out.extend_from_slice(b"Connection: close\r\n"),
            (false, false) => {}
        }
        if let Some(forwarded) = &edits.forwarded {
            self.write_forwarded(buf, storage, out, forwarded);
        }
        write_added(out, edits.add);
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn write_request_line(&self, buf: &[u8], out: &mut Vec<u8>, path: Option<&[u8]>) {
        if path.is_none() && !self.absolute {
            out.extend_from_slice(&buf[self.method_name.start as usize..self.target.end as usize]);
        } else {
            out.extend_from_slice(self.method_name(buf));
            out.push(b' ');
            out.extend_from_slice(path.unwrap_or_else(|| self.path(buf)));
            if let Some(query) = self.query(buf) {
                out.push(b'?');
                out.extend_from_slice(query);
            }
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
    }

    fn write_forwarded(&self, buf: &[u8], storage: &HeadStorage, out: &mut Vec<u8>, forwarded: &Forwarded) {
        out.extend_from_slice(b"X-Forwarded-For: ");
        let (mut proto, mut host) = (Claim::None, Claim::None);
        if forwarded.trust != Trust::Nothing {
            let believed = forwarded.trust == Trust::Everything;
            // One line in the order of the hops, for applications that read only one.
            for field in storage.fields.iter().filter(|field| !field.value.is_empty()) {
                let value = field.value.of(buf);
                match field.kind {
                    FieldKind::XForwardedFor => {
                        out.extend_from_slice(value);
                        out.extend_from_slice(b", ");
                    }
                    FieldKind::XForwardedProto if believed => proto = proto.and(value),
                    FieldKind::XForwardedHost if believed => host = host.and(value),
                    _ => {}
                }
            }
        }
        write_address(out, forwarded.client);
        // With the end of the line before: each piece costs as much as its bytes.
        out.extend_from_slice(match (proto, forwarded.proto) {
            (Claim::One(_), _) | (_, None) => b"\r\n",
            (_, Some(Scheme::Http)) => b"\r\nX-Forwarded-Proto: http\r\n",
            (_, Some(Scheme::Https)) => b"\r\nX-Forwarded-Proto: https\r\n",
        });
        if let Claim::One(proto) = proto {
            write_line(out, b"X-Forwarded-Proto", proto);
        }
        let host = match host {
            Claim::One(host) => Some(host),
            _ => self.authority(buf).filter(|_| forwarded.host),
        };
        if let Some(host) = host {
            out.extend_from_slice(b"X-Forwarded-Host: ");
            out.extend_from_slice(host);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// What the lines of a field say that has one value.
#[derive(Debug, Clone, Copy)]
enum Claim<'a> {
    /// Nothing.
    None,
    /// This, each of them.
    One(&'a [u8]),
    /// Different things.
    Several,
}

impl<'a> Claim<'a> {
    /// With another line.
    fn and(self, value: &'a [u8]) -> Self {
        match self {
            Self::None => Self::One(value),
            Self::One(known) if known.eq_ignore_ascii_case(value) => self,
            Self::One(_) | Self::Several => Self::Several,
        }
    }
}

fn is_path(path: &[u8]) -> bool {
    path == b"*" || (path.first() == Some(&b'/') && table::all_target(path) && !path.contains(&b'?'))
}

fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            // Into an array first: the room in `out` is looked at once.
            let (mut text, mut len) = ([b'.'; 16], 0);
            for octet in address.octets() {
                if octet >= 100 {
                    text[len] = b'0' + octet / 100;
                    len += 1;
                }
                if octet >= 10 {
                    text[len] = b'0' + octet / 10 % 10;
                    len += 1;
                }
                text[len] = b'0' + octet % 10;
                len += 2;
            }
            out.extend_from_slice(&text[..len - 1]);
        }
        IpAddr::V6(address) => {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "{address}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_library_writes_them() {
        for text in ["0.0.0.0", "1.20.100.255", "127.0.0.1", "::1", "2001:db8::a:1"] {
            let mut out = Vec::new();
            write_address(&mut out, text.parse().unwrap());
            assert_eq!(out, text.as_bytes());
        }
        let mut out = Vec::new();
        write_address(&mut out, "::ffff:10.0.0.9".parse().unwrap());
        assert_eq!(out, b"10.0.0.9");
    }
}

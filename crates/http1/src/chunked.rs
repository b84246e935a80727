//! The chunked coding as a state machine over single bytes (RFC 9112 §7.1); payload is skipped in runs.
//!
//! Laws:
//! 1. The grammar without any of its tolerances: no blanks in a chunk line, no bare CR or LF.
//! 2. What surrounds the payload has budgets: extensions, the bytes and lines of trailers, and the ratio of framing to
//!    payload (§7.1.1).
//! 3. A trailer cannot say what only a head may say (RFC 9110 §6.5.1), nor what heads are not let say: its name is
//!    compared by hash and by its spelling while it passes. Nor can it be one that Connection names: it would have to end
//!    here.

use crate::classify::Spelling;
use crate::{Limits, MAX_FIELDS, Reason, table};

/// Framing bytes that each payload byte pays for; a chunk of one byte costs five.
const FRAMING_PER_PAYLOAD: u64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    ExtensionNameStart,
    ExtensionName,
    ExtensionValueStart,
    ExtensionValue,
    Quoted,
    QuotedPair,
    AfterQuoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// Reads one chunked body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunked {
    state: State,
    digits: u8,
    /// The size while it is read, then the bytes of the chunk that are still to come.
    left: u64,
    name: Name,
    /// Budgets that are left.
    payload_room: u64,
    overhead_room: u64,
    extension_room: u32,
    trailer_room: u32,
    trailer_lines: u16,
    /// Trailers that end at this hop (RFC 9110 §7.6.1).
    named: Names,
}

/// What the piece that follows the framing bytes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    Trailers,
}

/// Bytes `start..end` of a buffer; those before are framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: Kind,
}

impl Chunked {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: State::Size,
            digits: 0,
            left: 0,
            name: Name::default(),
            payload_room: limits.max_body,
            overhead_room: limits.max_chunk_overhead,
            extension_room: limits.max_chunk_extensions,
            trailer_room: limits.max_trailers,
            trailer_lines: limits.max_fields.min(MAX_FIELDS) as u16,
            named: Names::default(),
        }
    }

    /// The same in a message whose Connection names these.
    pub(crate) fn naming(self, named: Names) -> Self {
        Self { named, ..self }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads framing, and then the run of payload or trailers after it.
    pub(crate) fn read(&mut self, buf: &[u8]) -> Result<Piece, Reason> {
        let mut at = 0;
        while at < buf.len() {
            match self.state {
                State::Data => {
                    let len =
                        usize::try_from(self.left).map_or(buf.len() - at, |left| left.min(buf.len() - at));
                    self.left -= len as u64;
                    self.overhead_room = self.overhead_room.saturating_add(FRAMING_PER_PAYLOAD * len as u64);
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Piece { start: at, end: at + len, kind: Kind::Data });
                }
                State::TrailerStart
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLf
                | State::EndLf => {
                    let start = at;
                    while at < buf.len() && self.state != State::Done {
                        self.trailer(buf[at])?;
                        at += 1;
                    }
                    return Ok(Piece { start, end: at, kind: Kind::Trailers });
                }
                State::Done => break,
                _ => {
                    self.framing(buf[at])?;
                    at += 1;
                }
            }
        }
        Ok(Piece { start: at, end: at, kind: Kind::Data })
    }

    fn framing(&mut self, byte: u8) -> Result<(), Reason> {
        self.overhead_room = self.overhead_room.checked_sub(1).ok_or(Reason::ChunkOverhead)?;
        self.state = match (self.state, byte) {
            (State::Size, byte) if byte.is_ascii_hexdigit() => return self.size_digit(byte),
            (State::Size, _) if self.digits == 0 => return Err(Reason::InvalidChunkSize),
            (State::Size | State::ExtensionName | State::ExtensionValue | State::AfterQuoted, b'\r') => {
                State::SizeLf
            }
            (State::SizeLf, b'\n') => self.chunk_start()?,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.digits = 0;
                State::Size
            }
            (State::DataCr | State::DataLf, _) => return Err(Reason::InvalidChunkEnd),
            (State::SizeLf, _) => return Err(Reason::BareCr),
            (_, b'\n') => return Err(Reason::BareLf),
            (State::Size, b';') => State::ExtensionNameStart,
            (State::Size, _) => return Err(Reason::InvalidChunkSize),
            (_, byte) => return self.extension(byte),
        };
        Ok(())
    }

    fn size_digit(&mut self, byte: u8) -> Result<(), Reason> {
        let value = (byte as char).to_digit(16).map_or(0, u64::from);
        self.digits += 1;
        if self.digits > 16 || self.left > (i64::MAX as u64) >> 4 {
            return Err(Reason::InvalidChunkSize);
        }
        self.left = self.left << 4 | value;
        Ok(())
    }

    fn extension(&mut self, byte: u8) -> Result<(), Reason> {
        self.extension_room = self.extension_room.checked_sub(1).ok_or(Reason::ChunkExtensionsTooLarge)?;
        self.state = match (self.state, byte) {
            (State::ExtensionName | State::ExtensionValue | State::AfterQuoted, b';') => {
                State::ExtensionNameStart
            }
            (State::ExtensionName, b'=') => State::ExtensionValueStart,
            (State::ExtensionValueStart, b'"') => State::Quoted,
            (State::ExtensionNameStart | State::ExtensionName, byte) if table::is_token(byte) => {
                State::ExtensionName
            }
            (State::ExtensionValueStart | State::ExtensionValue, byte) if table::is_token(byte) => {
                State::ExtensionValue
            }
            (State::Quoted, b'"') => State::AfterQuoted,
            (State::Quoted, b'\\') => State::QuotedPair,
            (State::Quoted | State::QuotedPair, byte) if table::is_value(byte) => State::Quoted,
            _ => return Err(Reason::InvalidChunkExtension),
        };
        Ok(())
    }

    /// The line with the size is complete.
    fn chunk_start(&mut self) -> Result<State, Reason> {
        if self.left == 0 {
            return Ok(State::TrailerStart);
        }
        self.payload_room = self.payload_room.checked_sub(self.left).ok_or(Reason::BodyTooLarge)?;
        Ok(State::Data)
    }

    fn trailer(&mut self, byte: u8) -> Result<(), Reason> {
        self.trailer_room = self.trailer_room.checked_sub(1).ok_or(Reason::TrailersTooLarge)?;
        self.state = match (self.state, byte) {
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => State::Done,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::TrailerLf | State::EndLf, _) => return Err(Reason::BareCr),
            (_, b'\n') => return Err(Reason::BareLf),
            (State::TrailerStart, b' ' | b'\t') => return Err(Reason::FoldedLine),
            (State::TrailerStart, byte) if table::is_token(byte) => {
                self.trailer_lines = self.trailer_lines.checked_sub(1).ok_or(Reason::TooManyFields)?;
                self.name = Name::default();
                self.trailer_name(byte)?
            }
            (State::TrailerName, b':') => {
                self.name.check(self.named)?;
                State::TrailerValue
            }
            (State::TrailerName, byte) if table::is_token(byte) => self.trailer_name(byte)?,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, byte) if table::is_value(byte) => State::TrailerValue,
            (State::TrailerValue, _) => return Err(Reason::ControlCharacter),
            _ => return Err(Reason::InvalidTrailer),
        };
        Ok(())
    }

    fn trailer_name(&mut self, byte: u8) -> Result<State, Reason> {
        if byte == b'_' {
            return Err(Reason::UnderscoreInFieldName);
        }
        self.name = self.name.with(byte);
        Ok(State::TrailerName)
    }
}

/// A field name in any case while it passes: its hash (FNV-1a, 64 bits), and what it looks like. An accidental match would
/// only refuse a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name {
    hash: u64,
    /// It begins with `x-forwarded-` or `x-envoy-`.
    forwarding: bool,
    spelling: Spelling,
}

impl Default for Name {
    fn default() -> Self {
        Self { hash: START, forwarding: false, spelling: Spelling::default() }
    }
}

impl Name {
    fn with(self, byte: u8) -> Self {
        let hash = step(self.hash, byte);
        let forwarding = self.forwarding || FORWARDING.contains(&hash);
        Self { hash, forwarding, spelling: self.spelling.with(byte) }
    }

    fn check(self, named: Names) -> Result<(), Reason> {
        if self.forwarding || FORBIDDEN.contains(&self.hash) || named.may_contain(self.hash) {
            Err(Reason::ForbiddenTrailer)
        } else if self.spelling.is_lookalike() {
            Err(Reason::LookalikeFieldName)
        } else {
            Ok(())
        }
    }
}

/// Names of fields in any case, by their hashes. Where there are more than [`FEW`], any name may be among them, which only
/// refuses a message: nobody sends so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Names {
    hashes: [u32; FEW],
    count: u8,
}

const FEW: usize = 4;

impl Names {
    pub(crate) fn add(&mut self, name: &[u8]) {
        if let Some(free) = self.hashes.get_mut(usize::from(self.count)) {
            *free = Self::short(hash(name));
        }
        self.count = self.count.saturating_add(1);
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.count == 0
    }

    fn may_contain(self, hash: u64) -> bool {
        self.hashes.get(..usize::from(self.count)).is_none_or(|hashes| hashes.contains(&Self::short(hash)))
    }

    const fn short(hash: u64) -> u32 {
        (hash ^ hash >> 32) as u32
    }
}

const START: u64 = 0xcbf2_9ce4_8422_2325;

const fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ byte.to_ascii_lowercase() as u64).wrapping_mul(0x0000_0100_0000_01b3)
}

const fn hash(name: &[u8]) -> u64 {
    let mut sum = START;
    let mut at = 0;
    while at < name.len() {
        sum = step(sum, name[at]);
        at += 1;
    }
    sum
}

/// How the names of fields begin in which a hop tells about the client.
const FORWARDING: [u64; 2] = [hash(b"x-forwarded-"), hash(b"x-envoy-")];

/// Framing, routing, request modifiers, authentication, what says how to read the content (RFC 9110 §6.5.1), and what
/// tells about the client.
static FORBIDDEN: [u64; 26] = [
    hash(b"authorization"),
    hash(b"cache-control"),
    hash(b"connection"),
    hash(b"content-encoding"),
    hash(b"content-length"),
    hash(b"content-range"),
    hash(b"content-type"),
    hash(b"cookie"),
    hash(b"expect"),
    hash(b"forwarded"),
    hash(b"host"),
    hash(b"http2-settings"),
    hash(b"keep-alive"),
    hash(b"location"),
    hash(b"max-forwards"),
    hash(b"proxy-authenticate"),
    hash(b"proxy-authorization"),
    hash(b"proxy-connection"),
    hash(b"range"),
    hash(b"set-cookie"),
    hash(b"te"),
    hash(b"trailer"),
    hash(b"transfer-encoding"),
    hash(b"upgrade"),
    hash(b"www-authenticate"),
    hash(b"x-real-ip"),
];

//! What the tests share: short ways to parse, and random cuts.
#![allow(dead_code, reason = "each test file uses a part of it")]

use fairlead_http1::{
    BodyError, BodyReader, Framing, HeadCursor, HeadStorage, Limits, Method, Reason, RequestContext,
    RequestHead, ResponseHead,
};

/// Parses a request that has to be complete or refused.
pub(crate) fn request(buf: &[u8]) -> Result<(RequestHead, HeadStorage), Reason> {
    request_within(buf, &Limits::REQUEST)
}

pub(crate) fn request_within(buf: &[u8], limits: &Limits) -> Result<(RequestHead, HeadStorage), Reason> {
    let mut storage = HeadStorage::new();
    match RequestHead::parse(buf, &mut HeadCursor::default(), &mut storage, limits) {
        Ok(Some(head)) => Ok((head, storage)),
        Ok(None) => panic!("incomplete: {:?}", String::from_utf8_lossy(buf)),
        Err(error) => Err(error.reason()),
    }
}

/// Parses `GET / HTTP/1.1` with these lines after a Host.
pub(crate) fn with_lines(lines: &str) -> Result<(RequestHead, HeadStorage), Reason> {
    request(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n").as_bytes())
}

pub(crate) const GET: RequestContext = RequestContext { method: Method::Get, upgrade: false, interim: 0 };

/// Parses a response that has to be complete or refused.
pub(crate) fn response(buf: &[u8], context: RequestContext) -> Result<(ResponseHead, HeadStorage), Reason> {
    let mut storage = HeadStorage::new();
    match ResponseHead::parse(buf, &mut HeadCursor::default(), &mut storage, context, &Limits::RESPONSE) {
        Ok(Some(head)) => Ok((head, storage)),
        Ok(None) => panic!("incomplete: {:?}", String::from_utf8_lossy(buf)),
        Err(error) => {
            assert_eq!(error.status(), 502);
            Err(error.reason())
        }
    }
}

/// All that a body gives when it comes in these pieces.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub(crate) struct Decoded {
    pub(crate) payload: Vec<u8>,
    pub(crate) trailers: Vec<u8>,
    pub(crate) consumed: usize,
    pub(crate) done: bool,
}

/// Reads `wire` as it comes in pieces that end at `cuts` (ascending).
pub(crate) fn decode(
    framing: Framing,
    limits: &Limits,
    wire: &[u8],
    cuts: &[usize],
) -> Result<Decoded, BodyError> {
    let mut reader = BodyReader::new(framing, limits);
    let mut whole = Decoded { done: reader.is_done(), ..Decoded::default() };
    for &cut in cuts.iter().chain([&wire.len()]) {
        while !whole.done && whole.consumed < cut {
            let piece = &wire[whole.consumed..cut];
            let step = reader.read(piece)?;
            assert!(step.consumed > 0 && step.consumed <= piece.len());
            whole.payload.extend_from_slice(&piece[step.data]);
            whole.trailers.extend_from_slice(&piece[step.trailers]);
            whole.consumed += step.consumed;
            whole.done = step.done;
        }
    }
    assert_eq!(whole.done, reader.is_done());
    Ok(whole)
}

/// Decodes a chunked request body in one piece.
pub(crate) fn chunked(wire: &[u8]) -> Result<Decoded, Reason> {
    decode(Framing::Chunked, &Limits::REQUEST, wire, &[]).map_err(BodyError::reason)
}

/// Parses `buf` as it comes in pieces; the result with the number of bytes at which it was known.
pub(crate) fn request_in_pieces(
    buf: &[u8],
    cuts: &[usize],
    limits: &Limits,
) -> Option<Result<RequestHead, Reason>> {
    let mut storage = HeadStorage::new();
    let mut cursor = HeadCursor::default();
    for &cut in cuts.iter().chain([&buf.len()]) {
        match RequestHead::parse(&buf[..cut], &mut cursor, &mut storage, limits) {
            Ok(None) => {}
            Ok(Some(head)) => return Some(Ok(head)),
            Err(error) => return Some(Err(error.reason())),
        }
    }
    None
}

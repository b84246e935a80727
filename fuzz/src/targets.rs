//! The laws of the HTTP/1.1 codec over any bytes. A target panics where one is broken.
//!
//! The codec's own tests run these over the seeds and over changed seeds, on a stable compiler.
//!
//! Laws:
//! 1. How the bytes are cut never matters. The cuts, the limits and the request that a response belongs to come
//!    from a hash of the bytes, so that a seed is nothing but a message.
//! 2. What is passed on reads the same again, has no line that another reader would end elsewhere, and is read to its
//!    last byte.

use fairlead_http1::{
    BodyError, BodyReader, Framing, HeadCursor, HeadStorage, LAST_CHUNK, Limits, Method, Reason,
    RequestContext, RequestEdits, RequestError, RequestHead, ResponseEdits, ResponseHead, Version,
    write_chunk_head,
};

/// Small enough to be reached by short inputs.
const TIGHT: Limits = Limits {
    max_head: 160,
    max_fields: 6,
    max_target: 12,
    max_body: 30,
    max_chunk_extensions: 8,
    max_chunk_overhead: 24,
    max_trailers: 20,
    max_interim: 2,
};

/// Numbers that depend on the input alone.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(data: &[u8]) -> Self {
        let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(data.iter().fold(0xcbf2_9ce4_8422_2325, step))
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit.max(1)
    }

    fn limits<'a>(&mut self, usual: &'a Limits) -> &'a Limits {
        if self.below(4) == 0 { &TIGHT } else { usual }
    }

    /// Where to cut; the last one is the end.
    pub(crate) fn cuts(&mut self, len: usize) -> Vec<usize> {
        let mut cuts: Vec<_> = match self.below(4) {
            0 => (0..len).collect(),
            _ => (0..self.below(6)).map(|_| self.below(len + 1)).collect(),
        };
        cuts.sort_unstable();
        cuts.push(len);
        cuts
    }
}

/// Lines end with CRLF and nowhere else, and nothing in them could end one.
fn assert_clean(head: &[u8]) {
    let lines = head.strip_suffix(b"\r\n\r\n").expect("an empty line at the end");
    for line in lines.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.is_empty());
        assert!(line.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)));
    }
}

fn read_request(
    data: &[u8],
    cuts: &[usize],
    storage: &mut HeadStorage,
    limits: &Limits,
) -> Option<Result<RequestHead, Reason>> {
    let mut cursor = HeadCursor::default();
    cuts.iter().find_map(|&cut| {
        RequestHead::parse(&data[..cut], &mut cursor, storage, limits)
            .map_err(RequestError::reason)
            .transpose()
    })
}

/// The head of a request, and what goes on of it.
pub fn request_head(data: &[u8]) {
    let mut draw = Draw::new(data);
    let limits = draw.limits(&Limits::REQUEST);
    let cuts = draw.cuts(data.len());
    let mut storage = HeadStorage::new();
    let in_pieces = read_request(data, &cuts, &mut storage, limits);
    let whole = read_request(data, &[data.len()], &mut storage, limits);
    assert_eq!(in_pieces, whole);
    if let Some(Ok(head)) = whole {
        emit(data, &head, &storage);
    }
}

/// The head as it goes upstream, read again.
fn emit(data: &[u8], head: &RequestHead, storage: &HeadStorage) -> Vec<u8> {
    let host = head.authority(data).is_none().then_some(&b"fallback"[..]);
    let mut out = Vec::new();
    let edits = RequestEdits { host, close: head.is_last(), ..RequestEdits::default() };
    head.write_to(data, storage, &mut out, &edits).expect("sound edits");
    assert_clean(&out);
    let mut fields = HeadStorage::new();
    let again =
        read_request(&out, &[out.len()], &mut fields, &Limits::REQUEST).expect("whole").expect("good");
    assert_eq!(again.len, out.len());
    assert_eq!(again.framing, head.framing);
    // No blanks that somebody would have to trim.
    let lines = String::from_utf8_lossy(&out).to_ascii_lowercase();
    match head.framing {
        Framing::Chunked => assert!(lines.contains("\r\ntransfer-encoding: chunked\r\n"), "{lines}"),
        Framing::Length(length) => {
            assert!(lines.contains(&format!("\r\ncontent-length: {length}\r\n")), "{lines}");
        }
        _ => {}
    }
    assert_eq!(again.method_name(&out), head.method_name(data));
    assert_eq!((again.path(&out), again.query(&out)), (head.path(data), head.query(data)));
    assert_eq!(again.authority(&out), head.authority(data).or(host));
    assert_eq!((again.upgrade, again.expect_continue), (head.upgrade, head.expect_continue));
    out
}

/// The head of a response, and what the client gets of it.
pub fn response_head(data: &[u8]) {
    let mut draw = Draw::new(data);
    let limits = draw.limits(&Limits::RESPONSE);
    let cuts = draw.cuts(data.len());
    let method = [Method::Get, Method::Head, Method::Post][draw.below(3)];
    let context = RequestContext { method, upgrade: draw.below(2) == 0, interim: draw.below(3) as u8 };
    let mut storage = HeadStorage::new();
    let mut read = |cuts: &[usize]| {
        let mut cursor = HeadCursor::default();
        cuts.iter().find_map(|&cut| {
            ResponseHead::parse(&data[..cut], &mut cursor, &mut storage, context, limits).transpose()
        })
    };
    let in_pieces = read(&cuts);
    let whole = read(&[data.len()]);
    assert_eq!(in_pieces, whole);
    let Some(Ok(head)) = whole else { return };
    let client = if draw.below(2) == 0 { Version::Http10 } else { Version::Http11 };
    let delivery = head.delivery(client);
    let mut out = Vec::new();
    head.write_to(data, &storage, &mut out, &ResponseEdits { client, keep_alive: true, delivery, add: &[] });
    assert_clean(&out);
    let (mut cursor, mut fields) = (HeadCursor::default(), HeadStorage::new());
    let again = ResponseHead::parse(&out, &mut cursor, &mut fields, context, &Limits::RESPONSE);
    let again = again.expect("good").expect("whole");
    assert_eq!((again.len, again.status), (out.len(), head.status));
    let framing = match (head.framing, client) {
        (Framing::Chunked, Version::Http10) => Framing::UntilClose,
        (Framing::UntilClose, Version::Http11) => Framing::Chunked,
        (framing, _) => framing,
    };
    assert_eq!(again.framing, framing);
}

/// What a body gave: its payload, the bytes that belong to it, and whether it ended.
fn read_body(data: &[u8], cuts: &[usize], mut reader: BodyReader) -> Result<(Vec<u8>, usize, bool), Reason> {
    let (mut payload, mut at) = (Vec::new(), 0);
    for &cut in cuts {
        while !reader.is_done() && at < cut {
            let step = reader.read(&data[at..cut]).map_err(BodyError::reason)?;
            assert!(step.consumed > 0, "no progress");
            payload.extend_from_slice(&data[at..cut][step.data]);
            at += step.consumed;
        }
    }
    Ok((payload, at, reader.is_done()))
}

/// A final response that is good and whole.
pub(crate) struct Final {
    pub(crate) status: u16,
    pub(crate) payload: Vec<u8>,
    /// Bytes stand behind it.
    pub(crate) surplus: bool,
}

/// The final response to a GET on a connection that ends behind the bytes; None: there is no good and whole one.
pub(crate) fn final_response(data: &[u8]) -> Option<Final> {
    let (mut storage, mut start) = (HeadStorage::new(), 0);
    let mut context = RequestContext { method: Method::Get, upgrade: false, interim: 0 };
    loop {
        let rest = &data[start..];
        let mut cursor = HeadCursor::default();
        let head =
            ResponseHead::parse(rest, &mut cursor, &mut storage, context, &Limits::RESPONSE).ok()??;
        start += head.len;
        if head.is_interim() {
            context.interim += 1;
            continue;
        }
        let body = &data[start..];
        let (payload, read, done) = read_body(body, &[body.len()], head.body(&Limits::RESPONSE)).ok()?;
        let whole = Final { status: head.status, payload, surplus: read < body.len() };
        return (done || head.framing == Framing::UntilClose).then_some(whole);
    }
}

/// A chunked body, decoded and encoded again.
pub fn chunks(data: &[u8]) {
    let mut draw = Draw::new(data);
    let limits = draw.limits(&Limits::REQUEST);
    let cuts = draw.cuts(data.len());
    let chunked = |limits: &Limits| BodyReader::new(Framing::Chunked, limits);
    let whole = read_body(data, &[data.len()], chunked(limits));
    assert_eq!(read_body(data, &cuts, chunked(limits)), whole);
    let Ok((payload, _, _)) = whole else { return };
    let mut again = Vec::new();
    for piece in payload.chunks(draw.below(300) + 1) {
        write_chunk_head(&mut again, piece.len());
        again.extend_from_slice(piece);
        again.extend_from_slice(b"\r\n");
    }
    again.extend_from_slice(LAST_CHUNK);
    let roomy = Limits { max_chunk_overhead: u64::MAX, ..Limits::REQUEST };
    assert_eq!(read_body(&again, &[again.len()], chunked(&roomy)), Ok((payload, again.len(), true)));
}

/// A request as it was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) authority: Option<Vec<u8>>,
    pub(crate) body: Vec<u8>,
}

/// All the whole requests at the front, up to the last one of the connection or to an upgrade, and the bytes that go on
/// of them.
fn requests(data: &[u8], cuts: &[usize], limits: &Limits) -> (Vec<Seen>, Vec<u8>, Option<Reason>) {
    read_requests(data, cuts, limits, false)
}

/// The same to a server that knows no other protocol.
pub(crate) fn all_requests(data: &[u8]) -> Vec<Seen> {
    read_requests(data, &[data.len()], &Limits::REQUEST, true).0
}

fn read_requests(
    data: &[u8],
    cuts: &[usize],
    limits: &Limits,
    past_upgrades: bool,
) -> (Vec<Seen>, Vec<u8>, Option<Reason>) {
    let (mut seen, mut upstream, mut start) = (Vec::new(), Vec::new(), 0);
    let mut storage = HeadStorage::new();
    loop {
        let rest = &data[start..];
        let cuts: Vec<_> = cuts.iter().filter(|&&cut| cut >= start).map(|cut| cut - start).collect();
        let head = match read_request(rest, &cuts, &mut storage, limits) {
            None => return (seen, upstream, None),
            Some(Err(reason)) => return (seen, upstream, Some(reason)),
            Some(Ok(head)) => head,
        };
        let body = &rest[head.len..];
        let mut behind: Vec<_> = cuts.iter().filter_map(|cut| cut.checked_sub(head.len)).collect();
        behind.push(body.len());
        let (payload, len, done) = match read_body(body, &behind, head.body(limits)) {
            Err(reason) => return (seen, upstream, Some(reason)),
            Ok(read) => read,
        };
        if !done {
            return (seen, upstream, None);
        }
        upstream.extend(emit(rest, &head, &storage));
        upstream.extend_from_slice(&body[..len]);
        let target = [head.path(rest), b"?", head.query(rest).unwrap_or_default()].concat();
        let authority = head.authority(rest).unwrap_or(b"fallback").to_vec();
        let method = head.method_name(rest).to_vec();
        seen.push(Seen { method, target, authority: Some(authority), body: payload });
        start += head.len + len;
        if !head.keep_alive || (head.upgrade && !past_upgrades) {
            return (seen, upstream, None);
        }
    }
}

/// All that a client sends on one connection: what goes on holds the same requests, and nothing else.
pub fn connection(data: &[u8]) {
    let mut draw = Draw::new(data);
    let limits = draw.limits(&Limits::REQUEST);
    let cuts = draw.cuts(data.len());
    let whole = requests(data, &[data.len()], limits);
    assert_eq!(requests(data, &cuts, limits), whole);
    let (mut left, upstream, _) = whole;
    let mut stream = &upstream[..];
    // An upstream reads one connection, of which a request may be the last.
    while !stream.is_empty() {
        let (seen, _, refused) = requests(stream, &[stream.len()], &Limits::REQUEST);
        assert_eq!(refused, None);
        assert!(!seen.is_empty() && seen.len() <= left.len(), "more or fewer than were sent");
        let rest = left.split_off(seen.len());
        assert_eq!(seen, left);
        left = rest;
        let mut storage = HeadStorage::new();
        for _ in &seen {
            let head =
                read_request(stream, &[stream.len()], &mut storage, &Limits::REQUEST).unwrap().unwrap();
            let body = &stream[head.len..];
            let (_, len, _) = read_body(body, &[body.len()], head.body(&Limits::REQUEST)).unwrap();
            stream = &body[len..];
        }
    }
    assert!(left.is_empty());
}

//! The codec's work for proxied requests, for an instruction counter: parse and emit a request of 9 fields and a
//! response of 6, with a body of 100 bytes. Run it twice with different counts and divide the difference:
//! `valgrind --tool=callgrind target/release/examples/cost 20000`.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use fairlead_http1::{
    BodyReader, Forwarded, HeadCursor, HeadStorage, Limits, RequestContext, RequestEdits, RequestHead,
    ResponseEdits, ResponseHead, Scheme, Trust, Version,
};

const REQUEST: &[u8] = b"GET /api/v1/items/42?view=full HTTP/1.1\r\nHost: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\nAccept: text/html,application/json;q=0.9\r\n\
    Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef\r\n\
    Authorization: Bearer 0123456789abcdef0123456789abcdef\r\nX-Request-Id: 7b1c-42\r\nConnection: keep-alive\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 16:00:00 GMT\r\nServer: app\r\n\
    Content-Type: application/json\r\nContent-Length: 100\r\nCache-Control: no-store\r\nConnection: keep-alive\r\n\r\n";

fn main() {
    let count: u32 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let answer = [RESPONSE, &[b'x'; 100]].concat();
    let (mut fields, mut out) = (HeadStorage::new(), Vec::with_capacity(2048));
    let forwarded = Forwarded {
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 17)),
        trust: Trust::Nothing,
        proto: Some(Scheme::Http),
        host: false,
    };
    let mut written = 0;
    for _ in 0..count {
        out.clear();
        let buf = black_box(REQUEST);
        let parsed = RequestHead::parse(buf, &mut HeadCursor::default(), &mut fields, &Limits::REQUEST);
        let Ok(Some(request)) = parsed else { return eprintln!("request refused: {parsed:?}") };
        let edits = RequestEdits { forwarded: Some(forwarded), ..RequestEdits::default() };
        let emitted = request.write_to(buf, &fields, &mut out, &edits);
        written += black_box(&out).len() * usize::from(emitted.is_ok());

        out.clear();
        let buf = black_box(&answer[..]);
        let context = RequestContext::of(&request);
        let parsed =
            ResponseHead::parse(buf, &mut HeadCursor::default(), &mut fields, context, &Limits::RESPONSE);
        let Ok(Some(response)) = parsed else { return eprintln!("response refused: {parsed:?}") };
        let delivery = response.delivery(Version::Http11);
        let edits = ResponseEdits { client: Version::Http11, keep_alive: true, delivery, add: &[] };
        response.write_to(buf, &fields, &mut out, &edits);
        let mut body = BodyReader::new(response.framing, &Limits::RESPONSE);
        let progress = body.advance(&buf[response.len..]);
        written += black_box(&out).len() + progress.map_or(0, |progress| progress.consumed);
    }
    println!("{count} requests, {written} bytes written");
}

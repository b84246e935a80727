//! The bytes on the wire: what is sent, and just enough parsing to know where an answer ends.

use memchr::memmem;

/// The path whose answer is large.
pub(crate) const LARGE_PATH: &str = "/16k";
/// The path whose answer comes only after a while ([`crate::serve::LATER`]).
pub(crate) const LATER_PATH: &str = "/later";
const LARGE_BODY: usize = 16 << 10;
const SMALL_BODY: usize = 100;
const LENGTH: &[u8] = b"content-length:";
const END: &[u8] = b"\r\n\r\n";

/// A request of about 420 bytes: the host and six fields more.
pub(crate) fn request(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\n\
         host: {host}\r\n\
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
         accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
         accept-language: en-GB,en;q=0.7,de;q=0.3\r\n\
         accept-encoding: gzip, deflate, br, zstd\r\n\
         cookie: session=6d1f7f0c5e7b4b0e9f6f8a7b6c5d4e3f; theme=light; seen=1; lang=en-GB; tz=UTC\r\n\
         x-request-tag: 0123456789abcdef0123456789abcdef\r\n\r\n"
    )
    .into_bytes()
}

/// An answer: a head of about 190 bytes and the body.
fn response(body: usize) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\n\
         server: fairlead-load\r\n\
         date: Mon, 23 Nov 2026 12:00:00 GMT\r\n\
         content-type: text/plain; charset=utf-8\r\n\
         content-length: {body}\r\n\
         cache-control: max-age=60\r\n\
         etag: \"5f3c-1a2b3c4d\"\r\n\r\n"
    )
    .into_bytes();
    bytes.resize(bytes.len() + body, b'x');
    bytes
}

/// The answers of the backend.
#[derive(Debug)]
pub(crate) struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { small: response(SMALL_BODY), large: response(LARGE_BODY) }
    }
}

impl Answers {
    /// The answer to a GET with this head.
    pub(crate) fn to(&self, head: &[u8]) -> &[u8] {
        if asks_for(head, LARGE_PATH) { &self.large } else { &self.small }
    }
}

/// Whether a GET's target begins with the path.
pub(crate) fn asks_for(head: &[u8], path: &str) -> bool {
    head.get(b"GET ".len()..).is_some_and(|target| target.starts_with(path.as_bytes()))
}

/// The length of the head that `bytes` begin with, the empty line included, if it is whole.
pub(crate) fn head_length(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, END).map(|at| at + END.len())
}

/// What a response's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status is 200.
    pub(crate) ok: bool,
    /// The body's length; without one the answer cannot be measured.
    pub(crate) length: Option<usize>,
}

impl Answer {
    /// Reads a whole head.
    pub(crate) fn parse(head: &[u8]) -> Self {
        let ok = head.get(b"HTTP/1.1 ".len()..).is_some_and(|rest| rest.starts_with(b"200"));
        let mut length = None;
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', head) {
            let line = &head[start..end];
            start = end + 1;
            if line.len() > LENGTH.len() && line[..LENGTH.len()].eq_ignore_ascii_case(LENGTH) {
                length =
                    std::str::from_utf8(&line[LENGTH.len()..]).ok().and_then(|text| text.trim().parse().ok());
            }
        }
        Self { ok, length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_sizes_of_the_method() {
        let request = request("bench.test", "/");
        assert!((410..=430).contains(&request.len()), "{}", request.len());
        assert_eq!(head_length(&request), Some(request.len()));
        let answers = Answers::default();
        for (path, body) in [("/", SMALL_BODY), (LARGE_PATH, LARGE_BODY)] {
            let answer = answers.to(format!("GET {path} HTTP/1.1").as_bytes());
            let head = head_length(answer).unwrap();
            assert!((180..=200).contains(&head), "{head}");
            assert_eq!(Answer::parse(&answer[..head]), Answer { ok: true, length: Some(body) });
            assert_eq!(answer.len(), head + body);
        }
    }

    #[test]
    fn names_are_read_in_any_case_and_other_statuses_seen() {
        let answer = Answer::parse(b"HTTP/1.1 503 No\r\nContent-Length:  17 \r\n\r\n");
        assert_eq!(answer, Answer { ok: false, length: Some(17) });
        assert_eq!(Answer::parse(b"HTTP/1.1 200 OK\r\n\r\n"), Answer { ok: true, length: None });
    }
}

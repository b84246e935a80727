//! A second reading of RFC 9112 for request heads: slow, plain, and on text. It decides what the codec has to accept.

use std::net::Ipv6Addr;

/// What a good head says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) head: usize,
    pub(crate) chunked: bool,
    pub(crate) length: Option<u64>,
    pub(crate) keep_alive: bool,
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// None: refused. Bytes must hold the empty line that ends the head.
pub(crate) fn judge(bytes: &[u8]) -> Option<Verdict> {
    let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let end = start + bytes[start..].windows(4).position(|window| window == b"\r\n\r\n")?;
    // Latin-1, so that every byte is a character.
    let text: String = bytes[start..end].iter().map(|&byte| byte as char).collect();
    let mut lines = text.split("\r\n");
    if text.replace("\r\n", "").chars().any(|char| char != '\t' && (char < ' ' || char == '\x7f')) {
        return None;
    }
    let parts: Vec<&str> = lines.next()?.split(' ').collect();
    let [method, target, version] = parts[..] else { return None };
    if !is_token(method)
        || matches!(method, "CONNECT" | "PRI")
        || method.len() > 24
        || !matches!(version, "HTTP/1.0" | "HTTP/1.1")
    {
        return None;
    }
    let old = version == "HTTP/1.0";
    if !is_target(target, method) {
        return None;
    }
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if !is_token(name) || name.contains('_') || is_lookalike(name) {
            return None;
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])));
    }
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(known, _)| known == name).map(|&(_, value)| value).collect()
    };
    match all("host")[..] {
        [host] if is_authority(host) => {}
        [] if old => {}
        _ => return None,
    }
    let chunked = match all("transfer-encoding")[..] {
        [] => false,
        [coding] if coding.eq_ignore_ascii_case("chunked") && !old => true,
        _ => return None,
    };
    let length = match all("content-length")[..] {
        [] => None,
        [text] if !chunked => {
            let length: u64 = text.parse().ok()?;
            if length.to_string() != text || length >= 1 << 63 {
                return None;
            }
            Some(length)
        }
        _ => return None,
    };
    let bodiless = ["GET", "HEAD", "TRACE"].contains(&method.to_ascii_uppercase().as_str());
    if bodiless && (chunked || length.is_some_and(|length| length > 0)) {
        return None;
    }
    match all("expect")[..] {
        _ if old => {}
        [] => {}
        [expectation] if expectation.eq_ignore_ascii_case("100-continue") => {}
        _ => return None,
    }
    let options = all("connection").join(",").to_ascii_lowercase();
    let options: Vec<&str> = options.split(',').map(|option| option.trim_matches([' ', '\t'])).collect();
    if options.len() > 32 || options.iter().any(|option| !option.is_empty() && !is_token(option)) {
        return None;
    }
    let keep_alive = !options.contains(&"close") && (!old || options.contains(&"keep-alive"));
    let latin = |text: &str| text.chars().map(|char| char as u8).collect();
    let fields = fields.iter().map(|(name, value)| (latin(name), latin(value))).collect();
    Some(Verdict { head: end + 4, chunked, length, keep_alive, fields })
}

fn is_lookalike(name: &str) -> bool {
    let spelt: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    [("content-length", 7), ("transfer-encoding", 8)].iter().any(|&(known, hyphen)| {
        let plain = known.replace('-', "");
        let mut without = spelt.clone();
        if spelt.len() > hyphen {
            without.remove(hyphen);
        }
        let begins = [spelt.as_str(), &without].iter().any(|text| plain.starts_with(text));
        name.len() >= known.len() && !name.eq_ignore_ascii_case(known) && !spelt.is_empty() && begins
    })
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|char| char.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(char))
}

fn is_target(target: &str, method: &str) -> bool {
    if !target.chars().all(|char| char.is_ascii_graphic() && !"\"#<>".contains(char)) {
        return false;
    }
    let lower = target.to_ascii_lowercase();
    let rest = lower.strip_prefix("http://").or(lower.strip_prefix("https://"));
    match rest {
        Some(rest) => is_authority(rest.split(['/', '?']).next().unwrap_or_default()),
        None => target.starts_with('/') || (target == "*" && method == "OPTIONS"),
    }
}

fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.rfind(':') {
        Some(at) if !authority[at..].contains(']') => (&authority[..at], Some(&authority[at + 1..])),
        _ => (authority, None),
    };
    let port_sound = port.is_none_or(|port| {
        port.len() <= 5
            && port.chars().all(|char| char.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let name = host.strip_suffix('.').unwrap_or(host);
    let name_sound = host.len() <= 255
        && name.split('.').all(|label| {
            !label.is_empty() && label.chars().all(|char| char.is_ascii_alphanumeric() || "-_".contains(char))
        });
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    port_sound && (name_sound || literal.is_some_and(|literal| literal.parse::<Ipv6Addr>().is_ok()))
}

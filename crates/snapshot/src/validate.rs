//! What a resource must be like, beyond its types.
//!
//! Each check names the field in its message; the first one that fails decides.

use std::net::{IpAddr, SocketAddr};

use crate::decode::Resource;
use crate::error::{Reason, Refusal};
use crate::resources::{
    Backend, Bind, ConsistentHash, Endpoint, Endpoints, FieldMatch, Kind, Listener, Policy, Route,
    RouteMatch, Rule, Target,
};
use crate::scalars::{HashKey, LoadBalancer, Protocol};

const MAX_NAME_BYTES: usize = 1024;
const MAX_WEIGHT: u32 = 1_000_000;
const MAX_BODY_BYTES: usize = 1 << 20;
const MAX_ENDPOINTS_BYTES: usize = 32 << 20;
const MAX_ENDPOINTS: usize = 100_000;
const MAX_RULES: usize = 1024;
const MAX_MATCHES: usize = 1024;
const MAX_TARGETS: usize = 1024;
const MAX_FIELDS: usize = 64;
const MAX_ATTACHMENTS: usize = 1024;
const MAX_HOSTNAMES: usize = 1024;
const MAX_HOSTNAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;
const MAX_VALUE_BYTES: usize = 4096;
const MAX_RETRY_ATTEMPTS: u8 = 1;
const MAX_TABLE_SIZE: u32 = 5_000_011;

type Checked = Result<(), Refusal>;

fn refuse<T>(reason: Reason, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(reason, message))
}

fn at_most(what: &str, count: usize, limit: usize) -> Checked {
    if count > limit {
        refuse(Reason::TooLarge, format!("{what}: {count} is above the limit of {limit}"))
    } else {
        Ok(())
    }
}

pub(crate) fn size(kind: Kind, body: &[u8]) -> Checked {
    let limit = if kind == Kind::Endpoints { MAX_ENDPOINTS_BYTES } else { MAX_BODY_BYTES };
    at_most("encoded bytes", body.len(), limit)
}

/// A resource is named as its content says; Endpoints are named after their Backend, which they do not repeat.
pub(crate) fn key(given: &str, resource: &Resource) -> Checked {
    name("name", given)?;
    let expected = match resource {
        Resource::Bind(bind) => SocketAddr::new(address("address", &bind.address)?, bind.port).to_string(),
        Resource::Listener(it) => format!("{}/{}/{}", it.gateway_namespace, it.gateway, it.listener),
        Resource::Endpoints(_) => return Ok(()),
        Resource::Backend(it) => format!("Service/{}/{}/{}", it.namespace, it.service, it.port),
        Resource::Route(it) => format!("HTTPRoute/{}/{}", it.namespace, it.name),
    };
    if given == expected {
        Ok(())
    } else {
        refuse(Reason::InvalidName, format!("{expected} is named {given:?}"))
    }
}

pub(crate) fn bind(bind: &Bind) -> Checked {
    address("address", &bind.address)?;
    port("port", bind.port)?;
    let Protocol::Http = bind.protocol;
    Ok(())
}

pub(crate) fn listener(listener: &Listener) -> Checked {
    if listener.bind.parse::<SocketAddr>().is_err() {
        return refuse(Reason::InvalidAddress, format!("bind: {:?} is not ADDRESS:PORT", listener.bind));
    }
    port("port", listener.port)?;
    if let Some(host) = &listener.hostname {
        hostname("hostname", host)?;
    }
    for text in [&listener.gateway_namespace, &listener.gateway, &listener.listener] {
        name("gateway, gateway_namespace, listener", text)?;
    }
    Ok(())
}

pub(crate) fn backend(backend: &Backend) -> Checked {
    port("port", backend.port)?;
    policy(&backend.policy)?;
    let Protocol::Http = backend.protocol;
    name("namespace", &backend.namespace)?;
    name("service", &backend.service)
}

fn policy(policy: &Policy) -> Checked {
    at_most("policy.origins", policy.origins.len(), MAX_FIELDS)?;
    if policy.max_connections_per_endpoint == Some(0) {
        let message = format!("policy.max_connections_per_endpoint is not within 1 to {}", i32::MAX);
        return refuse(Reason::InvalidPolicy, message);
    }
    if policy.retry_attempts > MAX_RETRY_ATTEMPTS {
        let message = format!("policy.retry_attempts is not within 0 to {MAX_RETRY_ATTEMPTS}");
        return refuse(Reason::InvalidPolicy, message);
    }
    match (policy.load_balancer, &policy.consistent_hash) {
        (LoadBalancer::ConsistentHash, Some(hash)) => consistent_hash(hash),
        (LoadBalancer::ConsistentHash, None) => {
            refuse(Reason::InvalidPolicy, "policy.consistent_hash is missing")
        }
        (_, None) => Ok(()),
        (other, Some(_)) => {
            let message = format!("policy.consistent_hash is of no use to {}", other.as_str());
            refuse(Reason::InvalidPolicy, message)
        }
    }
}

fn consistent_hash(hash: &ConsistentHash) -> Checked {
    let is_prime = |number: u32| {
        let mut divisors = (2..).take_while(|divisor| divisor * divisor <= number);
        number >= 2 && !divisors.any(|divisor| number.is_multiple_of(divisor))
    };
    if hash.table_size > MAX_TABLE_SIZE || !is_prime(hash.table_size) {
        let message = format!(
            "policy.consistent_hash.table_size is not a prime of at most {MAX_TABLE_SIZE}: {}",
            hash.table_size
        );
        return refuse(Reason::InvalidPolicy, message);
    }
    match (hash.r#type, &hash.header) {
        (HashKey::Header, Some(name)) if is_token(name) => Ok(()),
        (HashKey::SourceIp, None) => Ok(()),
        (HashKey::Header, _) => {
            refuse(Reason::InvalidPolicy, "policy.consistent_hash.header is not a field name")
        }
        (HashKey::SourceIp, Some(_)) => {
            refuse(Reason::InvalidPolicy, "policy.consistent_hash.header is of no use to SourceIP")
        }
    }
}

pub(crate) fn endpoints(endpoints: &mut Endpoints) -> Checked {
    at_most("endpoints", endpoints.endpoints.len(), MAX_ENDPOINTS)?;
    for endpoint in &endpoints.endpoints {
        validate_endpoint(endpoint)?;
    }
    endpoints.endpoints.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    match endpoints.endpoints.windows(2).find(|pair| pair[0].id == pair[1].id) {
        Some(pair) => refuse(Reason::Duplicate, format!("endpoint {:?} comes twice", pair[0].id)),
        None => Ok(()),
    }
}

/// One endpoint, alone or of a delta.
pub fn validate_endpoint(endpoint: &Endpoint) -> Checked {
    name("endpoint id", &endpoint.id)?;
    // Which one it is is written only where it is refused: there are many.
    fields_of(endpoint).map_err(|refusal| Refusal {
        message: format!("endpoint {:?}: {}", endpoint.id, refusal.message),
        ..refusal
    })
}

fn fields_of(endpoint: &Endpoint) -> Checked {
    if address("address", &endpoint.address)?.is_unspecified() {
        return refuse(Reason::InvalidAddress, "address is unspecified");
    }
    port("port", endpoint.port)?;
    weight("weight", endpoint.weight)?;
    at_most("subsets", endpoint.subsets.len(), MAX_FIELDS)?;
    for text in [&endpoint.node, &endpoint.pod, &endpoint.zone].into_iter().flatten() {
        at_most("label bytes", text.len(), MAX_NAME_BYTES)?;
    }
    Ok(())
}

pub(crate) fn route(route: &Route) -> Checked {
    name("namespace", &route.namespace)?;
    name("name", &route.name)?;
    at_most("attachments", route.attachments.len(), MAX_ATTACHMENTS)?;
    for attachment in &route.attachments {
        name("attachments.listener", &attachment.listener)?;
        at_most("attachments.hostnames", attachment.hostnames.len(), MAX_HOSTNAMES)?;
        for host in &attachment.hostnames {
            hostname("attachments.hostnames", host)?;
        }
    }
    at_most("rules", route.rules.len(), MAX_RULES)?;
    for (index, each) in route.rules.iter().enumerate() {
        rule(each).map_err(|refusal| Refusal {
            message: format!("rules[{index}].{}", refusal.message),
            ..refusal
        })?;
    }
    Ok(())
}

fn rule(rule: &Rule) -> Checked {
    at_most("matches", rule.matches.len(), MAX_MATCHES)?;
    rule.matches.iter().try_for_each(route_match)?;
    at_most("targets", rule.targets.len(), MAX_TARGETS)?;
    rule.targets.iter().try_for_each(target)
}

fn route_match(each: &RouteMatch) -> Checked {
    path("path", &each.path.value)?;
    if let Some(method) = &each.method
        && !is_token(method)
    {
        return refuse(Reason::InvalidMatch, format!("method: {method:?} is not a method"));
    }
    at_most("headers", each.headers.len(), MAX_FIELDS)?;
    at_most("query", each.query.len(), MAX_FIELDS)?;
    for header in &each.headers {
        if !is_token(&header.name) {
            return refuse(Reason::InvalidMatch, format!("headers: {:?} is not a field name", header.name));
        }
        field_value("headers", header)?;
    }
    for parameter in &each.query {
        if parameter.name.is_empty() || parameter.name.len() > MAX_VALUE_BYTES {
            return refuse(Reason::InvalidMatch, "query: a name is empty or too long");
        }
        field_value("query", parameter)?;
    }
    Ok(())
}

fn field_value(what: &str, field: &FieldMatch) -> Checked {
    at_most(what, field.value.len(), MAX_VALUE_BYTES)?;
    if field.value.bytes().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        return refuse(
            Reason::InvalidMatch,
            format!("{what}: the value of {:?} holds NUL, CR or LF", field.name),
        );
    }
    Ok(())
}

fn target(target: &Target) -> Checked {
    weight("targets.weight", target.weight)?;
    match (&target.backend, target.error) {
        (Some(backend), None) => name("targets.backend", backend),
        (None, Some(_)) => Ok(()),
        _ => refuse(Reason::InvalidTarget, "targets: a target has either a backend or an error"),
    }
}

fn name(what: &str, text: &str) -> Checked {
    if text.is_empty() || text.len() > MAX_NAME_BYTES || text.bytes().any(|byte| byte.is_ascii_control()) {
        return refuse(
            Reason::InvalidName,
            format!("{what}: {:?} is empty, too long or not printable", clip(text)),
        );
    }
    Ok(())
}

fn address(what: &str, text: &str) -> Result<IpAddr, Refusal> {
    text.parse()
        .or_else(|_| refuse(Reason::InvalidAddress, format!("{what}: {:?} is not an IP address", clip(text))))
}

fn port(what: &str, port: u16) -> Checked {
    if port == 0 { refuse(Reason::InvalidPort, format!("{what} is not within 1 to 65535")) } else { Ok(()) }
}

fn weight(what: &str, weight: u32) -> Checked {
    if weight > MAX_WEIGHT {
        return refuse(Reason::InvalidWeight, format!("{what} is not within 0 to {MAX_WEIGHT}"));
    }
    Ok(())
}

/// A DNS name in lower case, or one behind a single leading `*.` label (Gateway API, `Hostname`).
fn hostname(what: &str, text: &str) -> Checked {
    let plain = text.strip_prefix("*.").unwrap_or(text);
    let valid = text.len() <= MAX_HOSTNAME_BYTES
        && plain.split('.').all(|label| {
            (1..=MAX_LABEL_BYTES).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        });
    if valid {
        Ok(())
    } else {
        refuse(Reason::InvalidHostname, format!("{what}: {:?} is not a hostname", clip(text)))
    }
}

fn path(what: &str, text: &str) -> Checked {
    let valid = text.starts_with('/')
        && text.len() <= MAX_VALUE_BYTES
        && !text.bytes().any(|byte| byte <= b' ' || byte == 0x7f || matches!(byte, b'?' | b'#'));
    if valid {
        Ok(())
    } else {
        refuse(Reason::InvalidPath, format!("{what}: {:?} is not a path", clip(text)))
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// At most a line of what was sent, for messages.
fn clip(text: &str) -> &str {
    match text.char_indices().nth(100) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

//! A small world for tests: resources by short names, and updates that own what they are made of.

use std::net::SocketAddr;

use fairlead_balance::Micros;
use fairlead_route::HeaderLookup;
use fairlead_snapshot::{
    Attachment, Backend, Bind, Endpoint, Endpoints, EndpointsDelta, Listener, PathMatch, PathMatchType,
    Policy, Position, Protocol, Removal, Resource, Route, RouteMatch, Rule, Target, Update, Upsert,
    encode_resource,
};

use super::core::{Commit, Core};
use crate::config::TimeoutsConfig;

pub(super) const APP: &str = "Service/shop/app/80";
pub(super) const OTHER: &str = "Service/shop/other/80";
pub(super) const BIND: &str = "127.0.0.2:8080";
pub(super) const LISTENER: &str = "infra/edge/http";
pub(super) const ROUTE: &str = "HTTPRoute/shop/r";
pub(super) const NOW: Micros = Micros(1_000_000);

/// Name, base, hash, upserts, removals.
type Delta = (String, &'static str, &'static str, Vec<Endpoint>, Vec<String>);

/// An update that owns what it is made of.
#[derive(Default)]
pub(super) struct Sent {
    upserts: Vec<(&'static str, String, String, Option<Vec<u8>>)>,
    pub(super) deltas: Vec<Delta>,
    removals: Vec<(&'static str, String)>,
    full: bool,
    more: bool,
}

impl Sent {
    pub(super) fn full() -> Self {
        Self { full: true, ..Self::default() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "what is put is given away")]
    pub(super) fn put(mut self, name: &str, hash: &str, resource: Resource) -> Self {
        let body = encode_resource(&resource);
        let kind = match resource {
            Resource::Bind(_) => "bind",
            Resource::Listener(_) => "listener",
            Resource::Endpoints(_) => "endpoints",
            Resource::Backend(_) => "backend",
            Resource::Route(_) => "route",
        };
        self.upserts.push((kind, name.to_owned(), hash.to_owned(), Some(body)));
        self
    }

    pub(super) fn keep(mut self, kind: &'static str, name: &str) -> Self {
        self.upserts.push((kind, name.to_owned(), String::new(), None));
        self
    }

    pub(super) fn broken(mut self, kind: &'static str, name: &str) -> Self {
        self.upserts.push((kind, name.to_owned(), "broken".to_owned(), Some(vec![0x81])));
        self
    }

    pub(super) fn remove(mut self, kind: &'static str, name: &str) -> Self {
        self.removals.push((kind, name.to_owned()));
        self
    }

    pub(super) fn delta(
        mut self,
        name: &str,
        base: &'static str,
        hash: &'static str,
        put: u8,
        removed: Option<u8>,
    ) -> Self {
        let removals = removed.map(|number| endpoint(number).id.to_string()).into_iter().collect();
        self.deltas.push((name.to_owned(), base, hash, vec![endpoint(put)], removals));
        self
    }

    /// Both; of two words on one resource the later one counts.
    pub(super) fn and(mut self, later: Self) -> Self {
        self.upserts.extend(later.upserts);
        self
    }

    pub(super) fn part(mut self) -> Self {
        self.more = true;
        self
    }

    pub(super) fn take(&self, core: &mut Core, generation: u64) -> Option<Commit> {
        let mut update = Update::at(Position { epoch: 1, generation });
        (update.full, update.more) = (self.full, self.more);
        update.upserts = self
            .upserts
            .iter()
            .map(|(kind, name, hash, body)| Upsert {
                body: body.as_deref().map(serde_bytes::Bytes::new),
                hash,
                kind,
                name,
            })
            .collect();
        update.endpoints = self
            .deltas
            .iter()
            .map(|(name, base, hash, upserts, removals)| EndpointsDelta {
                base,
                hash,
                name,
                removals: removals.iter().map(String::as_str).collect(),
                upserts: upserts.clone(),
            })
            .collect();
        update.removals = self.removals.iter().map(|(kind, name)| Removal { kind, name }).collect();
        core.take(update, NOW).expect("the contract is kept")
    }

    pub(super) fn apply(&self, core: &mut Core, generation: u64) -> Commit {
        self.take(core, generation).expect("the last part")
    }
}

pub(super) fn core() -> Core {
    Core::new(2, TimeoutsConfig::default())
}

pub(super) fn bind() -> Resource {
    bind_at(BIND)
}

pub(super) fn bind_at(name: &str) -> Resource {
    let address: SocketAddr = name.parse().unwrap();
    Resource::Bind(Bind {
        address: address.ip().to_string().into(),
        port: address.port(),
        protocol: Protocol::Http,
    })
}

pub(super) fn listener(hostname: Option<&str>) -> Resource {
    listener_of(LISTENER, BIND, hostname)
}

pub(super) fn listener_of(name: &str, bind: &str, hostname: Option<&str>) -> Resource {
    Resource::Listener(Listener {
        bind: bind.into(),
        gateway: "edge".into(),
        gateway_namespace: "infra".into(),
        hostname: hostname.map(Box::from),
        listener: name.rsplit('/').next().unwrap().into(),
        port: 80,
    })
}

pub(super) fn endpoint(number: u8) -> Endpoint {
    Endpoint {
        address: format!("10.0.0.{number}").into(),
        drain_deadline_s: None,
        id: format!("uid{number}|10.0.0.{number}|80|TCP").into(),
        node: None,
        pod: Some(format!("shop/pod-{number}").into()),
        port: 80,
        ready: true,
        serving: true,
        subsets: Vec::new(),
        terminating: false,
        weight: 1,
        zone: None,
    }
}

pub(super) fn endpoints(numbers: impl IntoIterator<Item = u8>) -> Resource {
    Resource::Endpoints(Endpoints { endpoints: numbers.into_iter().map(endpoint).collect() })
}

pub(super) fn backend(service: &str) -> Resource {
    Resource::Backend(Backend {
        namespace: "shop".into(),
        policy: Policy::default(),
        port: 80,
        protocol: Protocol::Http,
        service: service.into(),
    })
}

pub(super) fn route(path: &str, target: &str) -> Resource {
    attached("r", [(LISTENER, None)], path, target)
}

pub(super) fn attached<'a>(
    name: &str,
    attachments: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    path: &str,
    target: &str,
) -> Resource {
    let attachment = |(listener, host): (&str, Option<&str>)| Attachment {
        hostnames: host.map(Box::from).into_iter().collect(),
        listener: listener.into(),
    };
    let path = PathMatch { r#type: PathMatchType::Prefix, value: path.into() };
    Resource::Route(Route {
        attachments: attachments.into_iter().map(attachment).collect(),
        created_s: 0,
        name: name.into(),
        namespace: "shop".into(),
        rules: vec![Rule {
            matches: vec![RouteMatch { path, ..RouteMatch::default() }],
            name: None,
            targets: vec![Target { backend: Some(target.into()), error: None, weight: 1 }],
            timeouts: None,
        }],
    })
}

/// A gateway with one route to one Backend with two endpoints.
pub(super) fn gateway() -> Sent {
    Sent::full()
        .put(BIND, "b1", bind())
        .put(LISTENER, "l1", listener(None))
        .put(APP, "e1", endpoints([1, 2]))
        .put(APP, "k1", backend("app"))
        .put(ROUTE, "r1", route("/", APP))
}

/// A request without header fields.
pub(super) struct NoHeaders;

impl HeaderLookup for NoHeaders {
    fn each_value(&self, _name: &str, _visit: &mut dyn FnMut(&[u8])) {}
}

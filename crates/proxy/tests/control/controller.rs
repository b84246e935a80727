//! A controller in the test's hands, behind a Unix socket, and a whole proxy that connects to it.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use fairlead_proxy::ProxyConfig;
use fairlead_proxy::internals::{Phase, Running, start};
use fairlead_snapshot::{
    Ack, Facts, FrameReader, FromProxy, Hello, Position, Resource, ToProxy, Update, Upsert,
    decode_from_proxy, encode_resource, encode_to_proxy,
};

use super::support::{Client, PATIENCE};

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder of the test's own; removed when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("fairlead-control-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn config(&self) -> ProxyConfig {
        ProxyConfig {
            workers: Some(2),
            access_log: false,
            stream_socket: Some(self.0.join("stream")),
            state_file: Some(self.0.join("last-good")),
            ready_file: Some(self.0.join("ready")),
            ..ProxyConfig::default()
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the health server said.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

/// A running proxy; stopped when dropped.
pub(crate) struct Proxy(Option<Running>);

impl Proxy {
    pub(crate) fn start(config: ProxyConfig) -> Self {
        Self(Some(start(config).unwrap()))
    }

    fn running(&self) -> &Running {
        self.0.as_ref().unwrap()
    }

    /// Where health is served.
    pub(crate) fn address(&self) -> SocketAddr {
        self.running().health()
    }

    /// A GET of the health server.
    pub(crate) fn health(&self, path: &str) -> Answer {
        let response = Client::connect(self.running().health()).get(path);
        Answer { status: response.status, text: response.text() }
    }

    /// The value of a series without labels, or of one given with its labels.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let page = self.health("/metrics").text;
        page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.shared().advance(Phase::Stopped);
            assert_eq!(running.wait(), 0, "the proxy stopped in order");
        }
    }
}

/// The listening side.
pub(crate) struct Controller(UnixListener);

impl Controller {
    pub(crate) fn listen(folder: &Folder) -> Self {
        let path = folder.0.join("stream");
        let _ = std::fs::remove_file(&path);
        Self(UnixListener::bind(path).unwrap())
    }

    /// The proxy's next connection, its hello and its first facts.
    pub(crate) fn accept(&self) -> (Session, Hello, Facts) {
        let (stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut session = Session { stream, reader: FrameReader::new() };
        let FromProxy::Hello(hello) = session.next() else { panic!("the first frame is hello") };
        let FromProxy::Facts(facts) = session.next() else { panic!("then come the facts") };
        (session, hello, facts)
    }
}

/// One connection of a proxy.
pub(crate) struct Session {
    stream: UnixStream,
    reader: FrameReader,
}

impl Session {
    pub(crate) fn next(&mut self) -> FromProxy {
        self.try_next().expect("a frame")
    }

    /// `None` when the proxy has closed the connection.
    pub(crate) fn try_next(&mut self) -> Option<FromProxy> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(payload) = self.reader.next_frame().unwrap() {
                return Some(decode_from_proxy(payload).unwrap());
            }
            match self.stream.read(&mut buffer).unwrap() {
                0 => return None,
                count => self.reader.push(&buffer[..count]),
            }
        }
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, frame: &ToProxy<'_>) {
        self.send_bytes(&encode_to_proxy(frame));
    }

    /// Sends resources as one update, and waits for its ack; the facts that come before it are given along.
    pub(crate) fn update(
        &mut self,
        generation: u64,
        full: bool,
        resources: &[(String, Resource)],
    ) -> (Vec<Facts>, Ack) {
        let bodies: Vec<Vec<u8>> = resources.iter().map(|(_, resource)| encode_resource(resource)).collect();
        let mut update = Update::at(Position { epoch: 1, generation });
        update.full = full;
        for ((name, resource), body) in resources.iter().zip(&bodies) {
            let kind = kind(resource);
            update.upserts.push(Upsert { body: Some(serde_bytes::Bytes::new(body)), hash: "h", kind, name });
        }
        self.send(&ToProxy::Update(update));
        self.ack()
    }

    /// The next ack, and the facts that came before it.
    pub(crate) fn ack(&mut self) -> (Vec<Facts>, Ack) {
        let mut facts = Vec::new();
        loop {
            match self.next() {
                FromProxy::Facts(each) => facts.push(each),
                FromProxy::Ack(ack) => return (facts, ack),
                other => panic!("{other:?}"),
            }
        }
    }
}

fn kind(resource: &Resource) -> &'static str {
    match resource {
        Resource::Bind(_) => "bind",
        Resource::Listener(_) => "listener",
        Resource::Endpoints(_) => "endpoints",
        Resource::Backend(_) => "backend",
        Resource::Route(_) => "route",
    }
}

/// A Gateway on one bind with one route to one Backend, named after `name`.
pub(crate) fn gateway(name: &str, bind: SocketAddr, endpoint: SocketAddr) -> Vec<(String, Resource)> {
    use fairlead_snapshot::{
        Attachment, Backend, Bind, Endpoint, Endpoints, Listener, Policy, Protocol, Route, RouteMatch, Rule,
        Target,
    };
    let backend = format!("Service/shop/{name}/80");
    let listener = format!("infra/{name}/http");
    let endpoint = Endpoint {
        address: endpoint.ip().to_string().into(),
        drain_deadline_s: None,
        id: format!("uid|{}|{}|TCP", endpoint.ip(), endpoint.port()).into(),
        node: None,
        pod: Some(format!("shop/{name}-1").into()),
        port: endpoint.port(),
        ready: true,
        serving: true,
        subsets: Vec::new(),
        terminating: false,
        weight: 1,
        zone: None,
    };
    let rule = Rule {
        matches: vec![RouteMatch::default()],
        name: None,
        targets: vec![Target { backend: Some(backend.as_str().into()), error: None, weight: 1 }],
        timeouts: None,
    };
    vec![
        (
            bind.to_string(),
            Resource::Bind(Bind {
                address: bind.ip().to_string().into(),
                port: bind.port(),
                protocol: Protocol::Http,
            }),
        ),
        (
            listener.clone(),
            Resource::Listener(Listener {
                bind: bind.to_string().into(),
                gateway: name.into(),
                gateway_namespace: "infra".into(),
                hostname: None,
                listener: "http".into(),
                port: 80,
            }),
        ),
        (backend.clone(), Resource::Endpoints(Endpoints { endpoints: vec![endpoint] })),
        (
            backend,
            Resource::Backend(Backend {
                namespace: "shop".into(),
                policy: Policy::default(),
                port: 80,
                protocol: Protocol::Http,
                service: name.into(),
            }),
        ),
        (
            format!("HTTPRoute/shop/{name}"),
            Resource::Route(Route {
                attachments: vec![Attachment { hostnames: Vec::new(), listener: listener.as_str().into() }],
                created_s: 0,
                name: name.into(),
                namespace: "shop".into(),
                rules: vec![rule],
            }),
        ),
    ]
}

/// An address of loopback that nobody listens on. Each is a host of its own, so that none is given twice.
pub(crate) fn free_address() -> SocketAddr {
    static GIVEN: AtomicU8 = AtomicU8::new(1);
    let host = Ipv4Addr::new(127, 0, 99, GIVEN.fetch_add(1, Ordering::Relaxed));
    std::net::TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
}

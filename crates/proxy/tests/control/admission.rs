//! Connections above a limit, and a process without descriptors: refused at once, while health still answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::controller::{Controller, Folder, Proxy, free_address, gateway};
use crate::support::{self, Backend, Client, wait_until};

/// Clients that were served on a connection that they keep.
fn served(address: SocketAddr, count: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..count).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    clients
}

/// Health says that all is well, and counts what was refused.
fn health_answers(proxy: &Proxy, reason: &str, count: f64) {
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(proxy.health(path).status, 200, "{path}");
    }
    let series = format!("fairlead_http_requests_refused_total{{reason=\"{reason}\"}}");
    assert_eq!(proxy.metric(&series), Some(count));
}

#[test]
fn at_the_limit_of_all_connections_the_next_is_refused_at_once_and_health_answers() {
    let folder = Folder::new();
    let controller = Controller::listen(&folder);
    let backend = Backend::saying("hello");
    let bind = free_address();
    let mut config = folder.config();
    config.limits.connections = 10;
    let proxy = Proxy::start(config);
    let (mut session, ..) = controller.accept();
    session.update(1, true, &gateway("a", bind, backend.address));
    let mut clients = served(bind, 10);
    for refused in 1..=5 {
        assert!(Client::connect(bind).is_closed(), "at once, not after a timeout");
        wait_until("it is counted", || {
            let series = "fairlead_http_requests_refused_total{reason=\"connection_limit\"}";
            proxy.metric(series) == Some(f64::from(refused))
        });
    }
    health_answers(&proxy, "connection_limit", 5.0);
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200, "who is in stays in");
    }
    clients.pop();
    wait_until("the freed place", || Client::connect(bind).try_get());
}

#[test]
fn at_the_limit_of_a_listener_others_go_on_and_health_answers() {
    let folder = Folder::new();
    let controller = Controller::listen(&folder);
    let backend = Backend::saying("hello");
    let (full, free) = (free_address(), free_address());
    let mut config = folder.config();
    config.limits.connections_per_bind = 7;
    let proxy = Proxy::start(config);
    let (mut session, ..) = controller.accept();
    let both = [gateway("a", full, backend.address), gateway("b", free, backend.address)].concat();
    session.update(1, true, &both);
    let mut clients = served(full, 7);
    assert!(Client::connect(full).is_closed());
    let _others = served(free, 7);
    assert!(Client::connect(free).is_closed(), "each has a limit of its own");
    health_answers(&proxy, "bind_connection_limit", 2.0);
    clients.truncate(3);
    while clients.len() < 7 {
        wait_until("a freed place", || {
            let mut client = Client::connect(full);
            let served = client.try_get();
            clients.extend(served.then_some(client));
            served
        });
    }
    assert!(Client::connect(full).is_closed(), "exactly as many as before");
}

const BACKEND: &str = "FAIRLEAD_TEST_ADMISSION_BACKEND";
const DESCRIPTORS: u32 = 200;

/// A whole proxy in a process of its own that holds every descriptor that the process may have, until told.
struct Starved {
    child: Child,
    output: BufReader<ChildStdout>,
    bind: SocketAddr,
    health: SocketAddr,
}

impl Starved {
    fn start(backend: &Backend) -> Self {
        let mut child = Command::new("sh")
            .args([
                "-c",
                &format!("ulimit -n {DESCRIPTORS}; exec \"$0\" --exact admission::child --nocapture"),
            ])
            .arg(std::env::current_exe().unwrap())
            .env(BACKEND, backend.address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let find = |line: String| Some(line.split_once("addresses=")?.1.to_owned());
        let line = output.by_ref().lines().map_while(Result::ok).find_map(find).unwrap();
        let (bind, health) = line.split_once(' ').unwrap();
        Self { child, output, bind: bind.parse().unwrap(), health: health.parse().unwrap() }
    }

    /// Tells it to do the next thing, and waits until it has.
    fn step(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut line = String::new();
        while !line.contains("done") {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the process has ended");
        }
    }

    /// Processor time used so far, in ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    fn finish(mut self) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's part; without its variable it does nothing.
#[test]
fn child() {
    let Ok(backend) = std::env::var(BACKEND) else { return };
    let folder = Folder::new();
    let controller = Controller::listen(&folder);
    let proxy = Proxy::start(folder.config());
    let (mut session, ..) = controller.accept();
    let bind = free_address();
    session.update(1, true, &gateway("a", bind, backend.parse().unwrap()));
    wait_until("it serves", || Client::connect(bind).try_get());
    println!("addresses={bind} {}", proxy.address());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let mut all = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        all.push(file);
    }
    println!("done");
    std::io::stdin().read_line(&mut line).unwrap();
    drop(all);
    println!("done");
    std::io::stdin().read_line(&mut line).unwrap();
}

#[test]
fn without_descriptors_nothing_dies_or_spins_and_health_answers() {
    let backend = Backend::saying("hello");
    let mut starved = Starved::start(&backend);
    let mut before = served(starved.bind, 2);
    starved.step();
    let clients: Vec<Client> = (0..50).map(|_| Client::connect(starved.bind)).collect();
    for client in &mut before {
        assert_eq!(client.get("/").status, 200, "who is in is served");
    }
    for _ in 0..5 {
        for path in ["/livez", "/readyz"] {
            assert_eq!(Client::connect(starved.health).get(path).status, 200, "{path}");
        }
    }
    let page = Client::connect(starved.health).get("/metrics").text();
    assert!(page.contains("fairlead_http_requests_refused_total{reason=\"no_descriptor\"}"), "{page}");
    let ticks = starved.ticks();
    support::pause(1_000);
    assert!(starved.ticks() - ticks < 30, "it spins");
    drop(clients);
    starved.step();
    wait_until("service again", || Client::connect(starved.bind).try_get());
    assert_eq!(before[0].get("/").status, 200);
    starved.finish();
}

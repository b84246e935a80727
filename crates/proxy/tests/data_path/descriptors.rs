//! A process without a free descriptor: connections are shed, nothing hangs, nothing spins.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use fairlead_proxy::internals::client_share;

use crate::support::{self, Backend, Client, Proxy};

const BACKEND: &str = "FAIRLEAD_TEST_BACKEND";
const SHARED: &str = "FAIRLEAD_TEST_SHARED";
const FEW: u32 = 40;

/// The proxy in a process of its own, with few descriptors; ends with its standard input.
struct Few {
    child: Child,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Few {
    /// `shared`: with the limit of client connections that a proxy sets itself.
    fn start(backend: &Backend, shared: bool) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {FEW}; exec \"$0\" --exact descriptors::child --nocapture")])
            .arg(std::env::current_exe().unwrap())
            .env(BACKEND, backend.address.to_string())
            .env(SHARED, if shared { "1" } else { "" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let find = |line: String| line.split_once("address=").map(|(_, address)| address.parse().unwrap());
        let address = output.by_ref().lines().map_while(Result::ok).find_map(find).unwrap();
        Self { child, output, address }
    }

    /// Ends the child, which must be content.
    fn finish(mut self) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
    }

    /// Processor time used so far, in ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Few {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's part; without its variable it does nothing.
#[test]
fn child() {
    let Ok(backend) = std::env::var(BACKEND) else { return };
    let shared = std::env::var(SHARED).is_ok_and(|value| !value.is_empty());
    let mut config = support::config();
    if shared {
        config.limits.connections = client_share(u64::from(FEW));
    }
    let mut proxy = Proxy::with(config, &[]);
    proxy.set_members(&[backend.parse().unwrap()]);
    println!("address={}", proxy.address);
    let _ = std::io::stdin().read(&mut [0]);
    assert_eq!(proxy.refused("no_descriptor") > 0, !shared);
    assert_eq!(proxy.refused("connection_limit") > 0, shared);
}

#[test]
fn accepted_clients_leave_descriptors_to_dial_with() {
    let backend = Backend::saying("ok");
    let few = Few::start(&backend, true);
    let mut clients: Vec<Client> = (0..FEW * 2).map(|_| Client::connect(few.address)).collect();
    let mut served = 0;
    for client in &mut clients {
        if client.try_send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n") {
            match client.response("GET").status {
                200 => served += 1,
                0 => {}
                status => panic!("accepted, and answered {status}"),
            }
        }
    }
    assert_eq!(served, client_share(u64::from(FEW)));
    few.finish();
}

#[test]
fn without_a_free_descriptor_connections_are_shed_and_nothing_spins() {
    let backend = Backend::saying("ok");
    let few = Few::start(&backend, false);
    // Its connection to the endpoint serves those that are accepted.
    assert_eq!(Client::connect(few.address).get("/").status, 200);
    let mut clients: Vec<Client> = (0..FEW * 2).map(|_| Client::connect(few.address)).collect();
    let (mut served, mut shed) = (0, 0);
    for client in &mut clients {
        if client.try_send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n") {
            match client.response("GET").status {
                200 => served += 1,
                // Accepted, but there was no descriptor to dial with; or closed.
                503 | 0 => shed += 1,
                status => panic!("{status}"),
            }
        } else {
            shed += 1;
        }
    }
    assert!(served >= 5 && shed >= FEW, "{served} served, {shed} shed");
    let before = few.ticks();
    support::pause(500);
    assert!(few.ticks() - before < 20, "it spins");
    drop(clients);
    support::wait_until("service again", || Client::connect(few.address).try_get());
    few.finish();
}

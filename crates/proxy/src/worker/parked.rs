//! For tests: a worker with idle connections to an Endpoint, without a thread; its turns are the test's.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use fairlead_balance::{EndpointLoad, Micros, Permit};
use fairlead_snapshot::Endpoint;

use super::Worker;
use crate::config::ProxyConfig;
use crate::conn::state::Role;
use crate::shared::{EndpointSlot, EndpointState, Shared};

/// An Endpoint that listens there.
pub(super) fn endpoint(listener: &TcpListener, index: u32) -> Arc<EndpointState> {
    let address = listener.local_addr().unwrap();
    let endpoint = Endpoint {
        address: address.ip().to_string().into(),
        drain_deadline_s: None,
        id: format!("uid-{index}|127.0.0.1|{}|TCP", address.port()).into(),
        node: None,
        pod: None,
        port: address.port(),
        ready: true,
        serving: true,
        subsets: Vec::new(),
        terminating: false,
        weight: 1,
        zone: None,
    };
    let slot = EndpointSlot { index, generation: 1 };
    Arc::new(EndpointState::new(slot, &endpoint, address, Arc::new(EndpointLoad::new(Micros(1), 1))))
}

/// A worker in the turn in which it has parked the last of `count` connections, and the Endpoint's ends of them.
pub(super) fn parked(count: usize) -> (Worker, Arc<EndpointState>, Vec<TcpStream>) {
    let config = ProxyConfig { workers: Some(1), access_log: false, ..ProxyConfig::default() };
    let mut worker = Worker::new(Shared::new(config), 0).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = endpoint(&listener, 0);
    for _ in 0..count {
        let permit = Permit::take(&endpoint, None).unwrap();
        worker.begin_dial(permit, Role::Spare(None), None).unwrap();
    }
    let mut events = mio::Events::with_capacity(8);
    while worker.pools.len() < count {
        worker.turn(&mut events).unwrap();
    }
    let streams = (0..count).map(|_| listener.accept().unwrap().0).collect();
    (worker, endpoint, streams)
}

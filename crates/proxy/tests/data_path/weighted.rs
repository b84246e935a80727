//! A Rule with several weighted targets.

use crate::support::{self, Backend, Client, Proxy};

/// How many of 1,000 requests reach the target with 9 of 10 parts of the weight; the rest finds no endpoint.
fn shares(workers: usize, clients: usize) -> usize {
    let backend = Backend::saying("ok");
    let mut config = support::config();
    config.workers = Some(workers);
    let proxy = Proxy::with(config, &[&backend]);
    let mut clients: Vec<Client> = (0..clients).map(|_| Client::connect(proxy.address)).collect();
    let mut served = 0;
    for number in 0..1_000 {
        let count = clients.len();
        match clients[number % count].get("/weighted").status {
            200 => served += 1,
            503 => {}
            status => panic!("{status}: a target without weight was chosen"),
        }
    }
    assert_eq!(backend.count(), served);
    proxy.finish();
    served
}

#[test]
fn shares_follow_the_weights_exactly_in_one_worker() {
    assert_eq!(shares(1, 3), 900);
}

#[test]
fn shares_follow_the_weights_over_several_workers() {
    let served = shares(3, 9);
    // Each worker is within 2.5 of its share.
    assert!((893..=907).contains(&served), "{served}");
}

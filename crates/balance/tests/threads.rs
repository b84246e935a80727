//! Many workers on one Endpoint.

use std::sync::Arc;
use std::thread;

use fairlead_balance::{EndpointLoad, Micros};

#[test]
fn one_of_many_workers_gets_the_probe() {
    for round in 0..200u64 {
        let load = Arc::new(EndpointLoad::new(Micros::ZERO, 4));
        load.dial_failed(Micros::ZERO);
        load.dial_failed(Micros::ZERO);
        let now = Micros(5_000_000 + round);
        let won: usize = thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| load.claim_probe(now))).collect();
            workers.into_iter().map(|worker| usize::from(worker.join().unwrap())).sum()
        });
        assert_eq!(won, 1);
    }
}

#[test]
fn nothing_is_lost_between_workers() {
    let load = Arc::new(EndpointLoad::new(Micros::ZERO, 4));
    thread::scope(|scope| {
        for worker in 0..4 {
            let load = &load;
            scope.spawn(move || {
                for i in 0..5_000u64 {
                    let guard = load.started();
                    guard.load().responded(Micros(i), worker, Micros(i), 200);
                }
            });
        }
    });
    assert_eq!(load.in_flight(), 0);
    assert_eq!(load.totals().latency.count(), 20_000);
    assert_eq!(load.totals().requests.iter().sum::<u64>(), 20_000);
}

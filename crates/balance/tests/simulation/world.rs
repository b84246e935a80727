//! The simulated world.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use fairlead_balance::{Balancer, EndpointLoad, EndpointView, InFlight, Micros, Policy, Rng, SplitMix64};

/// Endpoints of equal weight, never used before.
pub(crate) fn even_views(count: usize, now: Micros) -> Arc<[EndpointView]> {
    weighted_views(&vec![1; count], now)
}

/// Endpoints of these weights, never used before.
pub(crate) fn weighted_views(weights: &[u32], now: Micros) -> Arc<[EndpointView]> {
    weights.iter().map(|&weight| view(weight, now)).collect()
}

/// A ready Endpoint.
pub(crate) fn view(weight: u32, now: Micros) -> EndpointView {
    EndpointView { load: Arc::new(EndpointLoad::new(now, 1)), weight, ready: true, fallback: false }
}

/// A balancer without slow start.
pub(crate) fn balancer(policy: Policy, views: &Arc<[EndpointView]>, rng: &mut SplitMix64) -> Balancer {
    Balancer::new(policy, None, Arc::clone(views), Micros::ZERO, rng)
}

/// A pick without exclusions and warm connections.
pub(crate) fn pick(balancer: &mut Balancer, now: Micros, rng: &mut SplitMix64) -> usize {
    balancer.pick(now, rng, &|_| false, &|_| false).expect("a candidate").index
}

/// Shares relative to the mean: hottest and coldest.
pub(crate) fn extremes(counts: &[u64]) -> (f64, f64) {
    let mean = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    let over_mean = |count: Option<&u64>| *count.expect("servers") as f64 / mean;
    (over_mean(counts.iter().max()), over_mean(counts.iter().min()))
}

/// The time to the next of requests that come by chance, so many per second, in µs.
pub(crate) fn gap_us(rng: &mut SplitMix64, per_second: f64) -> f64 {
    -(1.0 - rng.unit()).ln() * 1e6 / per_second
}

/// A normal deviate (Box and Muller 1958).
pub(crate) fn normal(rng: &mut SplitMix64, mean: f64, deviation: f64) -> f64 {
    let radius = (-2.0 * (1.0 - rng.unit()).ln()).sqrt();
    mean + deviation * radius * (std::f64::consts::TAU * rng.unit()).cos()
}

/// A server's answer: after how many microseconds, and the status.
pub(crate) type Answer = (u64, u16);

/// An open loop: requests arrive by chance, whatever becomes of the earlier ones.
pub(crate) struct OpenLoop {
    pub(crate) policy: Policy,
    pub(crate) servers: usize,
    /// Proxies that share the arrivals and nothing else.
    pub(crate) proxies: usize,
    pub(crate) per_second: f64,
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
}

/// What an open loop saw.
pub(crate) struct Seen {
    /// Times to the answer, sorted, in microseconds.
    pub(crate) times: Vec<u64>,
    /// Requests per server.
    pub(crate) counts: Vec<u64>,
    /// Answers with 5xx.
    pub(crate) errors: u64,
}

impl Seen {
    /// The share of answers within a second.
    pub(crate) fn within_1_s(&self) -> f64 {
        self.times.partition_point(|&us| us <= 1_000_000) as f64 / self.times.len() as f64
    }

    pub(crate) fn quantile_ms(&self, q: f64) -> f64 {
        self.times[((self.times.len() - 1) as f64 * q) as usize] as f64 / 1e3
    }

    pub(crate) fn share(&self, server: usize) -> f64 {
        self.counts[server] as f64 / self.times.len() as f64
    }

    pub(crate) fn error_rate(&self) -> f64 {
        self.errors as f64 / self.times.len() as f64
    }
}

struct Proxy {
    balancer: Balancer,
}

/// An answer on its way.
struct Pending {
    guard: InFlight,
    rtt: Micros,
    status: u16,
}

impl OpenLoop {
    /// Runs it; `answer` gives the answer of a server to a request sent at a time.
    pub(crate) fn run(&self, mut answer: impl FnMut(usize, Micros, &mut SplitMix64) -> Answer) -> Seen {
        let mut rng = SplitMix64::new(self.seed);
        let mut proxies: Vec<Proxy> = (0..self.proxies)
            .map(|_| {
                let views = even_views(self.servers, Micros::ZERO);
                Proxy { balancer: balancer(self.policy, &views, &mut rng) }
            })
            .collect();
        let mut seen = Seen { times: Vec::new(), counts: vec![0; self.servers], errors: 0 };
        let mut due: BinaryHeap<Reverse<(Micros, usize)>> = BinaryHeap::new();
        let mut pending: Vec<Option<Pending>> = Vec::new();
        let mut now = 0.0;
        let end = self.seconds as f64 * 1e6;
        loop {
            now += gap_us(&mut rng, self.per_second);
            if now >= end {
                break;
            }
            let at = Micros(now as u64);
            while due.peek().is_some_and(|Reverse((time, _))| *time <= at) {
                let Reverse((time, id)) = due.pop().expect("peeked");
                finish(&mut pending, time, id);
            }
            let proxy = rng.below(self.proxies as u32) as usize;
            let server = pick(&mut proxies[proxy].balancer, at, &mut rng);
            let (us, status) = answer(server, at, &mut rng);
            seen.times.push(us);
            seen.counts[server] += 1;
            seen.errors += u64::from(status >= 500);
            let guard = proxies[proxy].balancer.views()[server].load.started();
            due.push(Reverse((at + Micros(us), pending.len())));
            pending.push(Some(Pending { guard, rtt: Micros(us), status }));
        }
        while let Some(Reverse((time, id))) = due.pop() {
            finish(&mut pending, time, id);
        }
        for proxy in &proxies {
            assert!(proxy.balancer.views().iter().all(|view| view.load.in_flight() == 0));
        }
        seen.times.sort_unstable();
        seen
    }
}

fn finish(pending: &mut [Option<Pending>], time: Micros, id: usize) {
    let done = pending[id].take().expect("finished once");
    done.guard.load().responded(time, 0, done.rtt, done.status);
}

/// A closed loop of one connection: a request is sent when the answer before has come.
pub(crate) fn one_connection(
    servers: usize,
    requests: u64,
    seed: u64,
    warm_for: Micros,
    mut answer_us: impl FnMut(usize, &mut SplitMix64) -> u64,
) -> Vec<u64> {
    let mut rng = SplitMix64::new(seed);
    let views = even_views(servers, Micros::ZERO);
    let mut balancer = balancer(Policy::PeakEwma, &views, &mut rng);
    let mut counts = vec![0; servers];
    let mut used: Vec<Option<Micros>> = vec![None; servers];
    let mut now = Micros::ZERO;
    for _ in 0..requests {
        let warm = |index: usize| used[index].is_some_and(|at| now.since(at) < warm_for);
        let index = balancer.pick(now, &mut rng, &|_| false, &warm).expect("a candidate").index;
        let guard = views[index].load.started();
        let us = answer_us(index, &mut rng);
        now = now + Micros(us);
        guard.load().responded(now, 0, Micros(us), 200);
        drop(guard);
        used[index] = Some(now);
        counts[index] += 1;
    }
    counts
}

//! Pods that queue: each works on a few requests at once, the rest wait in order. And simpler rules to compare with.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use fairlead_balance::{Balancer, EndpointView, InFlight, Micros, Policy, Rng, SplitMix64};

use crate::world::{balancer, even_views, gap_us, pick};

/// Who chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The default of this crate.
    Default,
    /// The same without its exceptions: every sample outside the band is a peak, and no average is too small to tell.
    Plain,
    /// Fewer in flight of two.
    LeastRequest,
    /// In turn.
    RoundRobin,
}

/// When a Pod ends work that it begins at a time, both in µs.
pub(crate) type Work<'a> = &'a dyn Fn(usize, f64, &mut SplitMix64) -> f64;

/// Pods, and who asks them.
#[derive(Clone, Copy)]
pub(crate) struct Cluster {
    pub(crate) pods: usize,
    /// Requests that a Pod works on at once.
    pub(crate) lanes: usize,
    /// Workers of one proxy: they share what is known of Pods, and nothing else.
    pub(crate) workers: usize,
    pub(crate) load: Load,
    /// The average that all Pods begin with, as after long even work, in µs.
    pub(crate) known_us: u64,
}

/// How requests come.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// By chance, so many per second for so many seconds.
    Open(f64, f64),
    /// From so many connections, each as soon as it has its answer, so many in all.
    Closed(usize, usize),
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) counts: Vec<u64>,
    /// Sorted, in µs.
    times: Vec<f64>,
}

impl Outcome {
    pub(crate) fn hottest(&self) -> f64 {
        self.over_mean(*self.counts.iter().max().expect("Pods"))
    }

    pub(crate) fn idle(&self) -> usize {
        self.counts.iter().filter(|count| **count == 0).count()
    }

    /// A Pod's share relative to an even one.
    pub(crate) fn share(&self, pod: usize) -> f64 {
        self.over_mean(self.counts[pod])
    }

    pub(crate) fn mean_ms(&self) -> f64 {
        self.times.iter().sum::<f64>() / self.times.len() as f64 / 1e3
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        self.times[self.times.len() * 99 / 100] / 1e3
    }

    fn over_mean(&self, count: u64) -> f64 {
        count as f64 * self.counts.len() as f64 / self.times.len() as f64
    }
}

/// What the simple rules know of a Pod.
#[derive(Clone, Copy)]
struct Known {
    us: f64,
    at: f64,
    in_flight: u32,
}

impl Known {
    const DECAY_US: f64 = 1e7;

    fn read(&self, now: f64) -> f64 {
        self.us * (-(now - self.at) / Self::DECAY_US).exp()
    }

    fn sample(&mut self, now: f64, us: f64) {
        let (kept, old) = ((-(now - self.at) / Self::DECAY_US).exp(), self.read(now));
        *self = Self { us: if us > old { us } else { old + us * (1.0 - kept) }, at: now, ..*self };
    }
}

struct Request {
    pod: usize,
    sent: f64,
    guard: Option<InFlight>,
}

struct Run<'a> {
    rule: Rule,
    rng: SplitMix64,
    views: Arc<[EndpointView]>,
    balancers: Vec<Balancer>,
    known: Vec<Known>,
    busy: Vec<usize>,
    queues: Vec<VecDeque<usize>>,
    requests: Vec<Request>,
    /// Ends of work, and arrivals (`ARRIVAL`), by time.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    lanes: usize,
    work: Work<'a>,
}

const ARRIVAL: usize = usize::MAX;
/// Times are kept in ns: many short answers would round to nothing in µs.
const NS: f64 = 1e3;

impl Cluster {
    pub(crate) fn run(&self, rule: Rule, seed: u64, work: Work<'_>) -> Outcome {
        let mut rng = SplitMix64::new(seed);
        let views = even_views(self.pods, Micros::ZERO);
        for view in views.iter() {
            view.load.responded(Micros::ZERO, 0, Micros(self.known_us), 200);
        }
        let policy = if rule == Rule::RoundRobin { Policy::RoundRobin } else { Policy::PeakEwma };
        let balancers = (0..self.workers).map(|_| balancer(policy, &views, &mut rng)).collect();
        let known = Known { us: self.known_us as f64, at: 0.0, in_flight: 0 };
        let mut run = Run {
            rule,
            rng,
            views,
            balancers,
            known: vec![known; self.pods],
            busy: vec![0; self.pods],
            queues: vec![VecDeque::new(); self.pods],
            requests: Vec::new(),
            due: BinaryHeap::new(),
            lanes: self.lanes,
            work,
        };
        let mut outcome = Outcome { counts: vec![0; self.pods], times: Vec::new() };
        let first = if let Load::Closed(connections, _) = self.load { connections } else { 1 };
        (0..first).for_each(|_| run.due.push(Reverse((0, ARRIVAL))));
        while let Some(Reverse((at, id))) = run.due.pop() {
            let now = at as f64 / NS;
            if id != ARRIVAL {
                outcome.times.push(run.end(id, now));
                if matches!(self.load, Load::Closed(..)) {
                    run.due.push(Reverse((at, ARRIVAL)));
                }
                continue;
            }
            match self.load {
                Load::Open(_, seconds) if now > seconds * 1e6 => continue,
                Load::Open(per_second, _) => {
                    let gap = gap_us(&mut run.rng, per_second);
                    run.due.push(Reverse((((now + gap) * NS) as u64, ARRIVAL)));
                }
                Load::Closed(_, requests) if run.requests.len() >= requests => continue,
                Load::Closed(..) => {}
            }
            outcome.counts[run.begin(now)] += 1;
        }
        outcome.times.sort_by(f64::total_cmp);
        outcome
    }
}

impl Run<'_> {
    fn begin(&mut self, now: f64) -> usize {
        let pod = self.choose(now);
        let own = matches!(self.rule, Rule::Default | Rule::RoundRobin);
        let guard = own.then(|| self.views[pod].load.started());
        self.known[pod].in_flight += 1;
        self.requests.push(Request { pod, sent: now, guard });
        let id = self.requests.len() - 1;
        if self.busy[pod] < self.lanes {
            self.busy[pod] += 1;
            self.work_on(id, now);
        } else {
            self.queues[pod].push_back(id);
        }
        pod
    }

    /// The answer comes; gives how long it took.
    fn end(&mut self, id: usize, now: f64) -> f64 {
        let Request { pod, sent, ref mut guard } = self.requests[id];
        let took = now - sent;
        if let Some(guard) = guard.take() {
            guard.load().responded(Micros(now as u64), 0, Micros(took as u64), 200);
        }
        self.known[pod].in_flight -= 1;
        self.known[pod].sample(now, took);
        match self.queues[pod].pop_front() {
            Some(next) => self.work_on(next, now),
            None => self.busy[pod] -= 1,
        }
        took
    }

    fn work_on(&mut self, id: usize, now: f64) {
        let end = (self.work)(self.requests[id].pod, now, &mut self.rng);
        self.due.push(Reverse(((end * NS) as u64, id)));
    }

    fn choose(&mut self, now: f64) -> usize {
        if matches!(self.rule, Rule::Default | Rule::RoundRobin) {
            let worker = self.rng.below(self.balancers.len() as u32) as usize;
            return pick(&mut self.balancers[worker], Micros(now as u64), &mut self.rng);
        }
        let count = self.known.len() as u32;
        let one = self.rng.below(count);
        let other = (one + 1 + self.rng.below(count - 1)) % count;
        let (a, b) = (&self.known[one as usize], &self.known[other as usize]);
        let (us, other_us) = (a.read(now), b.read(now));
        let tied = self.rule == Rule::LeastRequest || us <= other_us * 1.5 && other_us <= us * 1.5;
        let take_one = if !tied {
            us * f64::from(a.in_flight + 1) < other_us * f64::from(b.in_flight + 1)
        } else if a.in_flight == b.in_flight {
            self.rng.below(2) == 0
        } else {
            a.in_flight < b.in_flight
        };
        (if take_one { one } else { other }) as usize
    }
}

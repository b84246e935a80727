//! When requests are sent. No clock: time is an argument, in nanoseconds since the run's start.
//!
//! Laws:
//! 1. Open loop: the arrivals are fixed before anything is measured. A request's latency counts from its arrival, so a
//!    slow server cannot hide behind requests that were not sent (no coordinated omission).
//! 2. An arrival that meets no idle connection waits; who waits longest goes first.

use std::collections::VecDeque;

/// Arrivals with exponentially distributed gaps.
#[derive(Debug)]
pub(crate) struct Poisson {
    mean_gap: f64,
    state: u64,
    /// Kept as a float, so that rounding does not add up.
    next: f64,
}

impl Poisson {
    /// `rate` per second; equal seeds give equal arrivals.
    pub(crate) fn new(rate: f64, seed: u64) -> Self {
        let mut arrivals = Self { mean_gap: 1e9 / rate, state: seed, next: 0.0 };
        arrivals.advance();
        arrivals
    }

    /// The arrival that is next.
    fn peek(&self) -> u64 {
        self.next as u64
    }

    fn advance(&mut self) {
        // SplitMix64 (Steele, Lea, Flood 2014), then 53 bits as a number above 0 and up to 1.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let uniform = ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        self.next -= uniform.ln() * self.mean_gap;
    }
}

/// What decides about the next request on a connection that is idle.
#[derive(Debug)]
pub(crate) enum Schedule {
    /// Each connection sends again as soon as it has its answer.
    Closed {
        /// Connections without a request.
        idle: Vec<usize>,
    },
    /// Requests arrive whether or not answers do.
    Open {
        /// What is to come.
        arrivals: Poisson,
        /// What has come and waits, oldest first.
        backlog: VecDeque<u64>,
        /// Connections without a request.
        idle: Vec<usize>,
    },
}

impl Schedule {
    /// Closed loop.
    pub(crate) fn closed() -> Self {
        Self::Closed { idle: Vec::new() }
    }

    /// Open loop with these arrivals.
    pub(crate) fn open(arrivals: Poisson) -> Self {
        Self::Open { arrivals, backlog: VecDeque::new(), idle: Vec::new() }
    }

    /// A connection can take a request.
    pub(crate) fn idle(&mut self, connection: usize) {
        match self {
            Self::Closed { idle } | Self::Open { idle, .. } => idle.push(connection),
        }
    }

    /// A connection that shall send now, and the time from which its latency counts. To be called until it gives none.
    pub(crate) fn next(&mut self, now: u64) -> Option<(usize, u64)> {
        match self {
            Self::Closed { idle } => idle.pop().map(|connection| (connection, now)),
            Self::Open { arrivals, backlog, idle } => {
                while arrivals.peek() <= now {
                    backlog.push_back(arrivals.peek());
                    arrivals.advance();
                }
                let arrived = *backlog.front()?;
                let connection = idle.pop()?;
                backlog.pop_front();
                Some((connection, arrived))
            }
        }
    }

    /// When to call `next` again if nothing else happens before.
    pub(crate) fn wake_at(&self) -> Option<u64> {
        match self {
            Self::Closed { .. } => None,
            // While arrivals wait for connections, only an answer changes anything.
            Self::Open { backlog, .. } if !backlog.is_empty() => None,
            Self::Open { arrivals, .. } => Some(arrivals.peek()),
        }
    }

    /// Arrivals that wait for a connection.
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Self::Closed { .. } => 0,
            Self::Open { backlog, .. } => backlog.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn arrivals(rate: f64, seed: u64, until: u64) -> Vec<u64> {
        let mut poisson = Poisson::new(rate, seed);
        let mut all = vec![];
        while poisson.peek() < until {
            all.push(poisson.peek());
            poisson.advance();
        }
        all
    }

    #[test]
    fn arrivals_have_the_rate_and_the_spread_of_a_poisson_process() {
        let all = arrivals(10_000.0, 1, 10 * SECOND);
        assert!((99_000..101_000).contains(&all.len()), "{}", all.len());
        // Counts per 10 ms: the variance of a Poisson process is its mean (100).
        let mut counts = vec![0_f64; 1000];
        for at in &all {
            counts[(at / 10_000_000) as usize] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / 1000.0;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 1000.0;
        assert!((0.8..1.2).contains(&(variance / mean)), "variance {variance}, mean {mean}");
        assert!(all.is_sorted());
    }

    #[test]
    fn equal_seeds_give_equal_arrivals() {
        assert_eq!(arrivals(1000.0, 7, SECOND), arrivals(1000.0, 7, SECOND));
        assert_ne!(arrivals(1000.0, 7, SECOND), arrivals(1000.0, 8, SECOND));
    }

    #[test]
    fn latency_counts_from_the_arrival_and_the_oldest_goes_first() {
        let times = arrivals(1000.0, 3, SECOND);
        let mut schedule = Schedule::open(Poisson::new(1000.0, 3));
        schedule.idle(0);
        assert_eq!(schedule.next(0), None);
        assert_eq!(schedule.wake_at(), Some(times[0]));
        assert_eq!(schedule.next(times[0]), Some((0, times[0])));
        // The only connection is busy while four more arrive.
        let late = times[4];
        assert_eq!(schedule.next(late), None);
        assert_eq!(schedule.waiting(), 4);
        assert_eq!(schedule.wake_at(), None, "no arrival helps as long as no connection is idle");
        for arrived in &times[1..=4] {
            schedule.idle(0);
            assert_eq!(schedule.next(late), Some((0, *arrived)));
        }
        assert_eq!((schedule.waiting(), schedule.wake_at()), (0, Some(times[5])));
    }

    #[test]
    fn a_server_of_constant_speed_shows_its_queue() {
        // One connection and 1.25 ms per answer at 1,000 arrivals per second: the queue grows by a fifth of all.
        let mut schedule = Schedule::open(Poisson::new(1000.0, 5));
        let (mut now, mut done, mut last) = (0, 0, 0);
        schedule.idle(0);
        while now < 10 * SECOND {
            match schedule.next(now) {
                Some((connection, arrived)) => {
                    now += 1_250_000;
                    last = now - arrived;
                    done += 1;
                    schedule.idle(connection);
                }
                None => now = schedule.wake_at().unwrap(),
            }
        }
        assert!((7_900..=8_000).contains(&done), "{done}");
        assert!((3 * SECOND / 2..5 * SECOND / 2).contains(&last), "the last waited {last} ns");
    }

    #[test]
    fn a_closed_loop_sends_at_once() {
        let mut schedule = Schedule::closed();
        schedule.idle(3);
        assert_eq!(schedule.next(42), Some((3, 42)));
        assert_eq!((schedule.next(42), schedule.wake_at()), (None, None));
    }
}

//! The laws of an Exchange over a mock driver, in virtual time: a test for each sentence.

mod dials;
mod ends;
mod never_sent;
mod repeats;
mod room;

use fairlead_balance::Micros;

use super::{AttemptId, DialError, Driver, Exchange, Opened, Peer, Plan, Report, Retry, Step, Want};
use crate::timer::NEVER;

const GET: Plan = Plan {
    idempotent: true,
    upgrade: false,
    replayable: true,
    repeats: 1,
    deadline: NEVER,
    attempt_timeout: None,
    hedge_after: Micros(200_000),
    connect_timeout: Micros(1_000_000),
};
const POST: Plan = Plan { idempotent: false, ..GET };
const T0: Micros = Micros(5_000_000);

/// The Endpoint of a number.
const fn peer(number: u32) -> Peer {
    Peer { index: number, generation: 3 }
}

/// What the mock's Endpoints do when they are opened.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Mood {
    Warm,
    Dials,
    Refuses,
    NoDescriptors,
    /// Has as many connections as it may have.
    Full,
}

/// Endpoints 10, 11, 12 ... in this order; the first that is not excluded is picked.
struct Mock {
    moods: Vec<Mood>,
    budget: u32,
    opened: Vec<(Want, u32)>,
    reports: Vec<(u32, Report)>,
    abandoned: Vec<u8>,
    retries: Vec<Retry>,
    /// How many more may wait for room.
    queue: u32,
    overflows: u32,
}

impl Mock {
    fn new(moods: &[Mood]) -> Self {
        Self {
            moods: moods.to_vec(),
            budget: 100,
            opened: vec![],
            reports: vec![],
            abandoned: vec![],
            retries: vec![],
            queue: 0,
            overflows: 0,
        }
    }

    fn peers(&self) -> Vec<u32> {
        self.opened.iter().map(|(_, number)| *number).collect()
    }
}

impl Driver for Mock {
    fn open(&mut self, _: AttemptId, want: Want, exclude: &[Peer], only: Option<Peer>) -> Opened {
        let mut candidates = (0..self.moods.len()).filter(|index| {
            let peer = peer(10 + *index as u32);
            only.map_or(!exclude.contains(&peer), |only| only == peer)
        });
        let any = candidates.clone().next().is_some();
        let Some(index) = candidates.find(|index| self.moods[*index] != Mood::Full) else {
            return if any { Opened::Full } else { Opened::NoEndpoint };
        };
        let peer = peer(10 + index as u32);
        self.opened.push((want, peer.index));
        match self.moods[index] {
            Mood::Warm if want != Want::Dial => Opened::Pooled(peer),
            Mood::Warm | Mood::Dials => Opened::Dialing(peer),
            Mood::Refuses => Opened::Refused(peer, DialError::Refused),
            Mood::NoDescriptors => Opened::Refused(peer, DialError::Local),
            Mood::Full => Opened::Full,
        }
    }

    fn take_budget(&mut self) -> bool {
        let left = self.budget > 0;
        self.budget = self.budget.saturating_sub(1);
        left
    }

    fn count(&mut self, retry: Retry) {
        self.retries.push(retry);
    }

    fn ask_for_room(&mut self, _: &[Peer], _: Micros) -> bool {
        let may = self.queue > 0;
        self.queue = self.queue.saturating_sub(1);
        may
    }

    fn count_overflow(&mut self) {
        self.overflows += 1;
    }

    fn report(&mut self, _: AttemptId, peer: Peer, report: Report) {
        self.reports.push((peer.index, report));
    }

    fn abandon(&mut self, id: AttemptId) {
        self.abandoned.push(id.0);
    }
}

fn begin(plan: Plan, moods: &[Mood]) -> (Exchange, Mock, Step) {
    let mut driver = Mock::new(moods);
    let mut exchange = Exchange::over();
    let step = exchange.start(plan, T0, &mut driver);
    (exchange, driver, step)
}

fn after(millis: u64) -> Micros {
    Micros(T0.0 + millis * 1_000)
}

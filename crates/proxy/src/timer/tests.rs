//! All in virtual time.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::ProxyConfig;
use crate::shared::Shared;
use crate::worker::Times;

/// A deadline that was set has been missed if it fires later than this after its moment.
const TWO_TICKS: u64 = 2 * FINE_US;

const fn ms(value: u64) -> Micros {
    Micros(value * 1_000)
}

/// Every ring between `from` and `to`, looked at each `step` milliseconds.
fn rings(wheel: &mut Wheel<u32>, from: u64, to: u64, step: u64) -> Vec<(u32, u64)> {
    let mut seen = Vec::new();
    let mut rung = Vec::new();
    for now in (from..=to).step_by(step as usize) {
        wheel.advance(ms(now), &mut rung);
        seen.extend(rung.drain(..).map(|(key, at)| {
            assert!(at <= ms(now), "rang before its moment");
            (key, now)
        }));
    }
    seen
}

#[test]
fn rings_within_a_fine_tick_after_the_moment_at_every_distance() {
    for distance in [0, 1, 5, 10, 200, 1_000, 2_559, 2_560, 2_561, 5_120, 60_000, 654_000, 700_000, 3_600_000]
    {
        for start in [0, 7, 2_555, 2_560, 1_234_567] {
            let mut wheel = Wheel::new(ms(start));
            wheel.insert(ms(start + distance), 1);
            let seen = rings(&mut wheel, start, start + distance + 40, 1);
            assert_eq!(seen.len(), 1, "distance {distance} from {start}");
            let late = seen[0].1 - (start + distance);
            assert!(late <= 10, "{late} ms late at distance {distance} from {start}");
            assert_eq!(wheel.next_ring(), None);
        }
    }
}

#[test]
fn one_late_look_rings_all_that_is_due_and_nothing_else() {
    let mut wheel = Wheel::new(ms(3));
    for (key, at) in [(1, 5), (2, 900), (3, 2_600), (4, 59_000), (5, 61_000)] {
        wheel.insert(ms(at), key);
    }
    let mut rung = Vec::new();
    wheel.advance(ms(60_000), &mut rung);
    let mut keys: Vec<u32> = rung.iter().map(|(key, _)| *key).collect();
    keys.sort_unstable();
    assert_eq!(keys, [1, 2, 3, 4]);
    assert_eq!(rings(&mut wheel, 60_000, 62_000, 1).iter().map(|ring| ring.0).collect::<Vec<_>>(), [5]);
}

#[test]
fn next_ring_never_oversleeps() {
    for distance in [1, 15, 2_559, 2_570, 10_000, 654_321, 2_000_000] {
        let mut wheel = Wheel::new(ms(17));
        wheel.insert(ms(17 + distance), 9);
        let mut rung = Vec::new();
        let mut wakes = 0;
        let mut now = ms(17);
        while rung.is_empty() {
            now = wheel.next_ring().expect("an alarm is queued").max(now);
            wheel.advance(now, &mut rung);
            wakes += 1;
            assert!(wakes < 2_000, "spins at distance {distance}");
        }
        assert!(now.0 - ms(17 + distance).0 <= FINE_US, "overslept at distance {distance}");
    }
}

#[test]
fn a_later_deadline_is_lazy_and_an_earlier_one_rings_in_time() {
    let mut wheel = Wheel::new(ms(0));
    let mut alarm = Alarm::default();
    alarm.set(ms(3_600_000), 1, &mut wheel);
    alarm.set(ms(300), 1, &mut wheel);
    alarm.set(ms(500), 1, &mut wheel);
    let mut rung = Vec::new();
    let mut fired = Vec::new();
    for now in (0..4_000_000).step_by(5) {
        wheel.advance(ms(now), &mut rung);
        for (key, at) in rung.drain(..) {
            if alarm.rang(at, ms(now), key, &mut wheel) {
                fired.push(now);
            }
        }
    }
    assert_eq!(fired.len(), 1, "the overtaken alarm fires nothing");
    assert!((500..=515).contains(&fired[0]));
}

#[test]
fn a_cleared_deadline_does_not_fire() {
    let mut wheel = Wheel::new(ms(0));
    let mut alarm = Alarm::default();
    alarm.set(ms(100), 1, &mut wheel);
    alarm.set(NEVER, 1, &mut wheel);
    for (key, at) in rings(&mut wheel, 0, 1_000, 10).into_iter().map(|(key, _)| (key, ms(100))) {
        assert!(!alarm.rang(at, ms(110), key, &mut wheel));
    }
    assert_eq!(wheel.next_ring(), None);
}

/// A connection as the worker treats it: the clock goes from ring to ring, in the poller's milliseconds.
struct Connection {
    wheel: Wheel<u32>,
    alarm: Alarm,
    now: Micros,
    rung: Vec<(u32, Micros)>,
}

impl Connection {
    fn at(now: Micros) -> Self {
        Self { wheel: Wheel::new(now), alarm: Alarm::default(), now, rung: Vec::new() }
    }

    fn set(&mut self, deadline: Micros) {
        self.alarm.set(deadline, 7, &mut self.wheel);
    }

    /// Lets time pass until `until`, or until the deadline fires, which is said.
    fn pass(&mut self, until: Micros) -> bool {
        let mut wakes = 0;
        loop {
            let ring = self.wheel.next_ring().unwrap_or(NEVER).max(self.now);
            self.now = Micros(ring.0.saturating_add(999) / 1_000 * 1_000).min(until).max(self.now);
            self.wheel.advance(self.now, &mut self.rung);
            let mut fired = false;
            for (key, at) in self.rung.drain(..) {
                fired |= self.alarm.rang(at, self.now, key, &mut self.wheel);
            }
            if fired || self.now >= until {
                return fired;
            }
            wakes += 1;
            assert!(wakes < 10_000, "spins");
        }
    }

    /// Entries in the wheel.
    fn entries(&self) -> usize {
        [&self.wheel.fine, &self.wheel.coarse].into_iter().map(held).sum()
    }
}

fn held(level: &Level<u32>) -> usize {
    level.slots.iter().map(Vec::len).sum()
}

#[test]
fn the_fine_level_is_populated_only_while_something_is_due_soon() {
    let mut connection = Connection::at(ms(1_000));
    connection.set(ms(61_000));
    assert_eq!((held(&connection.wheel.fine), held(&connection.wheel.coarse)), (0, 1));
    // A dial with its hedge; then the connection is idle again.
    connection.set(ms(1_200));
    assert_eq!(held(&connection.wheel.fine), 1);
    connection.set(ms(61_000));
    assert!(!connection.pass(ms(1_211)));
    assert_eq!((held(&connection.wheel.fine), held(&connection.wheel.coarse)), (0, 1));
    assert!(connection.wheel.next_ring() > Some(ms(50_000)), "nothing wakes the worker meanwhile");
}

#[test]
fn every_deadline_shortened_from_the_idle_deadline_fires_within_two_ticks() {
    let times = Times::new(&Shared::new(ProxyConfig::default()));
    // All that there are, so that none is forgotten here; `unacked` is the kernel's.
    let Times {
        request_head,
        downstream_idle,
        stream_idle,
        connect,
        hedge,
        upstream_idle,
        unacked: _,
        linger,
    } = times;
    // A Rule gives these two.
    let (request, backend_request) = (ms(15_000), ms(250));
    let kinds = [
        ("request head", request_head),
        ("downstream idle", downstream_idle),
        ("write stall", stream_idle),
        ("connect", connect),
        ("hedge", hedge),
        ("upstream idle", upstream_idle),
        ("linger", linger),
        ("request", request),
        ("backend request", backend_request),
    ];
    for (name, duration) in kinds {
        for idle in [downstream_idle, ms(3_600_000)] {
            // Some right after the connection went idle, some just before it would have been closed.
            for waited in [0, 1, 9_999, 10_000, 2_559_999, 2_560_000, 30_000_000, idle.0 - 1] {
                for start in [ms(1_000), Micros(1_234_567), ms(655_360), Micros(655_369_999)] {
                    let mut connection = Connection::at(start);
                    connection.set(start + idle);
                    assert!(!connection.pass(start + Micros(waited)), "idle for {waited} us of {idle:?}");
                    let deadline = connection.now + duration;
                    connection.set(deadline);
                    assert!(
                        connection.pass(deadline + Micros(TWO_TICKS)),
                        "{name} after {waited} us of {idle:?}"
                    );
                    assert!(connection.now >= deadline, "{name} too early after {waited} us of {idle:?}");
                }
            }
        }
    }
}

#[test]
fn short_deadlines_over_a_long_one_leave_nothing_behind_in_the_wheel() {
    let mut connection = Connection::at(ms(5));
    for _ in 0..2_000 {
        // A request with 250 ms, answered at once; then idle for a minute; the next request comes after 300 ms.
        let now = connection.now;
        connection.set(now + ms(250));
        connection.set(now + ms(60_000));
        assert!(!connection.pass(now + ms(300)));
        assert!(connection.entries() <= 2, "{} entries", connection.entries());
    }
    let last = connection.now;
    assert!(connection.pass(last + ms(60_000)));
    assert!(connection.now >= last + ms(60_000 - 300));
}

proptest! {
    /// Against an oracle that knows the deadline only: whatever is set and when, it fires once, not before its moment,
    /// at most two ticks after it.
    #[test]
    fn the_deadline_that_counts_is_the_last_one_set(
        start in 0u64..3_000_000,
        steps in vec((0u64..4_000_000, prop_oneof![
            3 => (0u64..300_000).prop_map(Some),
            2 => (0u64..5_000_000).prop_map(Some),
            2 => (0u64..1_500_000_000).prop_map(Some),
            1 => Just(None),
        ]), 1..40),
    ) {
        let mut connection = Connection::at(Micros(start));
        let mut deadline = NEVER;
        for (wait, next) in steps {
            let until = connection.now + Micros(wait);
            while connection.pass(until) {
                prop_assert!(deadline <= connection.now, "fired {:?} before its moment", deadline);
                prop_assert!(connection.now.0 - deadline.0 <= TWO_TICKS, "fired late: {:?}", connection.now);
                deadline = NEVER;
            }
            prop_assert!(deadline == NEVER || deadline.0 + TWO_TICKS > until.0, "{:?} never fired", deadline);
            deadline = next.map_or(NEVER, |after| connection.now + Micros(after));
            connection.set(deadline);
        }
    }
}

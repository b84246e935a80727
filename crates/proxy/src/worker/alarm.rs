//! When a waiting worker is woken by time: a timer of the kernel's that the poller tells of.
//!
//! A wait with a timeout makes the kernel set a timer and take it back, at one to two waits per seldom request. Nearly
//! always a deadline moves away while the worker is awake; so the timer is left where it is, and now and then wakes a
//! worker that has nothing to do yet.
//!
//! Laws
//! 1. It rings at the moment asked for last at the latest, and not before the moment that it was set to.
//! 2. It is set only where it would not ring by the moment asked for: at most once per ring unless a deadline comes nearer.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use fairlead_balance::Micros;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// The timer of one worker.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: OwnedFd,
    /// When it rings, or has rung.
    at: Micros,
}

impl Alarm {
    /// A timer that is not set. Its events have `token`, one per ring; they need not be read.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { timer, at: Micros::ZERO })
    }

    /// Lets it ring at `at` at the latest; `now` is the last look at the clock, not before the last ring that was told.
    pub(super) fn set(&mut self, now: Micros, at: Micros) -> io::Result<()> {
        let still_rings = now < self.at;
        if still_rings && self.at <= at {
            return Ok(());
        }
        // Nothing would take it back.
        let after_us = at.since(now).0.max(1);
        let value = Timespec {
            tv_sec: (after_us / 1_000_000).cast_signed(),
            tv_nsec: (after_us % 1_000_000 * 1_000).cast_signed(),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.at = at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};
    use rustix::time::timerfd_gettime;

    use super::*;

    const RING: Token = Token(7);
    const PATIENCE: Duration = Duration::from_secs(10);
    const HOUR: Micros = Micros(3_600_000_000);

    fn alarm() -> (Poll, Alarm) {
        let poll = Poll::new().unwrap();
        let alarm = Alarm::new(poll.registry(), RING).unwrap();
        (poll, alarm)
    }

    /// In how many hours it rings, rounded up; 0: it is not set.
    fn hours(alarm: &Alarm) -> u64 {
        let left = timerfd_gettime(&alarm.timer).unwrap().it_value;
        (left.tv_sec.cast_unsigned() + u64::from(left.tv_nsec > 0)).div_ceil(3_600)
    }

    /// Rings told within `most` of real time; the first ends it.
    fn rings(poll: &mut Poll, most: Duration) -> usize {
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(most)).unwrap();
        events.iter().filter(|event| event.token() == RING).count()
    }

    #[test]
    fn a_later_deadline_leaves_it_where_it_is_and_an_earlier_one_does_not() {
        let (_poll, mut alarm) = alarm();
        let now = Micros(5);
        for (ask, rings_in) in [(3, 3), (8, 3), (3, 3), (2, 2), (9, 2)] {
            alarm.set(now, Micros(now.0 + ask * HOUR.0)).unwrap();
            assert_eq!(hours(&alarm), rings_in, "asked for {ask} h");
        }
    }

    #[test]
    fn it_rings_once_and_is_set_again_by_the_next_question() {
        let (mut poll, mut alarm) = alarm();
        let (mut now, mut at) = (Micros(100), Micros(101));
        for _ in 0..3 {
            alarm.set(now, at).unwrap();
            assert_eq!(rings(&mut poll, PATIENCE), 1);
            assert_eq!(rings(&mut poll, Duration::ZERO), 0, "a ring is told once");
            assert_eq!(hours(&alarm), 0);
            (now, at) = (at, Micros(at.0 + 1));
        }
        alarm.set(now, now + HOUR).unwrap();
        assert_eq!(hours(&alarm), 1);
    }

    #[test]
    fn what_is_due_rings_at_once() {
        let (mut poll, mut alarm) = alarm();
        alarm.set(Micros::ZERO, HOUR).unwrap();
        for at in [HOUR, Micros(7), Micros::ZERO] {
            alarm.set(HOUR, at).unwrap();
            assert_eq!(rings(&mut poll, PATIENCE), 1);
        }
    }
}

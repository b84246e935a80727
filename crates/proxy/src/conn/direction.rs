//! One direction of a tunnel.
//!
//! Laws:
//! 1. What is held goes out before more is read: one buffer at most, and none while nothing is held.
//! 2. The sender's end is passed on once everything before it was.
//! 3. A receiver that takes no more ends this direction alone: what it sent before still arrives on the other one.
//! 4. Frame boundaries are followed from the first byte behind the head.

use fairlead_balance::Micros;
use fairlead_http1::ws::Boundary;

use super::buffer::{Buffer, Buffers};
use super::socket::{ReadEnd, Socket};
use crate::exchange::Death;
use crate::timer::NEVER;

/// Reads and writes of one direction before others get their turn.
const ROUNDS: usize = 4;

/// Bytes on their way from one side to the other.
#[derive(Debug, Default)]
pub(super) struct Direction {
    /// What is left of the head that goes before the tunnel's bytes, and how much of it has gone.
    head: Vec<u8>,
    head_sent: usize,
    buffer: Option<Buffer>,
    boundary: Boundary,
    /// The sender has ended.
    ended: bool,
    /// Nothing more goes this way: the receiver was told of the end, or takes no more.
    over: bool,
    /// How the receiver died, where that is why.
    lost: Option<Death>,
    moved_at: Micros,
}

/// How a direction fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flowed {
    /// Something moved.
    Moved,
    /// Nothing can, until something happens.
    Stuck,
    /// The sender died: what it said is not whole.
    Dead,
}

impl Direction {
    /// First the rest of the head, then what the sender sent behind its own head.
    pub(super) fn new(head: Vec<u8>, head_sent: usize, behind: Option<Buffer>, now: Micros) -> Self {
        // One that has gone already would stay for as long as the tunnel.
        let (head, head_sent) = if head_sent < head.len() { (head, head_sent) } else { (Vec::new(), 0) };
        let mut made = Self { head, head_sent, buffer: behind, moved_at: now, ..Self::default() };
        made.follow_frames();
        made
    }

    fn follow_frames(&mut self) {
        if let Some(buffer) = &self.buffer {
            self.boundary.feed(buffer.filled());
        }
    }

    /// The receiver takes no more.
    pub(super) fn cut(&mut self, death: Death, buffers: &mut Buffers) {
        self.over = true;
        self.lost = Some(death);
        self.head = Vec::new();
        buffers.give_any(&mut self.buffer);
    }

    /// Cuts it if its receiver is dead, which shows here where the receiver is not read any more: it has ended
    /// `other`, its own direction. (A socket that was ended both ways in good order looks dead too, but then this
    /// direction is over.)
    pub(super) fn cut_if_dead(&mut self, other: &Self, receiver: &Socket, buffers: &mut Buffers) -> bool {
        let cut = other.ended && !self.over && receiver.is_dead();
        if cut {
            self.cut(Death::Reset, buffers);
        }
        cut
    }

    /// Whether nothing more goes this way.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// How the receiver died, if that ended it.
    pub(super) fn lost(&self) -> Option<Death> {
        self.lost
    }

    /// Whether bytes wait for the receiver.
    fn is_held_up(&self) -> bool {
        self.head_sent < self.head.len() || self.buffer.as_ref().is_some_and(|buffer| !buffer.is_empty())
    }

    /// The other direction has ended: from now on this one must not be idle for long.
    pub(super) fn touch(&mut self, now: Micros) {
        self.moved_at = now;
    }

    /// When it has waited for its receiver for `stall`, or, being the only one that is `left`, for its sender for
    /// `idle`.
    pub(super) fn deadline(&self, left: bool, stall: Micros, idle: Micros) -> Micros {
        if self.over {
            NEVER
        } else if self.is_held_up() {
            self.moved_at + stall
        } else if left {
            self.moved_at + idle
        } else {
            NEVER
        }
    }

    pub(super) fn give_buffer(&mut self, buffers: &mut Buffers) {
        buffers.give_any(&mut self.buffer);
    }

    /// Moves what can be moved; gives also the bytes that the receiver's kernel took, without the head. `death` is how
    /// the sender died, if the other direction has found out.
    pub(super) fn pass(
        &mut self,
        from: &mut Socket,
        to: &mut Socket,
        death: Option<Death>,
        buffers: &mut Buffers,
        now: Micros,
    ) -> (Flowed, u64) {
        let mut flowed = Flowed::Stuck;
        let mut passed = 0;
        for _ in 0..ROUNDS {
            if self.over {
                break;
            }
            if self.is_held_up() {
                match self.write(to) {
                    Ok((0, _)) => break,
                    Ok((_, payload)) => passed += payload,
                    Err(death) => self.cut(death, buffers),
                }
            } else if self.ended {
                to.shutdown_write();
                self.over = true;
            } else {
                match from.read(buffers.ensure(&mut self.buffer)) {
                    // The buffer was empty: all that it holds is new.
                    ReadEnd::Data(_) => self.follow_frames(),
                    ReadEnd::Blocked => break,
                    // A reset that a write has met is not told again: what follows looks like an end.
                    ReadEnd::Eof if death.is_none_or(|death| death == Death::Closed) => self.ended = true,
                    ReadEnd::Eof | ReadEnd::Dead(_) => return (Flowed::Dead, passed),
                }
            }
            flowed = Flowed::Moved;
        }
        if flowed == Flowed::Moved {
            self.moved_at = now;
        }
        buffers.give_if_empty(&mut self.buffer);
        (flowed, passed)
    }

    /// Writes once: how much was taken, and how much of that was not the head.
    fn write(&mut self, to: &mut Socket) -> Result<(usize, u64), Death> {
        if self.head_sent < self.head.len() {
            let count = to.write(&self.head[self.head_sent..])?;
            self.head_sent += count;
            if self.head_sent == self.head.len() {
                self.head = Vec::new();
                self.head_sent = 0;
            }
            return Ok((count, 0));
        }
        let Some(buffer) = &mut self.buffer else { return Ok((0, 0)) };
        let count = to.write(buffer.filled())?;
        buffer.consume(count);
        Ok((count, count as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;
    use crate::conn::socket::Silence;
    use crate::worker::slab::Key;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
    const FRAMES: &[u8] = b"\x81\x02hi\x89\x00\x82\x7e\x00\x03abc";
    const ENDS: [usize; 4] = [0, 4, 6, 13];
    const NOW: Micros = Micros(1_000_000);

    /// A tunnel's two sockets on loopback, and the peers behind them.
    struct Rig {
        poll: Poll,
        events: Events,
        sockets: [Socket; 2],
        buffers: Buffers,
    }

    impl Rig {
        fn new() -> (Self, TcpStream, TcpStream) {
            let poll = Poll::new().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let pair = |index| {
                let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let (ours, _) = listener.accept().unwrap();
                ours.set_nonblocking(true).unwrap();
                // Small, so that much less than a buffer is too much for the receiver.
                socket2::SockRef::from(&ours).set_send_buffer_size(4_096).unwrap();
                let ours = mio::net::TcpStream::from_std(ours);
                let mut socket =
                    Socket::register(ours, Key { index, generation: 0 }, poll.registry()).unwrap();
                socket.assume_ready();
                (socket, peer)
            };
            let ((first, left), (second, right)) = (pair(0), pair(1));
            let sockets = [first, second];
            (
                Self { poll, events: Events::with_capacity(8), sockets, buffers: Buffers::default() },
                left,
                right,
            )
        }

        /// Passes on from the left to the right, or back, until `done`.
        fn pass(
            &mut self,
            direction: &mut Direction,
            back: bool,
            death: Option<Death>,
            done: impl Fn(&Direction, Flowed) -> bool,
        ) -> Flowed {
            for _ in 0..1_000 {
                let [left, right] = &mut self.sockets;
                let (from, to) = if back { (right, left) } else { (left, right) };
                let (flowed, _) = direction.pass(from, to, death, &mut self.buffers, NOW);
                if done(direction, flowed) {
                    return flowed;
                }
                self.poll.poll(&mut self.events, Some(Duration::from_millis(10))).unwrap();
                for event in &self.events {
                    self.sockets[Key::of(event.token()).index as usize].note(event);
                }
            }
            panic!("nothing came of it: {direction:?}");
        }
    }

    #[test]
    fn the_rest_of_the_head_goes_first_and_frames_are_followed_from_the_first_byte_behind_it() {
        for at in 0..=FRAMES.len() {
            let (mut rig, mut left, mut right) = Rig::new();
            let mut behind = rig.buffers.take();
            behind.room()[..at].copy_from_slice(&FRAMES[..at]);
            behind.fill(at);
            let mut direction = Direction::new(HEAD.to_vec(), 5, Some(behind), NOW);
            rig.pass(&mut direction, false, None, |_, flowed| flowed == Flowed::Stuck);
            assert_eq!(direction.boundary.at_boundary(), ENDS.contains(&at), "behind {at} bytes");
            assert!(
                direction.buffer.is_none() && direction.head.capacity() == 0,
                "nothing is held for nothing"
            );
            left.write_all(&FRAMES[at..]).unwrap();
            left.shutdown(std::net::Shutdown::Write).unwrap();
            rig.pass(&mut direction, false, None, |direction, _| direction.is_over());
            assert!(direction.boundary.at_boundary());
            let mut received = Vec::new();
            right.read_to_end(&mut received).unwrap();
            assert_eq!(received, [&HEAD[5..], FRAMES].concat());
        }
    }

    #[test]
    fn a_buffer_that_just_fits_what_came_early_is_not_read_into() {
        let (mut rig, mut left, mut right) = Rig::new();
        let mut behind = rig.buffers.take();
        behind.room()[0] = b'e';
        behind.fill(1);
        let mut behind = Some(behind);
        rig.buffers.settle(&mut behind, true);
        let mut direction = Direction::new(Vec::new(), 0, behind, NOW);
        left.write_all(&[7; 2_000]).unwrap();
        while rig.sockets[0].look() == Silence::Kept {}
        let [from, to] = &mut rig.sockets;
        let (flowed, passed) = direction.pass(from, to, None, &mut rig.buffers, NOW);
        assert_eq!((flowed, passed), (Flowed::Moved, 2_001), "not byte by byte");
        let mut received = [0; 2_001];
        right.read_exact(&mut received).unwrap();
        assert_eq!((received[0], &received[1..]), (b'e', &[7; 2_000][..]));
    }

    #[test]
    fn what_a_receiver_said_before_it_took_no_more_still_arrives() {
        let (mut rig, mut left, mut right) = Rig::new();
        let (mut there, mut back) = (Direction::default(), Direction::default());
        let said = vec![7; 50_000];
        right.write_all(&said).unwrap();
        drop(right);
        // The first is answered with a reset, the second meets it.
        for _ in 0..2 {
            left.write_all(b"x").unwrap();
            rig.pass(&mut there, false, None, |direction, flowed| direction.over || flowed == Flowed::Moved);
        }
        rig.pass(&mut there, false, None, |direction, _| direction.is_over());
        assert_eq!(there.lost(), Some(Death::Closed), "it had ended its own direction in good order");
        let mut received = vec![0; said.len()];
        rig.pass(&mut back, true, there.lost(), |direction, _| direction.is_over());
        left.read_exact(&mut received).unwrap();
        assert_eq!(received, said);
        assert_eq!(left.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_receiver_that_takes_a_part_at_a_time_is_slow_and_not_stalled() {
        const LATER: Micros = Micros(9_000_000);
        let (mut rig, mut left, mut right) = Rig::new();
        let mut direction = Direction::new(Vec::new(), 0, None, NOW);
        right.set_nonblocking(true).unwrap();
        left.set_nonblocking(true).unwrap();
        while left.write(&[7; 10_000]).is_ok() {}
        rig.pass(&mut direction, false, None, |direction, flowed| {
            flowed == Flowed::Stuck && direction.is_held_up()
        });
        assert_eq!(direction.deadline(false, Micros(300), NEVER), NOW + Micros(300));
        while right.read(&mut [0; 10_000]).is_ok() {}
        rig.poll.poll(&mut rig.events, Some(Duration::from_secs(10))).unwrap();
        for event in &rig.events {
            rig.sockets[Key::of(event.token()).index as usize].note(event);
        }
        let [from, to] = &mut rig.sockets;
        let (flowed, passed) = direction.pass(from, to, None, &mut rig.buffers, LATER);
        assert!(flowed == Flowed::Moved && passed > 0);
        assert_eq!(direction.deadline(false, Micros(300), NEVER), LATER + Micros(300));
    }

    #[test]
    fn a_reset_is_no_end_even_where_a_write_has_met_it_first() {
        for met in [false, true] {
            let (mut rig, left, _right) = Rig::new();
            socket2::SockRef::from(&left).set_linger(Some(Duration::ZERO)).unwrap();
            drop(left);
            let death = met.then(|| rig.sockets[0].write(b"x").unwrap_err());
            assert_eq!(death, met.then_some(Death::Reset));
            let mut direction = Direction::default();
            let flowed = rig.pass(&mut direction, false, death, |_, flowed| flowed != Flowed::Stuck);
            assert_eq!(flowed, Flowed::Dead);
            assert!(!direction.is_over(), "nobody was told of an end");
        }
    }

    #[test]
    fn a_deadline_binds_what_is_held_up_and_the_direction_that_is_left() {
        let (stall, idle) = (Micros(300), Micros(60));
        let mut direction = Direction::new(Vec::new(), 0, None, NOW);
        assert_eq!(direction.deadline(false, stall, idle), NEVER);
        assert_eq!(direction.deadline(true, stall, idle), NOW + idle);
        direction.touch(NOW + NOW);
        assert_eq!(direction.deadline(true, stall, idle), NOW + NOW + idle);
        direction = Direction::new(HEAD.to_vec(), 1, None, NOW);
        assert_eq!(direction.deadline(true, stall, idle), NOW + stall);
        direction.cut(Death::Reset, &mut Buffers::default());
        assert_eq!(direction.deadline(true, stall, idle), NEVER);
    }
}

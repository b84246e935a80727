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
    /// Begins: first the rest of the head, then what the sender sent behind its own head.
    pub(super) fn begin(&mut self, head: Vec<u8>, head_sent: usize, behind: Option<Buffer>, now: Micros) {
        *self = Self { head, head_sent, buffer: behind, moved_at: now, ..Self::default() };
        self.follow_frames();
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
                    Ok((0, _)) => return (flowed, passed),
                    Ok((_, payload)) => passed += payload,
                    Err(death) => self.cut(death, buffers),
                }
            } else if self.ended {
                to.shutdown_write();
                self.over = true;
            } else {
                match from.read(self.buffer.get_or_insert_with(|| buffers.take())) {
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

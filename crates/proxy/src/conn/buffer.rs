//! Read buffers, and the list that they are borrowed from.
//!
//! Laws:
//! 1. A connection that waits holds no buffer: it gives an empty one back.
//! 2. The free list is last in, first out, so that the few in use stay in the cache, and it is bounded.
//! 3. A buffer has [`READ_BYTES`]; only a head that does not fit makes it grow, and a grown one is not kept: neither in
//!    the list nor by a connection that waits, once the head is gone.
//! 4. While a large head waits somewhere else, what came behind it waits in a buffer that just fits: both together are no
//!    more than what was read.

/// Bytes of a read buffer.
pub(crate) const READ_BYTES: usize = 20 * 1024;
/// Bytes left free in front of a response, for the lines that its head gains on the way.
pub(crate) const HEADROOM: usize = 256;
/// Free buffers that are kept (10 MiB).
const KEEP: usize = 512;

/// Bytes `start..end` are filled.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        Self::of(READ_BYTES)
    }

    fn of(size: usize) -> Self {
        Self { bytes: vec![0; size], start: 0, end: 0 }
    }

    /// What is filled.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// How much is filled.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops bytes from the front.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count.min(self.len());
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room behind what is filled, made by moving it to the front if there is none.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// Says that `count` bytes of the room were filled.
    pub(crate) fn fill(&mut self, count: usize) {
        self.end += count;
    }

    /// Whether there is no room at all.
    pub(crate) fn is_full(&self) -> bool {
        self.len() == self.bytes.len()
    }

    /// Doubles it up to `most` bytes; false if it has them already.
    pub(crate) fn grow(&mut self, most: usize) -> bool {
        let size = (self.bytes.len() * 2).max(READ_BYTES).min(most);
        let grows = size > self.bytes.len();
        if grows {
            self.bytes.reserve_exact(size - self.bytes.len());
            self.bytes.resize(size, 0);
        }
        grows
    }

    /// Leaves [`HEADROOM`] in front of an empty buffer.
    pub(crate) fn keep_headroom(&mut self) {
        if self.is_empty() && self.bytes.len() > HEADROOM {
            self.start = HEADROOM;
            self.end = HEADROOM;
        }
    }

    /// Replaces the first `old` bytes by `head`, in place; false where there is no room for it.
    pub(crate) fn replace_front(&mut self, old: usize, head: &[u8]) -> bool {
        let body = self.start + old.min(self.len());
        match fairlead_http1::place_in_front(head, &mut self.bytes[..self.end], body) {
            Some(start) => {
                self.start = start;
                true
            }
            None => false,
        }
    }
}

/// The free list of a worker.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Vec<Buffer>,
}

impl Buffers {
    /// An empty buffer.
    pub(crate) fn take(&mut self) -> Buffer {
        self.free.pop().unwrap_or_else(Buffer::new)
    }

    /// The one in the slot, or an empty one: never one that is too small to read into.
    #[inline]
    pub(crate) fn ensure<'a>(&mut self, slot: &'a mut Option<Buffer>) -> &'a mut Buffer {
        if slot.as_ref().is_some_and(|buffer| buffer.is_empty() && buffer.bytes.len() < READ_BYTES) {
            *slot = None;
        }
        slot.get_or_insert_with(|| self.take())
    }

    /// Gives one back.
    pub(crate) fn give(&mut self, mut buffer: Buffer) {
        if self.free.len() < KEEP && buffer.bytes.len() == READ_BYTES {
            buffer.start = 0;
            buffer.end = 0;
            self.free.push(buffer);
        }
    }

    /// Gives one back if it holds nothing.
    pub(crate) fn give_if_empty(&mut self, slot: &mut Option<Buffer>) {
        if slot.as_ref().is_some_and(Buffer::is_empty) {
            self.give_any(slot);
        }
    }

    /// The same; and one that holds more room than it needs is exchanged: one behind a `large` head that waits elsewhere,
    /// for one that just fits, and one that has grown, for an ordinary one, if what it holds fits.
    #[inline]
    pub(crate) fn settle(&mut self, slot: &mut Option<Buffer>, large: bool) {
        let Some(buffer) = slot else { return };
        if buffer.is_empty() {
            self.give_any(slot);
        } else if large || buffer.bytes.len() > READ_BYTES {
            self.exchange(slot, large);
        }
    }

    #[cold]
    fn exchange(&mut self, slot: &mut Option<Buffer>, large: bool) {
        let gains = |buffer: &mut Buffer| {
            if large {
                buffer.bytes.len() >= READ_BYTES && !buffer.is_full()
            } else {
                buffer.len() <= READ_BYTES
            }
        };
        let Some(roomy) = slot.take_if(gains) else { return };
        let mut buffer = if large { Buffer::of(roomy.len()) } else { self.take() };
        buffer.bytes[..roomy.len()].copy_from_slice(roomy.filled());
        buffer.end = roomy.len();
        self.give(roomy);
        *slot = Some(buffer);
    }

    /// Gives one back, whatever it holds.
    pub(crate) fn give_any(&mut self, slot: &mut Option<Buffer>) {
        if let Some(buffer) = slot.take() {
            self.give(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut Buffer, bytes: &[u8]) {
        buffer.room()[..bytes.len()].copy_from_slice(bytes);
        buffer.fill(bytes.len());
    }

    #[test]
    fn room_is_made_by_moving_to_the_front() {
        let mut buffer = Buffer::new();
        let all = buffer.room().len();
        put(&mut buffer, &vec![b'x'; all]);
        assert!(buffer.is_full());
        assert!(buffer.room().is_empty());
        buffer.consume(all - 2);
        put(&mut buffer, b"yz");
        assert_eq!(buffer.filled(), b"xxyz");
    }

    #[test]
    fn a_longer_head_takes_the_place_of_a_shorter_one() {
        let mut buffer = Buffer::new();
        buffer.keep_headroom();
        put(&mut buffer, b"old body");
        assert!(buffer.replace_front(4, b"longer "));
        assert_eq!(buffer.filled(), b"longer body");
        assert!(!buffer.replace_front(0, &[0; HEADROOM]), "there is an end to the headroom");
        assert_eq!(buffer.filled(), b"longer body");
    }

    #[test]
    fn a_grown_buffer_is_not_kept() {
        let mut buffers = Buffers::default();
        let mut buffer = buffers.take();
        assert!(buffer.grow(1 << 20));
        assert!(buffer.grow(READ_BYTES * 3));
        assert!(!buffer.grow(READ_BYTES * 3));
        buffers.give(buffer);
        assert!(buffers.free.is_empty());
        let mut slot = Some(buffers.take());
        buffers.give_if_empty(&mut slot);
        assert!(slot.is_none());
        assert_eq!(buffers.free.len(), 1);
    }

    #[test]
    fn what_is_left_in_a_grown_buffer_moves_to_an_ordinary_one_once_it_fits() {
        let mut buffers = Buffers::default();
        let mut buffer = buffers.take();
        assert!(buffer.grow(READ_BYTES * 2));
        put(&mut buffer, &vec![b'h'; READ_BYTES]);
        put(&mut buffer, b"body");
        let mut slot = Some(buffer);
        buffers.settle(&mut slot, false);
        assert_eq!(slot.as_ref().unwrap().bytes.len(), READ_BYTES * 2, "it does not fit yet");
        slot.as_mut().unwrap().consume(READ_BYTES);
        buffers.settle(&mut slot, false);
        let buffer = slot.unwrap();
        assert_eq!((buffer.filled(), buffer.bytes.len()), (&b"body"[..], READ_BYTES));
    }

    #[test]
    fn behind_a_large_head_that_waits_elsewhere_stands_what_just_fits_and_the_next_read_has_room_again() {
        let mut buffers = Buffers::default();
        let mut buffer = buffers.take();
        put(&mut buffer, b"behind");
        let mut slot = Some(buffer);
        buffers.settle(&mut slot, true);
        let tight = slot.as_mut().unwrap();
        assert_eq!((tight.filled(), tight.bytes.len()), (&b"behind"[..], 6));
        assert_eq!(buffers.free.len(), 1, "the roomy one is free again");
        buffers.settle(&mut slot, true);
        assert!(slot.as_ref().unwrap().is_full());
        let grown = buffers.ensure(&mut slot);
        assert!(grown.grow(READ_BYTES * 2), "what is not whole gets room behind it");
        assert_eq!((grown.filled(), grown.bytes.len()), (&b"behind"[..], READ_BYTES));
        let mut slot = Some(Buffer::of(6));
        slot.as_mut().unwrap().keep_headroom();
        assert!(!slot.as_mut().unwrap().room().is_empty(), "there is no headroom in six bytes");
        assert_eq!(buffers.ensure(&mut slot).bytes.len(), READ_BYTES);
    }
}

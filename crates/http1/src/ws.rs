//! Where WebSocket frames end (RFC 6455 §5.2), so that a tunnel can be ended between two of them.
//!
//! Laws: every opcode and flag is accepted, payload is never looked at, and state is a few bytes. A length that no
//! frame may have (2^63 or more) loses the boundaries for good: the tracker then never says that it is at one.

/// Follows one direction of a tunnel from its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    state: State,
    /// The length while it is read, then the bytes of mask and payload that are still to come.
    left: u64,
    close_seen: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a frame's first byte.
    Opcode,
    Length,
    /// So many bytes of an extended length are missing.
    Extended {
        missing: u8,
        masked: bool,
    },
    Payload,
    Lost,
}

/// The opcode of a Close frame.
const CLOSE: u8 = 0x8;

impl Default for Boundary {
    fn default() -> Self {
        Self { state: State::Opcode, left: 0, close_seen: false }
    }
}

impl Boundary {
    /// At the first byte of the tunnel.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes. Gives the offset in `buf` after the last frame that ends in it, if one does.
    pub fn feed(&mut self, buf: &[u8]) -> Option<usize> {
        let mut last = None;
        let mut at = 0;
        while at < buf.len() && self.state != State::Lost {
            if self.state == State::Payload {
                let len = usize::try_from(self.left).map_or(buf.len() - at, |left| left.min(buf.len() - at));
                self.left -= len as u64;
                at += len;
            } else {
                self.header(buf[at]);
                at += 1;
            }
            if self.state == State::Payload && self.left == 0 {
                self.state = State::Opcode;
                last = Some(at);
            }
        }
        last
    }

    /// Whether the bytes so far are whole frames, so that a frame of our own may follow.
    pub fn at_boundary(&self) -> bool {
        self.state == State::Opcode
    }

    /// Whether a Close frame has begun: nothing of our own may follow it.
    pub fn close_seen(&self) -> bool {
        self.close_seen
    }

    /// Whether the bytes are no WebSocket frames.
    pub fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    fn header(&mut self, byte: u8) {
        match self.state {
            State::Opcode => {
                self.close_seen |= byte & 0xf == CLOSE;
                self.state = State::Length;
            }
            State::Length => {
                let masked = byte & 0x80 != 0;
                self.left = 0;
                match byte & 0x7f {
                    126 => self.state = State::Extended { missing: 2, masked },
                    127 => self.state = State::Extended { missing: 8, masked },
                    len => self.payload(u64::from(len), masked),
                }
            }
            State::Extended { missing, masked } => {
                self.left = self.left << 8 | u64::from(byte);
                if missing > 1 {
                    self.state = State::Extended { missing: missing - 1, masked };
                } else {
                    self.payload(self.left, masked);
                }
            }
            State::Payload | State::Lost => {}
        }
    }

    /// A mask is four bytes in front of the payload (RFC 6455 §5.3).
    fn payload(&mut self, len: u64, masked: bool) {
        if len > i64::MAX as u64 {
            self.state = State::Lost;
        } else {
            self.left = len + if masked { 4 } else { 0 };
            self.state = State::Payload;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A frame and nothing but its length: 7, 16 or 64 bits as `width` wants, or as few as possible.
    fn frame(opcode: u8, len: usize, masked: bool, width: u8) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![opcode];
        match (len, width) {
            (0..=125, 0) => frame.push(mask | len as u8),
            (0..=65_535, 0 | 1) => {
                frame.push(mask | 0x7e);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7f);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + len + if masked { 4 } else { 0 }, 0x88);
        frame
    }

    #[test]
    fn knows_the_end_of_each_kind_of_length() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536] {
            for masked in [false, true] {
                let bytes = frame(0x82, len, masked, 0);
                let mut boundary = Boundary::new();
                assert!(boundary.at_boundary());
                assert_eq!(boundary.feed(&bytes[..bytes.len() - 1]), None);
                assert!(!boundary.at_boundary(), "{len} {masked}");
                assert_eq!(boundary.feed(&bytes[bytes.len() - 1..]), Some(1));
                assert!(boundary.at_boundary(), "{len} {masked}");
                assert!(!boundary.close_seen());
            }
        }
    }

    #[test]
    fn sees_a_close_frame_from_its_first_byte() {
        let mut boundary = Boundary::new();
        assert_eq!(boundary.feed(&frame(0x81, 3, true, 0)), Some(9));
        assert_eq!(boundary.feed(&[0x88]), None);
        assert!(boundary.close_seen() && !boundary.at_boundary());
    }

    #[test]
    fn an_impossible_length_is_never_at_a_boundary_again() {
        let mut boundary = Boundary::new();
        assert_eq!(boundary.feed(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), None);
        assert!(boundary.is_lost());
        assert_eq!(boundary.feed(&frame(0x81, 0, false, 0)), None);
        assert!(!boundary.at_boundary());
        let mut longest = Boundary::new();
        assert_eq!(longest.feed(&[0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1]), None);
        assert!(!longest.is_lost() && !longest.at_boundary());
    }

    proptest! {
        #[test]
        fn boundaries_do_not_depend_on_the_packets(
            frames in vec((any::<u8>(), 0usize..300, any::<bool>(), 0u8..3), 1..8),
            cuts in vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut wire = Vec::new();
            let mut ends = vec![0];
            for (opcode, len, masked, width) in frames {
                wire.extend(frame(opcode, len, masked, width));
                ends.push(wire.len());
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            cuts.push(wire.len());
            cuts.sort_unstable();
            let mut boundary = Boundary::new();
            let mut from = 0;
            for to in cuts {
                let last = boundary.feed(&wire[from..to]).map(|at| from + at);
                prop_assert_eq!(last, ends.iter().copied().rfind(|&end| end > from && end <= to));
                prop_assert_eq!(boundary.at_boundary(), ends.contains(&to));
                from = to;
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..200)) {
            Boundary::new().feed(&bytes);
        }
    }
}

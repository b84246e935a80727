//! Frame boundaries of WebSocket: frames of every length, at every fragmentation.
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use fairlead_http1::ws::Boundary;
use proptest::prelude::*;

/// How a length is written: in 7, 16 or 64 bits (RFC 6455 section 5.2).
const WIDTHS: [(u8, usize); 3] = [(0, 125), (2, 65_535), (8, usize::MAX)];

/// A frame in a width that can say its length.
fn frame(opcode: u8, len: usize, masked: bool, width: u8) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut frame = vec![opcode];
    match width {
        0 => frame.push(mask | u8::try_from(len).unwrap()),
        2 => {
            frame.push(mask | 0x7e);
            frame.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            frame.push(mask | 0x7f);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    // Payload that looks like headers of frames.
    frame.extend(std::iter::repeat_n(0x81, len + if masked { 4 } else { 0 }));
    frame
}

/// Whether the tracker that sees `wire` in these packets knows each boundary among `ends`, and no other.
fn knows(wire: &[u8], ends: &[usize], packets: impl Iterator<Item = usize>) -> bool {
    let mut boundary = Boundary::new();
    let mut from = 0;
    packets.chain([wire.len()]).all(|to| {
        let last = boundary.feed(&wire[from..to]).map(|at| from + at);
        let expected = ends.iter().copied().rfind(|end| *end > from && *end <= to);
        from = to;
        last == expected && boundary.at_boundary() == (to == 0 || ends.contains(&to))
    })
}

#[test]
fn frames_of_every_length_split_at_every_byte() {
    for masked in [false, true] {
        for (width, most) in WIDTHS {
            for len in 0..=most.min(300) {
                let mut wire = frame(0x82, len, masked, width);
                let first = wire.len();
                wire.extend(frame(0x89, 3, !masked, 0));
                let ends = [first, wire.len()];
                for at in 0..=wire.len() {
                    assert!(
                        knows(&wire, &ends, [at].into_iter()),
                        "{len} in {width}, {masked}, split at {at}"
                    );
                }
                assert!(knows(&wire, &ends, 1..wire.len()), "{len} in {width}, {masked}, byte by byte");
            }
        }
    }
}

#[test]
fn long_frames_split_around_every_byte_that_counts() {
    for masked in [false, true] {
        for (width, most) in WIDTHS {
            for len in [65_534, 65_535, 65_536, 65_537, 1 << 20] {
                if len > most {
                    continue;
                }
                let wire = frame(0x02, len, masked, width);
                let ends = [wire.len()];
                for at in (0..20).chain(wire.len() - 20..=wire.len()) {
                    assert!(
                        knows(&wire, &ends, [at].into_iter()),
                        "{len} in {width}, {masked}, split at {at}"
                    );
                }
            }
        }
    }
}

#[test]
fn three_small_frames_in_every_division_into_packets() {
    let mut wire = Vec::new();
    let mut ends = Vec::new();
    for (opcode, len, masked, width) in [(0x01, 0, true, 0), (0x80, 2, false, 2), (0x8a, 1, false, 0)] {
        wire.extend(frame(opcode, len, masked, width));
        ends.push(wire.len());
    }
    // Each bit is a cut between two bytes.
    assert!(wire.len() <= 16, "{}", wire.len());
    for cuts in 0..1_u32 << (wire.len() - 1) {
        let packets = (1..wire.len()).filter(|at| cuts & (1 << (at - 1)) != 0);
        assert!(knows(&wire, &ends, packets), "{cuts:b}");
    }
}

proptest! {
    #[test]
    fn streams_of_frames_of_any_length_in_any_packets(
        frames in proptest::collection::vec(
            (any::<u8>(), prop_oneof![0usize..126, 126usize..2_000, 65_500usize..66_000], any::<bool>(), 0usize..3),
            1..6,
        ),
        sizes in proptest::collection::vec(prop_oneof![1usize..4, 1usize..200, 1usize..20_000], 1..40),
    ) {
        let mut wire = Vec::new();
        let mut ends = Vec::new();
        for (opcode, len, masked, wanted) in frames {
            let (width, _) = WIDTHS[wanted..].iter().find(|(_, most)| len <= *most).unwrap();
            wire.extend(frame(opcode, len, masked, *width));
            ends.push(wire.len());
        }
        let mut at = 0;
        let packets = sizes.iter().cycle().map(|size| { at += size; at }).take_while(|at| *at < wire.len());
        prop_assert!(knows(&wire, &ends, packets));
    }
}

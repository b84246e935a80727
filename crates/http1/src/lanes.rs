//! Runs of bytes of one class, found sixteen bytes at a time.
//!
//! Laws:
//! 1. The classes are those of [`table`](crate::table); the tests compare every byte at every place.
//! 2. Only bytes of the slice count: what is left behind the last whole block is read with the bytes before it.

use wide::u8x16;

const WIDTH: usize = 16;

/// Where the field value, or the rest of it, that begins at `at` ends: at the first byte that no value may hold.
pub(crate) fn value_end(buf: &[u8], at: usize) -> usize {
    first(buf, at, |block| {
        let control = below(block, 0x20) & !is(block, b'\t');
        control | is(block, 0x7f)
    })
}

/// Where the letters, digits and hyphens from `at` on end. Nearly all field names have nothing else.
pub(crate) fn plain_name_end(buf: &[u8], at: usize) -> usize {
    let stops = |block| !(alphanumeric(block) | is(block, b'-'));
    // Nearly all are shorter than a block.
    if let Some(block) = buf.get(at..).and_then(<[u8]>::first_chunk) {
        let found = stops(u8x16::new(*block)).to_bitmask();
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
    }
    first(buf, at, stops)
}

/// Where the registered name at the start of `buf` ends: at the first byte that none may hold.
pub(crate) fn host_end(buf: &[u8]) -> usize {
    first(buf, 0, |block| !(alphanumeric(block) | is(block, b'-') | is(block, b'.') | is(block, b'_')))
}

/// Where the request-target that begins at `at` ends: at the first byte that no target may hold.
pub(crate) fn target_end(buf: &[u8], at: usize) -> usize {
    first(buf, at, |block| {
        let other = is(block, b'"') | is(block, b'#') | is(block, b'<') | is(block, b'>');
        !within(block, b'!', b'~') | other
    })
}

/// Where `byte` stands first, from `at` on.
pub(crate) fn find(buf: &[u8], at: usize, byte: u8) -> Option<usize> {
    let found = first(buf, at, |block| is(block, byte));
    (found < buf.len()).then_some(found)
}

/// The first place from `at` on that `stops` marks, or the end.
fn first(buf: &[u8], at: usize, stops: impl Fn(u8x16) -> u8x16) -> usize {
    let (blocks, rest) = buf.get(at..).unwrap_or_default().as_chunks::<WIDTH>();
    for (number, block) in blocks.iter().enumerate() {
        let found = stops(u8x16::new(*block)).to_bitmask();
        if found != 0 {
            return at + number * WIDTH + found.trailing_zeros() as usize;
        }
    }
    match buf.last_chunk::<WIDTH>() {
        _ if rest.is_empty() => buf.len(),
        Some(block) => {
            let found = stops(u8x16::new(*block)).to_bitmask() >> (WIDTH - rest.len());
            if found == 0 { buf.len() } else { buf.len() - rest.len() + found.trailing_zeros() as usize }
        }
        None => first_of_few(buf, at, stops),
    }
}

/// The same in a slice shorter than a block.
#[cold]
fn first_of_few(buf: &[u8], at: usize, stops: impl Fn(u8x16) -> u8x16) -> usize {
    let mut block = [0; WIDTH];
    block[..buf.len()].copy_from_slice(buf);
    let found = stops(u8x16::new(block)).to_bitmask() >> at.min(WIDTH);
    buf.len().min(at + found.trailing_zeros() as usize)
}

#[inline]
fn is(block: u8x16, byte: u8) -> u8x16 {
    block.simd_eq(u8x16::splat(byte))
}

#[inline]
fn alphanumeric(block: u8x16) -> u8x16 {
    // Sets the bit that tells lower case from upper; what is no letter does not become one.
    let letter = within(block | u8x16::splat(0x20), b'a', b'z');
    letter | within(block, b'0', b'9')
}

/// Bytes below `limit`, which is not 0.
#[inline]
fn below(block: u8x16, limit: u8) -> u8x16 {
    block.min(u8x16::splat(limit - 1)).simd_eq(block)
}

/// Bytes from `low` to `high`.
#[inline]
fn within(block: u8x16, low: u8, high: u8) -> u8x16 {
    below(block - u8x16::splat(low), high - low + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    /// Every byte behind `good` ones, at every place of slices of every length up to three blocks.
    fn compare(end: impl Fn(&[u8], usize) -> usize, good: u8, belongs: impl Fn(u8) -> bool) {
        for len in 0..3 * WIDTH {
            let mut buf = vec![good; len];
            for at in 0..=len {
                assert_eq!(end(&buf, at), len);
            }
            for place in 0..len {
                for byte in 0..=u8::MAX {
                    buf[place] = byte;
                    for at in [0, place / 2, place] {
                        let expected = if belongs(byte) { len } else { place };
                        assert_eq!(end(&buf, at), expected, "{byte:#x} at {place} of {len} from {at}");
                    }
                    assert_eq!(end(&buf, place + 1), len);
                }
                buf[place] = good;
            }
        }
    }

    #[test]
    fn runs_end_where_the_tables_say() {
        compare(value_end, b'a', table::is_value);
        compare(target_end, b'/', table::is_target);
        compare(plain_name_end, b'x', |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        compare(|buf, at| at + host_end(&buf[at..]), b'a', table::is_host);
        compare(|buf, at| find(buf, at, b'?').unwrap_or(buf.len()), b'a', |byte| byte != b'?');
    }
}

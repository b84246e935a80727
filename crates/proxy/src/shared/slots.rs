//! A persistent vector of optional shared values, addressed by dense slots.
//!
//! Two levels of 64: an edit copies one chunk and the list of chunks, whatever the number of values.

use std::sync::Arc;

const CHUNK: usize = 64;

type Chunk<T> = [Option<Arc<T>>; CHUNK];

/// A persistent vector; clones share all chunks.
#[derive(Debug)]
pub struct Slots<T> {
    chunks: Arc<[Arc<Chunk<T>>]>,
}

impl<T> Clone for Slots<T> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks) }
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { chunks: Arc::new([]) }
    }
}

impl<T> Slots<T> {
    /// The value in `slot`, if there is one.
    #[inline]
    pub fn get(&self, slot: u32) -> Option<&Arc<T>> {
        self.chunks.get(slot as usize / CHUNK)?[slot as usize % CHUNK].as_ref()
    }

    /// All values with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Arc<T>)> {
        let all = self.chunks.iter().flat_map(|chunk| chunk.iter()).enumerate();
        all.filter_map(|(slot, value)| value.as_ref().map(|value| (slot as u32, value)))
    }

    /// One above the highest slot that can hold a value.
    pub fn bound(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    /// The same vector with `edits` made.
    #[must_use]
    pub fn with(&self, edits: impl IntoIterator<Item = (u32, Option<Arc<T>>)>) -> Self {
        let mut chunks: Vec<Arc<Chunk<T>>> = self.chunks.to_vec();
        for (slot, value) in edits {
            let (chunk, place) = (slot as usize / CHUNK, slot as usize % CHUNK);
            while chunks.len() <= chunk {
                chunks.push(Arc::new([const { None }; CHUNK]));
            }
            // A chunk that an older vector still shows is copied, one made by an edit before is not.
            Arc::make_mut(&mut chunks[chunk])[place] = value;
        }
        Self { chunks: chunks.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_leaves_the_vector_before_as_it_was() {
        let first = Slots::default().with([(0, Some(Arc::new("a"))), (200, Some(Arc::new("b")))]);
        let second = first.with([(0, None), (1, Some(Arc::new("c")))]);
        let list = |slots: &Slots<&'static str>| {
            slots.iter().map(|(slot, value)| (slot, **value)).collect::<Vec<_>>()
        };
        assert_eq!(list(&first), [(0, "a"), (200, "b")]);
        assert_eq!(list(&second), [(1, "c"), (200, "b")]);
        assert!(Arc::ptr_eq(first.get(200).unwrap(), second.get(200).unwrap()));
        assert_eq!(second.get(100_000), None);
    }

    #[test]
    fn an_edit_copies_one_chunk() {
        let first = Slots::default().with((0..256).map(|slot| (slot, Some(Arc::new(slot)))));
        let second = first.with([(70, None)]);
        let shared = first.chunks.iter().zip(second.chunks.iter()).map(|(a, b)| Arc::ptr_eq(a, b));
        assert_eq!(shared.collect::<Vec<_>>(), [true, false, true, true]);
    }
}

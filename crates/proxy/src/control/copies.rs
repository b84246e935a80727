//! A list that is published again and again with few changes.
//!
//! Laws:
//! 1. What was published never changes. A change goes into the list that was published before the last one, once nobody
//!    reads that any more; else, and where entries came or went, all are copied. An entry that counts references costs a
//!    write somewhere in memory to copy, and one more to drop.
//! 2. No entry that is in the list no more is held: where entries came or went the older list is given up.

use std::ops::Range;
use std::sync::Arc;

/// The list, and what was published of it.
#[derive(Debug)]
pub(super) struct Copies<T> {
    list: Vec<T>,
    last: Option<Arc<[T]>>,
    /// Published before `last`.
    spare: Option<Arc<[T]>>,
    /// Indices that changed since `last`, and between the two.
    since_last: Vec<usize>,
    since_spare: Vec<usize>,
}

impl<T: Clone> Copies<T> {
    pub(super) fn new(list: Vec<T>) -> Self {
        Self { list, last: None, spare: None, since_last: Vec::new(), since_spare: Vec::new() }
    }

    pub(super) fn list(&self) -> &[T] {
        &self.list
    }

    pub(super) fn set(&mut self, at: usize, entry: T) {
        self.list[at] = entry;
        self.since_last.push(at);
    }

    pub(super) fn insert(&mut self, at: usize, entry: T) {
        self.forget();
        self.list.insert(at, entry);
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.forget();
        self.list.remove(at);
    }

    /// The list as it is now, and the indices outside which it is the one published before.
    pub(super) fn publish(&mut self) -> (Arc<[T]>, Range<usize>) {
        let changed = match (&self.last, self.since_last.iter().min(), self.since_last.iter().max()) {
            (Some(last), None, _) | (Some(last), _, None) => return (Arc::clone(last), 0..0),
            (Some(_), Some(first), Some(last)) => *first..last + 1,
            (None, ..) => 0..self.list.len(),
        };
        let mut spare = self.spare.take();
        let next = match spare.as_mut().and_then(Arc::get_mut) {
            Some(entries) => {
                for &at in self.since_spare.iter().chain(&self.since_last) {
                    entries[at] = self.list[at].clone();
                }
                spare
            }
            None => None,
        };
        let next = next.unwrap_or_else(|| self.list.as_slice().into());
        self.spare = self.last.replace(Arc::clone(&next));
        self.since_spare = std::mem::take(&mut self.since_last);
        (next, changed)
    }

    fn forget(&mut self) {
        self.last = None;
        self.spare = None;
        self.since_last.clear();
        self.since_spare.clear();
    }
}

#[cfg(test)]
mod tests {
    use fairlead_balance::{Rng, SplitMix64};

    use super::*;

    #[test]
    fn what_nobody_reads_any_more_is_written_again() {
        let mut copies = Copies::new(vec![0; 4]);
        let (first, _) = copies.publish();
        let place = first.as_ptr();
        copies.set(1, 1);
        let (second, _) = copies.publish();
        assert_eq!((&*first, &*second), (&[0, 0, 0, 0][..], &[0, 1, 0, 0][..]));
        drop(first);
        copies.set(2, 2);
        let (third, _) = copies.publish();
        assert_eq!((third.as_ptr(), &*third), (place, &[0, 1, 2, 0][..]));
        copies.set(3, 3);
        let (fourth, _) = copies.publish();
        assert_eq!((&*second, &*fourth), (&[0, 1, 0, 0][..], &[0, 1, 2, 3][..]), "the second is still read");
    }

    #[test]
    fn what_was_removed_is_not_held() {
        let entry = Arc::new(());
        let mut copies = Copies::new(vec![Arc::clone(&entry), Arc::default()]);
        drop(copies.publish());
        copies.set(1, Arc::default());
        drop(copies.publish());
        copies.remove(0);
        assert_eq!(Arc::strong_count(&entry), 1);
    }

    #[test]
    fn any_history_publishes_the_list_and_changes_nothing_published() {
        let mut rng = SplitMix64::new(1);
        let mut copies = Copies::new(Vec::new());
        let mut read: Vec<(Vec<u64>, Arc<[u64]>)> = Vec::new();
        let mut last: Arc<[u64]> = Arc::from([]);
        for step in 0..5_000 {
            let count = copies.list().len() as u32;
            match rng.below(8) {
                0 => copies.insert(rng.below(count + 1) as usize, step),
                1 if count > 8 => copies.remove(rng.below(count) as usize),
                2..5 if count > 0 => copies.set(rng.below(count) as usize, step),
                5 if !read.is_empty() => drop(read.swap_remove(rng.below(read.len() as u32) as usize)),
                _ => {
                    let (next, changed) = copies.publish();
                    if changed.len() < next.len() {
                        let outside = |list: &[u64]| [&list[..changed.start], &list[changed.end..]].concat();
                        assert_eq!(outside(&last), outside(&next));
                    }
                    last = Arc::clone(&next);
                    read.push((copies.list().to_vec(), next));
                }
            }
            assert!(read.iter().all(|(list, published)| **list == **published));
        }
    }
}

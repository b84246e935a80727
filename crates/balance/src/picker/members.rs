//! Who came to a worker's part and who left it, by indices alone where the views did not change.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::EndpointView;

/// Where the members of old views are in the new ones, each list in order.
pub(super) struct Carried {
    /// Outside of what changed.
    pub(super) outside: Vec<u32>,
    /// In what changed, found by their records.
    within: Vec<u32>,
}

impl Carried {
    pub(super) fn new(
        old: &[EndpointView],
        members: &[u32],
        new: &[EndpointView],
        changed: &Range<usize>,
    ) -> Self {
        let tail = new.len() - changed.end;
        let at = |index: usize| members.partition_point(|&member| (member as usize) < index);
        let (head, rest) = (at(changed.start), at(old.len() - tail));
        let record = |view: &EndpointView| Arc::as_ptr(&view.load).addr();
        let between: FxHashSet<usize> =
            members[head..rest].iter().map(|&member| record(&old[member as usize])).collect();
        let is_found = |index: &usize| between.contains(&record(&new[*index]));
        let moved = members[rest..].iter().map(|&member| (member as usize + new.len() - old.len()) as u32);
        Self {
            outside: members[..head].iter().copied().chain(moved).collect(),
            within: changed.clone().filter(is_found).map(|index| index as u32).collect(),
        }
    }

    /// Those that are no members any more.
    pub(super) fn missing_in(&self, members: &[u32]) -> Vec<u32> {
        let mut left = missing(&self.outside, members);
        left.extend(missing(&self.within, members));
        left.sort_unstable();
        left
    }
}

/// Those that the others lack; both are in order.
pub(super) fn missing(these: &[u32], others: &[u32]) -> Vec<u32> {
    let mut others = others.iter().copied().peekable();
    let lacking = |index: &u32| {
        while others.next_if(|other| other < index).is_some() {}
        others.next_if_eq(index).is_none()
    };
    these.iter().copied().filter(lacking).collect()
}

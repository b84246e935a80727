//! [`CowMap`]: a hash map whose versions share what did not change.
//!
//! Laws
//! 1. A clone is one reference count. A change of a shared map copies one shard of some dozens of entries and the list
//!    of shards; a change of an unshared one happens in place.
//! 2. What a map contains, not how it came to be, decides equality.
//! 3. A lookup hashes nothing: the caller does, because the hash of a path is that of its parent and a segment.

use std::sync::Arc;

/// Entries per shard, on average, above which the number of shards doubles, and below which it is halved.
const FULL: usize = 32;
const SPARSE: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct CowMap<V> {
    /// A power of two of them, or none; an entry's shard is given by the high bits of its hash.
    shards: Arc<Vec<Arc<Shard<V>>>>,
    len: usize,
}

/// Sorted by hash.
type Shard<V> = Vec<Entry<V>>;

#[derive(Clone, Debug)]
struct Entry<V> {
    hash: u64,
    key: Arc<[u8]>,
    value: V,
}

impl<V> Default for CowMap<V> {
    fn default() -> Self {
        Self { shards: Arc::default(), len: 0 }
    }
}

impl<V> CowMap<V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of `key`, whose hash is `hash`.
    pub(crate) fn get(&self, hash: u64, key: &[u8]) -> Option<&V> {
        let shard = self.shards.get(shard_of(hash, self.shards.len()))?;
        let position = position(shard, hash, key).ok()?;
        Some(&shard[position].value)
    }
}

impl<V: Clone> CowMap<V> {
    /// The value of `key`, which is made if it is absent.
    pub(crate) fn entry(&mut self, hash: u64, key: &[u8], make: impl FnOnce() -> V) -> &mut V {
        if self.get(hash, key).is_none() {
            self.len += 1;
            if self.len > self.shards.len() * FULL {
                self.spread((self.shards.len() * 2).max(1));
            }
        }
        let shard = self.shard_mut(hash);
        let position = match position(shard, hash, key) {
            Ok(position) => position,
            Err(position) => {
                shard.insert(position, Entry { hash, key: key.into(), value: make() });
                position
            }
        };
        &mut shard[position].value
    }

    /// The value of `key`, to be changed.
    pub(crate) fn get_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut V> {
        self.get(hash, key)?;
        let shard = self.shard_mut(hash);
        let position = position(shard, hash, key).ok()?;
        Some(&mut shard[position].value)
    }

    pub(crate) fn remove(&mut self, hash: u64, key: &[u8]) {
        if self.get(hash, key).is_none() {
            return;
        }
        let shard = self.shard_mut(hash);
        if let Ok(position) = position(shard, hash, key) {
            shard.remove(position);
        }
        self.len -= 1;
        if self.len == 0 {
            self.shards = Arc::default();
        } else if self.shards.len() > 1 && self.len < self.shards.len() * SPARSE {
            self.spread(self.shards.len() / 2);
        }
    }

    /// The shard of `hash`, owned. Precondition: there are shards.
    fn shard_mut(&mut self, hash: u64) -> &mut Shard<V> {
        let index = shard_of(hash, self.shards.len());
        Arc::make_mut(&mut Arc::make_mut(&mut self.shards)[index])
    }

    /// Distributes the entries over `count` shards.
    fn spread(&mut self, count: usize) {
        let mut shards: Vec<Shard<V>> = vec![Vec::new(); count];
        // Shards are in the order of the hashes' high bits: the entries come sorted.
        for shard in std::mem::take(Arc::make_mut(&mut self.shards)) {
            for entry in Arc::unwrap_or_clone(shard) {
                shards[shard_of(entry.hash, count)].push(entry);
            }
        }
        self.shards = Arc::new(shards.into_iter().map(Arc::new).collect());
    }
}

impl<V: PartialEq> PartialEq for CowMap<V> {
    fn eq(&self, other: &Self) -> bool {
        let is_there = |entry: &Entry<V>| other.get(entry.hash, &entry.key) == Some(&entry.value);
        self.len == other.len && self.shards.iter().all(|shard| shard.iter().all(is_there))
    }
}

fn shard_of(hash: u64, shards: usize) -> usize {
    // One shard needs no bits; a shift by all 64 would overflow.
    if shards <= 1 { 0 } else { (hash >> (u64::BITS - shards.trailing_zeros())) as usize }
}

/// Where the key is, or where it belongs.
fn position<V>(shard: &[Entry<V>], hash: u64, key: &[u8]) -> Result<usize, usize> {
    let first = shard.partition_point(|entry| entry.hash < hash);
    let same = shard[first..].iter().take_while(|entry| entry.hash == hash);
    match same.clone().position(|entry| *entry.key == *key) {
        Some(offset) => Ok(first + offset),
        None => Err(first),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Few values, so that keys collide.
    fn hash(key: u8, bits: u32) -> u64 {
        u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15) & !(u64::MAX >> 1 >> (bits - 1))
    }

    #[test]
    fn old_versions_stay_as_they_were() {
        let mut map = CowMap::default();
        let mut versions = Vec::new();
        for key in 0..200u8 {
            *map.entry(hash(key, 64), &[key], || 0) = u32::from(key);
            versions.push(map.clone());
        }
        for key in 0..200u8 {
            map.remove(hash(key, 64), &[key]);
        }
        assert!(map.is_empty());
        for (count, version) in versions.iter().enumerate() {
            assert_eq!(version.len, count + 1);
            assert_eq!(version.get(hash(count as u8, 64), &[count as u8]), Some(&(count as u32)));
            assert_eq!(version.get(hash(count as u8 + 1, 64), &[count as u8 + 1]), None);
        }
    }

    #[test]
    fn a_change_copies_one_shard() {
        let mut map = CowMap::default();
        for key in 0..=255u8 {
            map.entry(hash(key, 64), &[key], || 0);
        }
        let before = map.clone();
        *map.get_mut(hash(7, 64), &[7]).unwrap() = 1;
        let copied = map.shards.iter().zip(before.shards.iter()).filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
        assert_eq!(copied, 1);
        assert!(map.shards.len() >= 8);
    }

    proptest! {
        #[test]
        fn it_is_a_map(bits in 1..=64u32, steps in prop::collection::vec((any::<u8>(), any::<bool>(), any::<u16>()), 0..600)) {
            let mut map = CowMap::default();
            let mut model = HashMap::new();
            for (key, insert, value) in steps {
                if insert {
                    *map.entry(hash(key, bits), &[key], || 0) = value;
                    model.insert(key, value);
                } else {
                    map.remove(hash(key, bits), &[key]);
                    model.remove(&key);
                }
                prop_assert_eq!(map.len, model.len());
            }
            let mut fresh = CowMap::default();
            for key in 0..=255u8 {
                prop_assert_eq!(map.get(hash(key, bits), &[key]), model.get(&key));
                if let Some(value) = model.get(&key) {
                    *fresh.entry(hash(key, bits), &[key], || 0) = *value;
                }
            }
            prop_assert!(map == fresh);
            fresh.entry(hash(1, bits), &[1, 1], || 0);
            prop_assert!(map != fresh);
        }
    }
}

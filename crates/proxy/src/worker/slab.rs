//! A slab with generational keys.
//!
//! Law: a key names one value for ever. An event, an alarm or a pool entry that outlives its connection finds nothing,
//! never another connection.

use mio::Token;

/// Where a value stands, and which of those that stood there it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The place.
    pub(crate) index: u32,
    /// Its incarnation.
    pub(crate) generation: u32,
}

impl Key {
    /// As the poller's token. Indices stay below 2^31, so that the highest tokens are free for other uses.
    pub(crate) fn token(self) -> Token {
        Token(((self.index as usize) << 32) | self.generation as usize)
    }

    /// The key in a token.
    pub(crate) fn of(token: Token) -> Self {
        Self { index: (token.0 >> 32) as u32, generation: token.0 as u32 }
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// The slab. Free places are used again last in, first out: the warm ones first.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts a value in; the maker sees its key.
    pub(crate) fn insert_with<E>(&mut self, make: impl FnOnce(Key) -> Result<T, E>) -> Result<Key, E> {
        let index = self.free.last().copied().unwrap_or(self.slots.len() as u32);
        let generation = self.slots.get(index as usize).map_or(0, |slot| slot.generation);
        let key = Key { index, generation };
        let value = make(key)?;
        if self.free.pop().is_some() {
            self.slots[index as usize].value = Some(value);
        } else {
            self.slots.push(Slot { generation, value: Some(value) });
        }
        Ok(key)
    }

    /// The value, while it is there.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.generation == key.generation)?
            .value
            .as_mut()
    }

    /// The value, while it is there.
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key.index as usize).filter(|slot| slot.generation == key.generation)?.value.as_ref()
    }

    /// Takes a value out; its key is void from then on.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// Lends a value out while another one is worked on; its key stays good for [`give_back`](Self::give_back).
    pub(crate) fn lend(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)?;
        slot.value.take()
    }

    /// Puts a lent value back.
    pub(crate) fn give_back(&mut self, key: Key, value: T) {
        if let Some(slot) =
            self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
        {
            slot.value = Some(value);
        }
    }

    /// All values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let key = Key { index: index as u32, generation: slot.generation };
            slot.value.as_ref().map(|value| (key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_names_a_later_value() {
        let mut slab = Slab::default();
        let put = |slab: &mut Slab<u32>, value| slab.insert_with(|_| Ok::<_, ()>(value)).unwrap();
        let first = put(&mut slab, 1);
        assert_eq!(slab.remove(first), Some(1));
        let second = put(&mut slab, 2);
        assert_eq!(second.index, first.index, "the warm place is used again");
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut 2));
        assert_eq!(Key::of(second.token()), second);
        assert_eq!(slab.iter().count(), 1);
    }

    #[test]
    fn a_maker_that_fails_leaves_no_trace() {
        let mut slab = Slab::<u32>::default();
        assert_eq!(slab.insert_with(|_| Err("no")), Err("no"));
        assert_eq!(slab.iter().count(), 0);
        let key = slab.insert_with(|_| Ok::<_, ()>(7)).unwrap();
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(key, &7)]);
    }
}

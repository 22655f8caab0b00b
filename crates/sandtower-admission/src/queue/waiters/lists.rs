//! Queues of calls in the order in which they arrived: pure data, in one allocation that is reused.

#[cfg(test)]
mod tests;

use sandtower_core::Tick;

/// The memory of any number of [lists](List). Removal takes constant time at any position.
#[derive(Debug)]
pub(crate) struct Lists<T> {
    slots: Vec<Slot<T>>,
    free: Option<u32>,
    len: usize,
}

/// A queue in order of arrival. An attempt that returns, such as one that was throttled, is inserted at
/// its old position.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct List {
    front: Option<u32>,
    back: Option<u32>,
    len: u32,
}

/// A place in a [`List`]. Invalid once its call left, even if the memory is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    slot: u32,
    generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    arrived: Tick,
    /// In front; for a free slot: nothing.
    before: Option<u32>,
    /// Behind; for a free slot: the next free one.
    behind: Option<u32>,
    value: Option<T>,
}

/// What a place takes of memory.
#[cfg(test)]
pub(super) fn slot_size<T>() -> usize {
    size_of::<Slot<T>>()
}

impl List {
    pub(crate) fn len(self) -> u32 {
        self.len
    }

    pub(crate) fn is_empty(self) -> bool {
        self.len == 0
    }
}

impl<T> Lists<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: None, len: 0 }
    }

    /// Number of calls in all lists.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Joins `list` behind all that arrived no later. Constant time for a new call; an attempt that
    /// returns skips those that arrived after it.
    pub(crate) fn join(&mut self, list: &mut List, arrived: Tick, value: T) -> Place {
        let mut before = list.back;
        while let Some(slot) = before {
            if self.at(slot).arrived <= arrived {
                break;
            }
            before = self.at(slot).before;
        }
        let behind = match before {
            Some(slot) => self.at(slot).behind,
            None => list.front,
        };
        let slot = self.fill(Slot { generation: 0, arrived, before, behind, value: Some(value) });
        match before {
            Some(before) => self.at_mut(before).behind = Some(slot),
            None => list.front = Some(slot),
        }
        match behind {
            Some(behind) => self.at_mut(behind).before = Some(slot),
            None => list.back = Some(slot),
        }
        list.len += 1;
        self.len += 1;
        self.place(slot)
    }

    /// Leaves `list`, which must be the list it joined.
    pub(crate) fn leave(&mut self, list: &mut List, place: Place) -> Option<T> {
        let slot = self.slots.get_mut(place.slot as usize)?;
        if slot.generation != place.generation {
            return None;
        }
        let value = slot.value.take()?;
        let (before, behind) = (slot.before.take(), slot.behind.take());
        slot.generation = slot.generation.wrapping_add(1);
        slot.behind = self.free.replace(place.slot);
        match before {
            Some(before) => self.at_mut(before).behind = behind,
            None => list.front = behind,
        }
        match behind {
            Some(behind) => self.at_mut(behind).before = before,
            None => list.back = before,
        }
        list.len -= 1;
        self.len -= 1;
        Some(value)
    }

    /// Number of calls ahead of `place` in `list`; `None` if the place is invalid. Linear time.
    pub(crate) fn ahead(&self, list: List, place: Place) -> Option<usize> {
        self.places(list, false).position(|other| other == place)
    }

    /// Number of calls that arrived no later than `arrived`. Linear in the number of later ones.
    pub(crate) fn arrived_by(&self, list: List, arrived: Tick) -> usize {
        let later = std::iter::successors(list.back, |&slot| self.at(slot).before)
            .take_while(|&slot| self.at(slot).arrived > arrived);
        list.len as usize - later.count()
    }

    pub(crate) fn get(&self, place: Place) -> Option<&T> {
        let slot = self.slots.get(place.slot as usize)?;
        if slot.generation == place.generation { slot.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        let slot = self.slots.get_mut(place.slot as usize)?;
        if slot.generation == place.generation { slot.value.as_mut() } else { None }
    }

    /// All places of `list`, from the front, or from the back if `newest_first`.
    pub(crate) fn places(&self, list: List, newest_first: bool) -> impl Iterator<Item = Place> {
        let first = if newest_first { list.back } else { list.front };
        std::iter::successors(first, move |&slot| {
            let slot = self.at(slot);
            if newest_first { slot.before } else { slot.behind }
        })
        .map(|slot| self.place(slot))
    }

    /// All calls of all lists, in no particular order.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }

    fn place(&self, slot: u32) -> Place {
        Place { slot, generation: self.at(slot).generation }
    }

    fn fill(&mut self, mut filled: Slot<T>) -> u32 {
        match self.free {
            Some(index) => {
                let slot = self.at_mut(index);
                filled.generation = slot.generation;
                let next_free = slot.behind;
                *slot = filled;
                self.free = next_free;
                index
            }
            None => {
                self.slots.push(filled);
                // 2^32 waiters do not fit into memory.
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }

    fn at(&self, slot: u32) -> &Slot<T> {
        &self.slots[slot as usize]
    }

    fn at_mut(&mut self, slot: u32) -> &mut Slot<T> {
        &mut self.slots[slot as usize]
    }
}

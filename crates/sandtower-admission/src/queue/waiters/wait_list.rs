//! Calls in the order in which they arrived: pure data, in one allocation that is reused.

#[cfg(test)]
mod tests;

use sandtower_core::Tick;

/// A queue in order of arrival. An attempt that returns, such as one that was throttled, gets its old
/// place back. Leaving takes constant time, from wherever.
#[derive(Debug)]
pub(crate) struct WaitList<T> {
    slots: Vec<Slot<T>>,
    free: Option<u32>,
    front: Option<u32>,
    back: Option<u32>,
    len: usize,
}

/// A place in a [`WaitList`]. Void once its call left, even if the memory is used again.
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

impl<T> WaitList<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: None, front: None, back: None, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Joins behind all that arrived no later. A newcomer joins in constant time; an attempt that
    /// returns passes those that arrived after it.
    pub(crate) fn join(&mut self, arrived: Tick, value: T) -> Place {
        let mut before = self.back;
        while let Some(slot) = before {
            if self.at(slot).arrived <= arrived {
                break;
            }
            before = self.at(slot).before;
        }
        let behind = match before {
            Some(slot) => self.at(slot).behind,
            None => self.front,
        };
        let slot = self.fill(Slot { generation: 0, arrived, before, behind, value: Some(value) });
        match before {
            Some(before) => self.at_mut(before).behind = Some(slot),
            None => self.front = Some(slot),
        }
        match behind {
            Some(behind) => self.at_mut(behind).before = Some(slot),
            None => self.back = Some(slot),
        }
        self.len += 1;
        self.place(slot)
    }

    pub(crate) fn leave(&mut self, place: Place) -> Option<T> {
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
            None => self.front = behind,
        }
        match behind {
            Some(behind) => self.at_mut(behind).before = before,
            None => self.back = before,
        }
        self.len -= 1;
        Some(value)
    }

    /// How many are ahead of `place`; `None` if it is void. Takes time in proportion.
    pub(crate) fn ahead(&self, place: Place) -> Option<usize> {
        self.places(false).position(|other| other == place)
    }

    /// How many arrived no later than `arrived`. Takes time in proportion to the others.
    pub(crate) fn arrived_by(&self, arrived: Tick) -> usize {
        let later = std::iter::successors(self.back, |&slot| self.at(slot).before)
            .take_while(|&slot| self.at(slot).arrived > arrived);
        self.len - later.count()
    }

    pub(crate) fn get(&self, place: Place) -> Option<&T> {
        let slot = self.slots.get(place.slot as usize)?;
        if slot.generation == place.generation { slot.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        let slot = self.slots.get_mut(place.slot as usize)?;
        if slot.generation == place.generation { slot.value.as_mut() } else { None }
    }

    /// All places, from the front; from the back, if `newest_first`.
    pub(crate) fn places(&self, newest_first: bool) -> impl Iterator<Item = Place> {
        let first = if newest_first { self.back } else { self.front };
        std::iter::successors(first, move |&slot| {
            let slot = self.at(slot);
            if newest_first { slot.before } else { slot.behind }
        })
        .map(|slot| self.place(slot))
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

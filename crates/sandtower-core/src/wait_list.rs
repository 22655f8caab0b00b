use crate::Tick;

/// Callers that stand in line, in the order in which their calls arrived: pure data, in one
/// allocation that is reused.
///
/// Who comes back, such as an attempt that was throttled, gets back in at its old place. Anyone can
/// leave from anywhere in constant time.
///
/// ```
/// use sandtower_core::{Tick, WaitList};
///
/// let mut line = WaitList::new();
/// line.join(Tick::from_nanos(20), "late");
/// let early = line.join(Tick::from_nanos(10), "early");
/// assert_eq!(line.front(), Some(early));
/// assert_eq!(line.leave(early), Some("early"));
/// assert_eq!(line.leave(early), None);
/// ```
#[derive(Debug)]
pub struct WaitList<T> {
    slots: Vec<Slot<T>>,
    free: Option<u32>,
    front: Option<u32>,
    back: Option<u32>,
    len: usize,
}

/// A caller's place in a [`WaitList`]. Void once it left, even if the memory is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
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
    /// Nobody in line.
    pub const fn new() -> Self {
        Self { slots: Vec::new(), free: None, front: None, back: None, len: 0 }
    }

    /// How many stand in line.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody stands in line.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Joins behind everyone who arrived no later. A newcomer joins in constant time; who comes
    /// back passes those who arrived after.
    pub fn join(&mut self, arrived: Tick, value: T) -> Place {
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

    /// Leaves the line, from wherever in it.
    pub fn leave(&mut self, place: Place) -> Option<T> {
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

    /// Who arrived first.
    pub fn front(&self) -> Option<Place> {
        self.front.map(|slot| self.place(slot))
    }

    /// Who arrived last.
    pub fn back(&self) -> Option<Place> {
        self.back.map(|slot| self.place(slot))
    }

    /// How many stand before `place`; `None` if nobody stands there. Takes time in proportion.
    pub fn ahead(&self, place: Place) -> Option<usize> {
        let mut line = std::iter::successors(self.front, |&slot| self.at(slot).behind);
        line.position(|slot| self.place(slot) == place)
    }

    /// What stands at `place`.
    pub fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        let slot = self.slots.get_mut(place.slot as usize)?;
        if slot.generation == place.generation { slot.value.as_mut() } else { None }
    }

    /// Everyone in line, from the front.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::successors(self.front, |&slot| self.at(slot).behind)
            .filter_map(|slot| self.at(slot).value.as_ref())
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

impl<T> Default for WaitList<T> {
    fn default() -> Self {
        Self::new()
    }
}

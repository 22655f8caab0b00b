use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::per_operation::PerOperation;

/// The operations of one rate limit, by their numbers: as many as there are, so traffic cannot make it
/// grow. In two levels, because numbers are dense: a limit of a few operations takes half a kilobyte.
#[derive(Debug)]
pub(crate) struct Operations {
    blocks: [OnceLock<Box<Block>>; BLOCKS],
}

const BLOCKS: usize = 16;
const IN_A_BLOCK: usize = (u8::MAX as usize + 1) / BLOCKS;

type Block = [OnceLock<Box<Locked>>; IN_A_BLOCK];

/// Alone on its cache lines: two operations share no word that their callers fight over.
#[derive(Debug)]
#[repr(align(64))]
struct Locked {
    state: Mutex<PerOperation>,
}

impl Operations {
    pub(crate) fn new() -> Self {
        Self { blocks: std::array::from_fn(|_| OnceLock::new()) }
    }

    /// What is kept of the operation numbered `index`, which is below 256, if there is one.
    pub(crate) fn get(&self, index: usize) -> Option<MutexGuard<'_, PerOperation>> {
        let block = self.blocks[index / IN_A_BLOCK].get()?;
        block[index % IN_A_BLOCK].get().map(|locked| locked.lock())
    }

    #[inline]
    pub(crate) fn get_or(
        &self,
        index: usize,
        new: impl FnOnce() -> PerOperation,
    ) -> MutexGuard<'_, PerOperation> {
        let block = self.blocks[index / IN_A_BLOCK]
            .get_or_init(|| Box::new(std::array::from_fn(|_| OnceLock::new())));
        let new = || Box::new(Locked { state: Mutex::new(new()) });
        block[index % IN_A_BLOCK].get_or_init(new).lock()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = MutexGuard<'_, PerOperation>> {
        let blocks = self.blocks.iter().filter_map(OnceLock::get);
        let operations = blocks.flat_map(|block| block.iter().filter_map(OnceLock::get));
        operations.map(|locked| locked.lock())
    }
}

impl Locked {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, PerOperation> {
        // It is whole between any two of its steps, and none of them calls foreign code.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

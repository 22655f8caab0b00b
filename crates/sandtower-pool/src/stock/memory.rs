use std::sync::{Arc, Mutex, PoisonError};

use sandtower_core::BoxError;

use super::{Rows, Step, Stock};

/// A [`Stock`] in memory, for pools that follow one another in one process. Clones are the same stock.
#[derive(Clone, Debug, Default)]
pub struct MemoryStock {
    rows: Arc<Mutex<Option<Rows>>>,
}

impl MemoryStock {
    /// A stock without a record.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Stock for MemoryStock {
    fn load(&self) -> Result<Option<Vec<Step>>, BoxError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let left = rows.as_ref().map(|rows| rows.all().cloned().collect());
        rows.get_or_insert_default();
        Ok(left)
    }

    fn record(&self, steps: &[Step]) -> Result<(), BoxError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = rows.get_or_insert_default();
        steps.iter().for_each(|step| rows.apply(step));
        Ok(())
    }

    fn close(&self) {}
}

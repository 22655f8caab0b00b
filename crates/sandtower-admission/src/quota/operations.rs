use sandtower_core::Operation;

/// A set of operations: a look into it is one shift.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operations {
    bits: [u64; 4],
    names: Vec<Operation>,
}

impl Operations {
    pub(crate) fn insert(&mut self, operation: Operation) {
        if !self.contains(operation) {
            let index = operation.index();
            self.bits[index / 64] |= 1 << (index % 64);
            self.names.push(operation);
        }
    }

    #[inline]
    pub(crate) fn contains(&self, operation: Operation) -> bool {
        let index = operation.index();
        self.bits[index / 64] >> (index % 64) & 1 == 1
    }

    pub(crate) fn first_of_both(&self, other: &Self) -> Option<&'static str> {
        self.names.iter().find(|operation| other.contains(**operation)).map(|both| both.name())
    }
}

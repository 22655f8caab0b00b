//! What the cases allocate.

mod allocations;

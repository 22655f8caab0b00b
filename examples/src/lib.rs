//! The parts of the examples that are more than a user would copy.

pub mod fairness;
pub mod metastability;
pub mod safe_creation;
pub mod simulated;

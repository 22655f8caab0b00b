//! What the example targets beside this file are made of, where that is more than a user would copy.

pub mod metastability;
pub mod safe_creation;
pub mod simulated;

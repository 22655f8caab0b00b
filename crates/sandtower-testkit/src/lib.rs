//! The contract probe: proves that a layer keeps the tower contract

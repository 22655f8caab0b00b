//! Safe creation: a lost answer to a create becomes neither a leak nor a double.

mod asked_for;
mod marks;

pub use asked_for::Creation;
pub use marks::{ATTEMPT_KEY, CALL_KEY, Marks, NotAnOwner, OWNER_KEY, Owner};

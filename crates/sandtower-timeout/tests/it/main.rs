//! Deadlines and timeouts, on a paused clock.

mod bounds;

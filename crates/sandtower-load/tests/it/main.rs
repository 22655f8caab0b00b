//! The generator on a paused clock.

mod generate;

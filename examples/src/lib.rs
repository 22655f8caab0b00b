//! Programs that a user runs or copies: see the example targets beside this file.

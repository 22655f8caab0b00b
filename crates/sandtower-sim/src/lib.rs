//! An E2B to break on purpose: a simulator as a library and a binary

//! A tower layer that tracks calls by operation over a sliding window

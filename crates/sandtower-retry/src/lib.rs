//! A tower layer that retries by verdict

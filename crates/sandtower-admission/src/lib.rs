//! A tower layer that is the waiting room: concurrency, queue and gates

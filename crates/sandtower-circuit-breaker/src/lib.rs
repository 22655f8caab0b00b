//! A tower layer that stops calling a service that is dead

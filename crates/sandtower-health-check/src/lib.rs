//! A tower layer that checks what was handed out

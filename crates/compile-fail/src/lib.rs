//! The commonest mistakes with layers, and what the compiler says about them: see `tests/ui`.

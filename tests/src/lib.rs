//! Tests that need more than one crate live in `it`; the code blocks of the documents are compiled here.

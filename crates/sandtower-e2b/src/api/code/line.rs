//! JSON lines from a stream of chunks.

use bytes::{Bytes, BytesMut};

/// Splits a stream into lines, wherever its chunks begin; rejects more than `longest` bytes in all.
pub(super) struct Lines {
    buffer: BytesMut,
    /// The length up to which there is no newline.
    searched: usize,
    left: usize,
}

/// The stream is longer than allowed.
#[derive(Debug)]
pub(crate) struct TooLong;

impl Lines {
    pub(super) fn new(longest: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, left: longest }
    }

    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        self.left = self.left.checked_sub(piece.len()).ok_or(TooLong)?;
        self.buffer.extend_from_slice(piece);
        Ok(())
    }

    /// The next complete line; `None` until more is pushed. Empty lines are skipped.
    pub(super) fn line(&mut self) -> Option<Bytes> {
        loop {
            let end = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n');
            let Some(end) = end else {
                self.searched = self.buffer.len();
                return None;
            };
            let mut line = self.buffer.split_to(self.searched + end + 1);
            self.searched = 0;
            line.truncate(line.len() - 1);
            if !line.trim_ascii().is_empty() {
                return Some(line.freeze());
            }
        }
    }

    /// The text after the last newline, once the stream has ended.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        self.searched = 0;
        Some(self.buffer.split().freeze()).filter(|rest| !rest.trim_ascii().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn empty_lines_are_skipped_and_the_last_needs_no_newline() {
        let mut lines = Lines::new(100);
        lines.push(b"one\r\n\n \ntwo").unwrap();
        assert_eq!(lines.line().unwrap(), "one\r");
        assert_eq!(lines.line(), None);
        assert_eq!(lines.rest().unwrap(), "two");
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn input_beyond_the_limit_is_not_buffered() {
        let mut lines = Lines::new(4);
        lines.push(b"one\n").unwrap();
        assert!(lines.push(b"x").is_err());
        assert_eq!(lines.line().unwrap(), "one");
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_stream_is_split(
            texts in proptest::collection::vec("[a-z]{1,9}", 0..9),
            cut in 1..12_usize,
        ) {
            let stream: String = texts.iter().map(|text| format!("{text}\n")).collect();
            let mut lines = Lines::new(1_000);
            let mut found = Vec::new();
            for piece in stream.as_bytes().chunks(cut) {
                lines.push(piece).unwrap();
                found.extend(std::iter::from_fn(|| lines.line()));
            }
            prop_assert_eq!(lines.rest(), None);
            prop_assert_eq!(found, texts.into_iter().map(Bytes::from).collect::<Vec<_>>());
        }
    }
}

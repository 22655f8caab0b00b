//! Lines of JSON that arrive in pieces.

use bytes::{Bytes, BytesMut};

/// Takes lines out of a stream, however it was cut; no more than `longest` bytes in all.
pub(super) struct Lines {
    buffer: BytesMut,
    /// Up to where there is no end of a line.
    searched: usize,
    left: usize,
}

/// The stream is longer than is allowed.
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

    /// The next whole line; `None` until more is pushed. Empty ones are passed over.
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

    /// What stands behind the last end of a line, if there is no more.
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
    fn empty_lines_are_passed_over_and_the_last_needs_no_end() {
        let mut lines = Lines::new(100);
        lines.push(b"one\r\n\n \ntwo").unwrap();
        assert_eq!(lines.line().unwrap(), "one\r");
        assert_eq!(lines.line(), None);
        assert_eq!(lines.rest().unwrap(), "two");
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn more_than_is_allowed_is_not_held() {
        let mut lines = Lines::new(4);
        lines.push(b"one\n").unwrap();
        assert!(lines.push(b"x").is_err());
        assert_eq!(lines.line().unwrap(), "one");
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_the_lines_are_the_same(
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

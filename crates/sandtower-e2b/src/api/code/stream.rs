//! Parses the response of the code interpreter as it arrives; no I/O.

use bytes::Bytes;

use super::execution::{CodeEvent, Parsed, read};
use super::line::{Lines, TooLong};

/// Reads the lines of `POST /execute`.
///
/// The stream ends with `end_of_execution`; anything after it is ignored. A body that ends without it is
/// broken.
pub(crate) struct CodeStream {
    lines: Lines,
    ended: bool,
}

/// The next step of the stream.
#[derive(Debug)]
pub(crate) enum CodeStep {
    Event(CodeEvent),
    End,
}

/// A line cannot be parsed. The error gives the column but not the line, which quotes output.
#[derive(Debug, thiserror::Error)]
#[error("a line is not the JSON that was expected, at column {column}")]
pub(crate) struct BadLine {
    column: usize,
}

impl CodeStream {
    /// Accepts at most `longest` bytes in all.
    pub(crate) fn new(longest: usize) -> Self {
        Self { lines: Lines::new(longest), ended: false }
    }

    /// Adds the next chunk of the body.
    ///
    /// # Errors
    ///
    /// The body is longer than allowed.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        self.lines.push(piece)
    }

    /// The body has ended. The last line needs no newline.
    pub(crate) fn finish(&mut self) {
        self.ended = true;
    }

    /// The next step in the chunks so far; `None`: more chunks are needed.
    ///
    /// # Errors
    ///
    /// A line cannot be parsed.
    pub(crate) fn next(&mut self) -> Result<Option<CodeStep>, BadLine> {
        while let Some(line) = self.line() {
            match read(&line).map_err(|error| BadLine { column: error.column() })? {
                Parsed::Event(event) => return Ok(Some(CodeStep::Event(event))),
                Parsed::End => return Ok(Some(CodeStep::End)),
                Parsed::Nothing => {}
            }
        }
        Ok(None)
    }

    fn line(&mut self) -> Option<Bytes> {
        match self.lines.line() {
            None if self.ended => self.lines.rest(),
            line => line,
        }
    }
}

//! The response of the code interpreter, as it arrives: pure.

use bytes::Bytes;

use super::execution::{CodeEvent, Told, read};
use super::line::{Lines, TooLong};

/// Reads the lines of `POST /execute`.
///
/// It ends with `end_of_execution`: nothing that comes after it is waited for, and a body that ends
/// without it is broken.
pub(crate) struct CodeStream {
    lines: Lines,
    ended: bool,
}

/// What the stream says next.
#[derive(Debug)]
pub(crate) enum CodeStep {
    Event(CodeEvent),
    End,
}

/// A line cannot be parsed. The error shows its column and not the line, which quotes output.
#[derive(Debug, thiserror::Error)]
#[error("a line is not the JSON that was expected, at column {column}")]
pub(crate) struct BadLine {
    column: usize,
}

impl CodeStream {
    /// Takes at most `longest` bytes in all.
    pub(crate) fn new(longest: usize) -> Self {
        Self { lines: Lines::new(longest), ended: false }
    }

    /// The next piece of the body.
    ///
    /// # Errors
    ///
    /// It is more than is taken.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        self.lines.push(piece)
    }

    /// The body has ended: a last line needs no end.
    pub(crate) fn finish(&mut self) {
        self.ended = true;
    }

    /// What the pieces so far say; `None`: it takes more of them.
    ///
    /// # Errors
    ///
    /// A line cannot be parsed.
    pub(crate) fn next(&mut self) -> Result<Option<CodeStep>, BadLine> {
        while let Some(line) = self.line() {
            match read(&line).map_err(|error| BadLine { column: error.column() })? {
                Told::Event(event) => return Ok(Some(CodeStep::Event(event))),
                Told::End => return Ok(Some(CodeStep::End)),
                Told::Nothing => {}
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

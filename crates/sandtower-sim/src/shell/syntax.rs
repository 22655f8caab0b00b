//! Reading a command line as bash would, as far as that goes here.

use std::fmt;

use super::lexer::{Lexer, Token};

/// Pipelines, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) steps: Vec<Step>,
}

/// A pipeline, and when it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) join: Join,
    /// Whether the script goes on while it runs.
    pub(super) background: bool,
    /// Never empty; what the first one prints the second one reads.
    pub(super) commands: Vec<Simple>,
}

/// One command; it has a word, an assignment or a redirection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Simple {
    pub(super) line: usize,
    pub(super) assignments: Vec<(String, Word)>,
    pub(super) words: Vec<Word>,
    pub(super) redirections: Vec<Redirection>,
}

/// A word before its variables are known.
pub(super) type Word = Vec<Part>;

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Text as it is.
    Text(String),
    /// A variable, or what stands in its place if it is empty; one that is not quoted may give
    /// several words.
    Variable { name: String, default: Option<String>, quoted: bool },
}

/// A change to where a command reads or writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redirection {
    Input(Word),
    Output { stream: Stream, append: bool, to: Word },
    Copy { stream: Stream, of: Stream },
}

/// One of a command's outputs, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
    Both,
}

/// When a pipeline runs, given how the one before it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    Always,
    IfOk,
    IfFailed,
}

/// Why a script cannot be run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) problem: Problem,
}

/// What is wrong with a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Unexpected(&'static str),
    UnexpectedEnd,
    Unterminated(char),
    Unsupported(&'static str),
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem {
            Problem::Unexpected(token) => {
                write!(f, "syntax error near unexpected token `{token}'")
            }
            Problem::UnexpectedEnd => f.write_str("syntax error: unexpected end of file"),
            Problem::Unterminated(quote) => {
                write!(f, "unexpected EOF while looking for matching `{quote}'")
            }
            Problem::Unsupported(sign) => write!(f, "the simulator does not know `{sign}'"),
        }
    }
}

impl Script {
    pub(super) fn parse(text: &str) -> Result<Self, SyntaxError> {
        let lexer = Lexer::new(text);
        let mut parser =
            Parser { lexer, steps: Vec::new(), pipeline: Vec::new(), join: Join::Always };
        parser.run()?;
        Ok(Self { steps: parser.steps })
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    steps: Vec<Step>,
    /// The commands of the pipeline that is being read, up to the last `|`.
    pipeline: Vec<Simple>,
    join: Join,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), SyntaxError> {
        let mut command = Simple::default();
        loop {
            let line = self.lexer.line;
            let Some(token) = self.lexer.next()? else {
                return self.end(command);
            };
            match token {
                Token::Word { word, assigns } => command.take(line, word, assigns),
                Token::Redirect(redirection) => command.redirections.push(redirection),
                Token::Needs(needs) => {
                    let Some(Token::Word { word, .. }) = self.lexer.next()? else {
                        return Err(unexpected(self.lexer.line, "newline"));
                    };
                    command.redirections.push(needs.filled(word));
                }
                Token::Pipe if command.is_empty() => return Err(unexpected(line, "|")),
                Token::Pipe => self.pipeline.push(std::mem::take(&mut command)),
                Token::Background if command.is_empty() => return Err(unexpected(line, "&")),
                Token::Background => self.close(&mut command, true, Join::Always),
                Token::Join(join, token) if command.is_empty() => {
                    // Empty lines are no commands, so they may follow anything.
                    if token != "newline" {
                        return Err(unexpected(line, token));
                    }
                    debug_assert_eq!(join, Join::Always);
                }
                Token::Join(join, _) => self.close(&mut command, false, join),
            }
        }
    }

    /// Ends the pipeline; `join` is for the one after it.
    fn close(&mut self, command: &mut Simple, background: bool, join: Join) {
        self.pipeline.push(std::mem::take(command));
        let commands = std::mem::take(&mut self.pipeline);
        self.steps.push(Step { join: self.join, background, commands });
        self.join = join;
    }

    fn end(&mut self, mut command: Simple) -> Result<(), SyntaxError> {
        if !command.is_empty() {
            self.close(&mut command, false, Join::Always);
        } else if self.join != Join::Always || !self.pipeline.is_empty() {
            let problem = Problem::UnexpectedEnd;
            return Err(SyntaxError { line: self.lexer.line, problem });
        }
        Ok(())
    }
}

impl Simple {
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.assignments.is_empty() && self.redirections.is_empty()
    }

    fn take(&mut self, line: usize, word: Word, assigns: Option<String>) {
        if self.is_empty() {
            self.line = line;
        }
        match assigns {
            Some(name) if self.words.is_empty() => {
                let value = strip_assignment(word, name.len() + 1);
                self.assignments.push((name, value));
            }
            _ => self.words.push(word),
        }
    }
}

/// The word without the name and the sign that it begins with.
fn strip_assignment(mut word: Word, length: usize) -> Word {
    if let Some(Part::Text(text)) = word.first_mut() {
        text.drain(..length.min(text.len()));
    }
    word
}

fn unexpected(line: usize, token: &'static str) -> SyntaxError {
    SyntaxError { line, problem: Problem::Unexpected(token) }
}

impl Part {
    /// Whether it may give no word at all.
    pub(super) fn may_vanish(&self) -> bool {
        matches!(self, Self::Variable { quoted: false, .. })
    }
}

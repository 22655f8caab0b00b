//! Reading a command line as bash would, as far as that goes here.

use std::{fmt, iter::Peekable, str::Chars};

/// Commands, one after the other.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) steps: Vec<Step>,
}

/// One command.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) join: Join,
    pub(super) line: usize,
    /// The command's name and its arguments; never empty.
    pub(super) words: Vec<String>,
    pub(super) to_stderr: bool,
}

/// When a command runs, given how the one before it ended.
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
    problem: Problem,
}

#[derive(Debug, PartialEq, Eq)]
enum Problem {
    Unexpected(&'static str),
    UnexpectedEnd,
    Unterminated(char),
    Unsupported(char),
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

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    ToStderr,
    Join(Join, &'static str),
}

impl Script {
    pub(super) fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut lexer = Lexer { chars: text.chars().peekable(), line: 1 };
        let mut script = Self::default();
        let mut next = Step::new(Join::Always);
        loop {
            let line = lexer.line;
            match lexer.next()? {
                Some(Token::Word(word)) => {
                    next.line = if next.words.is_empty() { line } else { next.line };
                    next.words.push(word);
                }
                Some(Token::ToStderr) => next.to_stderr = true,
                Some(Token::Join(join, token)) if next.words.is_empty() => {
                    // Empty lines are no commands, so they may follow anything.
                    if token != "newline" {
                        return Err(SyntaxError { line, problem: Problem::Unexpected(token) });
                    }
                    debug_assert_eq!(join, Join::Always);
                }
                Some(Token::Join(join, _)) => {
                    script.steps.push(std::mem::replace(&mut next, Step::new(join)));
                }
                None if !next.words.is_empty() => {
                    script.steps.push(next);
                    return Ok(script);
                }
                None if next.join == Join::Always => return Ok(script),
                None => return Err(SyntaxError { line, problem: Problem::UnexpectedEnd }),
            }
        }
    }
}

impl Step {
    fn new(join: Join) -> Self {
        Self { join, line: 1, words: Vec::new(), to_stderr: false }
    }
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<Token>, SyntaxError> {
        while self.chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        let Some(&first) = self.chars.peek() else { return Ok(None) };
        match first {
            '#' => {
                while self.chars.next_if(|c| *c != '\n').is_some() {}
                self.next()
            }
            '\n' => {
                self.chars.next();
                self.line += 1;
                Ok(Some(Token::Join(Join::Always, "newline")))
            }
            ';' => {
                self.chars.next();
                Ok(Some(Token::Join(Join::Always, ";")))
            }
            '&' => self.doubled('&', Token::Join(Join::IfOk, "&&")),
            '|' => self.doubled('|', Token::Join(Join::IfFailed, "||")),
            '>' => self.redirection(),
            _ => self.word().map(|word| Some(Token::Word(word))),
        }
    }

    fn doubled(&mut self, sign: char, token: Token) -> Result<Option<Token>, SyntaxError> {
        self.chars.next();
        match self.chars.next_if_eq(&sign) {
            Some(_) => Ok(Some(token)),
            None => Err(self.error(Problem::Unsupported(sign))),
        }
    }

    fn redirection(&mut self) -> Result<Option<Token>, SyntaxError> {
        self.chars.next();
        for expected in ['&', '2'] {
            if self.chars.next_if_eq(&expected).is_none() {
                return Err(self.error(Problem::Unsupported('>')));
            }
        }
        Ok(Some(Token::ToStderr))
    }

    fn word(&mut self) -> Result<String, SyntaxError> {
        let mut word = String::new();
        while let Some(&next) = self.chars.peek() {
            match next {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '>' => break,
                '\'' => self.single_quoted(&mut word)?,
                '"' => self.double_quoted(&mut word)?,
                '\\' => {
                    self.chars.next();
                    word.extend(self.chars.next());
                }
                '$' | '`' | '<' | '(' | ')' => return Err(self.error(Problem::Unsupported(next))),
                other => {
                    self.chars.next();
                    word.push(other);
                }
            }
        }
        Ok(word)
    }

    fn single_quoted(&mut self, word: &mut String) -> Result<(), SyntaxError> {
        self.chars.next();
        loop {
            match self.chars.next() {
                Some('\'') => return Ok(()),
                Some(other) => word.push(other),
                None => return Err(self.error(Problem::Unterminated('\''))),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut String) -> Result<(), SyntaxError> {
        self.chars.next();
        loop {
            match self.chars.next() {
                Some('"') => return Ok(()),
                Some('\\') => {
                    let escaped = self.chars.next_if(|c| matches!(c, '"' | '\\' | '$' | '`'));
                    word.push(escaped.unwrap_or('\\'));
                }
                Some(sign @ ('$' | '`')) => return Err(self.error(Problem::Unsupported(sign))),
                Some(other) => word.push(other),
                None => return Err(self.error(Problem::Unterminated('"'))),
            }
        }
    }

    fn error(&self, problem: Problem) -> SyntaxError {
        SyntaxError { line: self.line, problem }
    }
}

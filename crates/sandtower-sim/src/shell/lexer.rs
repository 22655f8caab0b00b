//! Cutting a command line into words and signs.

use std::{iter::Peekable, str::Chars};

use super::syntax::{Join, Part, Problem, Redirection, Stream, SyntaxError, Word};

/// A word or a sign.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word { word: Word, assigns: Option<String> },
    Redirect(Redirection),
    Needs(Needs),
    Join(Join, &'static str),
    Background,
    Pipe,
}

/// A redirection whose file comes as the next word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Input,
    Output { stream: Stream, append: bool },
}

impl Needs {
    /// The redirection to that file.
    pub(super) fn filled(self, word: Word) -> Redirection {
        match self {
            Self::Input => Redirection::Input(word),
            Self::Output { stream, append } => Redirection::Output { stream, append, to: word },
        }
    }
}

/// Gives one word or sign after the other.
pub(super) struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    /// The line that was read last, from 1.
    pub(super) line: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { chars: text.chars().peekable(), line: 1 }
    }

    /// The next one; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, SyntaxError> {
        loop {
            while self.chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
            match self.chars.peek().copied() {
                Some('#') => while self.chars.next_if(|c| *c != '\n').is_some() {},
                Some('\\') if self.continues() => {}
                _ => break,
            }
        }
        let Some(&first) = self.chars.peek() else { return Ok(None) };
        let token = match first {
            '\n' => {
                self.chars.next();
                self.line += 1;
                Token::Join(Join::Always, "newline")
            }
            ';' => {
                self.chars.next();
                Token::Join(Join::Always, ";")
            }
            '&' => self.ampersand(),
            '|' => self.bar()?,
            '>' => self.output(Stream::Stdout)?,
            '<' => self.input()?,
            '1' | '2' if self.digit_redirects() => {
                self.chars.next();
                self.output(if first == '1' { Stream::Stdout } else { Stream::Stderr })?
            }
            _ => self.word()?,
        };
        Ok(Some(token))
    }

    /// Skips a line's end that a backslash hides.
    fn continues(&mut self) -> bool {
        let mut ahead = self.chars.clone();
        ahead.next();
        if ahead.next() != Some('\n') {
            return false;
        }
        self.chars = ahead;
        self.line += 1;
        true
    }

    /// Whether the digit that comes next names the stream of a redirection.
    fn digit_redirects(&self) -> bool {
        let mut ahead = self.chars.clone();
        ahead.next();
        ahead.next() == Some('>')
    }

    fn ampersand(&mut self) -> Token {
        self.chars.next();
        if self.chars.next_if_eq(&'&').is_some() {
            return Token::Join(Join::IfOk, "&&");
        }
        if self.chars.next_if_eq(&'>').is_some() {
            let append = self.chars.next_if_eq(&'>').is_some();
            return Token::Needs(Needs::Output { stream: Stream::Both, append });
        }
        Token::Background
    }

    fn bar(&mut self) -> Result<Token, SyntaxError> {
        self.chars.next();
        if self.chars.next_if_eq(&'|').is_some() {
            return Ok(Token::Join(Join::IfFailed, "||"));
        }
        if self.chars.peek() == Some(&'&') {
            return Err(self.unsupported("|&"));
        }
        Ok(Token::Pipe)
    }

    fn input(&mut self) -> Result<Token, SyntaxError> {
        self.chars.next();
        match self.chars.peek() {
            Some('<') => Err(self.unsupported("<<")),
            Some('&') => Err(self.unsupported("<&")),
            Some('(') => Err(self.unsupported("<(")),
            _ => Ok(Token::Needs(Needs::Input)),
        }
    }

    fn output(&mut self, stream: Stream) -> Result<Token, SyntaxError> {
        self.chars.next();
        match self.chars.peek() {
            Some('>') => {
                self.chars.next();
                Ok(Token::Needs(Needs::Output { stream, append: true }))
            }
            Some('&') => {
                self.chars.next();
                match self.chars.next() {
                    Some('1') => {
                        Ok(Token::Redirect(Redirection::Copy { stream, of: Stream::Stdout }))
                    }
                    Some('2') => {
                        Ok(Token::Redirect(Redirection::Copy { stream, of: Stream::Stderr }))
                    }
                    _ => Err(self.unsupported(">&")),
                }
            }
            Some('|' | '(') => Err(self.unsupported(">|")),
            _ => Ok(Token::Needs(Needs::Output { stream, append: false })),
        }
    }

    fn word(&mut self) -> Result<Token, SyntaxError> {
        let mut word = Building::default();
        while let Some(&next) = self.chars.peek() {
            match next {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '>' | '<' => break,
                '\'' => self.single_quoted(&mut word)?,
                '"' => self.double_quoted(&mut word)?,
                '\\' if self.continues() => {}
                '\\' => {
                    self.chars.next();
                    word.quote();
                    word.text.extend(self.chars.next());
                }
                '$' => self.variable(&mut word, false)?,
                '`' => return Err(self.unsupported("`")),
                '(' => return Err(self.unsupported("(")),
                ')' => return Err(self.unsupported(")")),
                other => {
                    self.chars.next();
                    word.plain(other);
                }
            }
        }
        let assigns = word.assigns.take().filter(|_| word.is_assignment);
        Ok(Token::Word { word: word.done(), assigns })
    }

    fn single_quoted(&mut self, word: &mut Building) -> Result<(), SyntaxError> {
        self.chars.next();
        word.quote();
        loop {
            match self.chars.next() {
                Some('\'') => return Ok(()),
                Some(other) => {
                    self.line += usize::from(other == '\n');
                    word.text.push(other);
                }
                None => return Err(self.error(Problem::Unterminated('\''))),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut Building) -> Result<(), SyntaxError> {
        self.chars.next();
        word.quote();
        loop {
            match self.chars.peek() {
                Some('$') => {
                    self.variable(word, true)?;
                    continue;
                }
                Some('`') => return Err(self.unsupported("`")),
                _ => {}
            }
            match self.chars.next() {
                Some('"') => return Ok(()),
                Some('\\') => {
                    let escaped = self.chars.next_if(|c| matches!(c, '"' | '\\' | '$' | '`'));
                    if self.chars.peek() == Some(&'\n') && escaped.is_none() {
                        self.chars.next();
                        self.line += 1;
                    } else {
                        word.text.push(escaped.unwrap_or('\\'));
                    }
                }
                Some(other) => {
                    self.line += usize::from(other == '\n');
                    word.text.push(other);
                }
                None => return Err(self.error(Problem::Unterminated('"'))),
            }
        }
    }

    fn variable(&mut self, word: &mut Building, quoted: bool) -> Result<(), SyntaxError> {
        self.chars.next();
        let Some(&first) = self.chars.peek() else {
            word.text.push('$');
            return Ok(());
        };
        if first == '{' {
            self.chars.next();
            let (name, default) = self.braced()?;
            word.variable(name, default, quoted);
            return Ok(());
        }
        let mut name = String::new();
        if matches!(first, '?' | '$' | '!' | '#' | '@' | '*' | '0'..='9') {
            self.chars.next();
            name.push(first);
        } else {
            while let Some(next) = self.chars.next_if(|c| is_name(*c)) {
                name.push(next);
            }
        }
        match first {
            '(' => Err(self.unsupported("$(")),
            _ if name.is_empty() => {
                word.text.push('$');
                Ok(())
            }
            _ => {
                word.variable(name, None, quoted);
                Ok(())
            }
        }
    }

    /// What stands between braces: a name, and perhaps `:-` and a text.
    fn braced(&mut self) -> Result<(String, Option<String>), SyntaxError> {
        let mut inside = String::new();
        loop {
            match self.chars.next() {
                Some('}') => break,
                Some('$' | '`' | '{' | '"' | '\'' | '\\') => return Err(self.unsupported("${")),
                Some(other) => inside.push(other),
                None => return Err(self.error(Problem::Unterminated('}'))),
            }
        }
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (inside.as_str(), None),
        };
        let special = matches!(name, "?" | "$" | "!" | "#" | "@" | "*");
        if special || !name.is_empty() && name.chars().all(is_name) {
            return Ok((name.to_owned(), default));
        }
        Err(self.unsupported("${"))
    }

    fn unsupported(&self, sign: &'static str) -> SyntaxError {
        self.error(Problem::Unsupported(sign))
    }

    fn error(&self, problem: Problem) -> SyntaxError {
        SyntaxError { line: self.line, problem }
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether this can name a variable.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_name)
}

/// A word that is being read.
#[derive(Default)]
struct Building {
    parts: Word,
    text: String,
    /// Whether something was quoted, so that the word is there though it may be empty.
    quoted: bool,
    /// The name before a `=`, if the word could be an assignment.
    assigns: Option<String>,
    is_assignment: bool,
}

impl Building {
    fn plain(&mut self, next: char) {
        if next == '=' && self.parts.is_empty() && !self.quoted && self.assigns.is_none() {
            self.is_assignment = is_variable(&self.text);
            self.assigns = Some(self.text.clone());
        }
        self.text.push(next);
    }

    fn quote(&mut self) {
        self.quoted = true;
    }

    fn variable(&mut self, name: String, default: Option<String>, quoted: bool) {
        self.flush();
        self.parts.push(Part::Variable { name, default, quoted });
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        }
    }

    fn done(mut self) -> Word {
        self.flush();
        if self.parts.is_empty() || self.quoted && self.parts.iter().all(Part::may_vanish) {
            self.parts.push(Part::Text(String::new()));
        }
        self.parts
    }
}

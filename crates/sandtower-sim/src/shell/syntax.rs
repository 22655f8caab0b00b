//! Reading a command line as bash would, as far as that goes here.

use std::{fmt, iter::Peekable, str::Chars};

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
    problem: Problem,
}

#[derive(Debug, PartialEq, Eq)]
enum Problem {
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

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word { word: Word, assigns: Option<String> },
    Redirect(Redirection),
    Needs(Needs),
    Join(Join, &'static str),
    Background,
    Pipe,
}

/// A redirection whose file comes as the next word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Input,
    Output { stream: Stream, append: bool },
}

impl Script {
    pub(super) fn parse(text: &str) -> Result<Self, SyntaxError> {
        let lexer = Lexer { chars: text.chars().peekable(), line: 1 };
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

impl Needs {
    fn filled(self, word: Word) -> Redirection {
        match self {
            Self::Input => Redirection::Input(word),
            Self::Output { stream, append } => Redirection::Output { stream, append, to: word },
        }
    }
}

fn unexpected(line: usize, token: &'static str) -> SyntaxError {
    SyntaxError { line, problem: Problem::Unexpected(token) }
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<Token>, SyntaxError> {
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

impl Part {
    fn may_vanish(&self) -> bool {
        matches!(self, Self::Variable { quoted: false, .. })
    }
}

//! The words and signs of a script, and what a word means once its variables are replaced.

/// Why a script does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Exit(u8),
    NotSimulated(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// As it is written, quotes and all.
    Word(String),
    Sign(&'static str),
}

/// What stands between words, the longer spellings first.
const SIGNS: &[&str] =
    &["2>&1", "1>&2", ">&2", "2>>", "&&", "||", "&>", "2>", ">>", ">", "<", ";", "|", "&", "\n"];

/// What bash understands and the simulator does not.
const FOREIGN: &[&str] =
    &["<<", "<(", "<&", ">(", ">|", ">&1", "2>&2", "1>&1", "&>>", "|&", ";;", "(", ")"];

/// What the words of one command may hold, in bytes.
pub(super) const MAX_HELD: usize = 1024 * 1024;

fn not_simulated<T>(what: impl std::fmt::Display) -> Result<T, Stop> {
    Err(Stop::NotSimulated(format!("`{what}` in a command line")))
}

/// The words and signs of a script, each with the number of its line.
pub(super) fn tokens(script: &str) -> Result<Vec<(usize, Token)>, Stop> {
    let (mut rest, mut tokens) = (script, Vec::new());
    loop {
        let line = 1 + script[..script.len() - rest.len()].matches('\n').count();
        rest = rest.trim_start_matches([' ', '\t', '\r']);
        if let Some(after) = rest.strip_prefix("\\\n") {
            rest = after;
            continue;
        }
        if rest.starts_with('#') {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        }
        if rest.is_empty() {
            return Ok(tokens);
        }
        if let Some(foreign) = FOREIGN.iter().find(|foreign| rest.starts_with(**foreign)) {
            return not_simulated(foreign);
        }
        let token = match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            Some(sign) => Token::Sign(sign),
            None if is_descriptor(rest) => {
                return Err(Stop::NotSimulated(String::from("a file descriptor")));
            }
            None => {
                let end = Expansion::new(&|_| String::new(), true).read(rest)?;
                Token::Word(rest[..end].to_owned())
            }
        };
        rest = &rest[match &token {
            Token::Word(word) => word.len(),
            Token::Sign(sign) => sign.len(),
        }..];
        tokens.push((line, token));
    }
}

/// Whether a redirection of a descriptor by its number comes next.
fn is_descriptor(text: &str) -> bool {
    let after = text.trim_start_matches(|c: char| c.is_ascii_digit());
    after.len() < text.len() && after.starts_with(['<', '>'])
}

/// The fields that a word gives: one, unless it holds variables that are not quoted.
pub(super) fn fields(word: &str, value: &dyn Fn(&str) -> String) -> Result<Vec<String>, Stop> {
    let mut expansion = Expansion::new(value, true);
    expansion.read(word)?;
    expansion.fields.extend(expansion.open);
    Ok(expansion.fields)
}

/// The word as one text.
pub(super) fn text(word: &str, value: &dyn Fn(&str) -> String) -> Result<String, Stop> {
    let mut expansion = Expansion::new(value, false);
    expansion.read(word)?;
    Ok(expansion.open.unwrap_or_default())
}

/// The name and the value of an assignment.
pub(super) fn assignment(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').filter(|(name, _)| is_variable(name))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_variable(name: &str) -> bool {
    name == "?"
        || !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(is_name)
}

/// A word that is being read.
struct Expansion<'a> {
    value: &'a dyn Fn(&str) -> String,
    /// Whether variables that are not quoted make several fields.
    splits: bool,
    fields: Vec<String>,
    open: Option<String>,
}

impl<'a> Expansion<'a> {
    fn new(value: &'a dyn Fn(&str) -> String, splits: bool) -> Self {
        Self { value, splits, fields: Vec::new(), open: None }
    }

    fn push(&mut self, text: &str) {
        self.open.get_or_insert_default().push_str(text);
    }

    /// Reads a word; where it ends.
    fn read(&mut self, text: &str) -> Result<usize, Stop> {
        let (mut at, mut quoted) = (0, false);
        while let Some(next) = text[at..].chars().next() {
            let after = at + next.len_utf8();
            at = match next {
                '"' => {
                    quoted = !quoted;
                    self.push("");
                    after
                }
                '$' => after + self.variable(&text[after..], quoted)?,
                '`' => return not_simulated(next),
                '\\' => match text[after..].chars().next() {
                    Some('\n') => after + 1,
                    Some(next) if !quoted || matches!(next, '$' | '`' | '"' | '\\') => {
                        self.push(next.encode_utf8(&mut [0; 4]));
                        after + next.len_utf8()
                    }
                    _ => {
                        self.push("\\");
                        after
                    }
                },
                _ if quoted => {
                    self.push(&text[at..after]);
                    after
                }
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' => break,
                '\'' => {
                    let Some(length) = text[after..].find('\'') else {
                        return not_simulated(next);
                    };
                    self.push(&text[after..after + length]);
                    after + length + 1
                }
                '*' | '?' | '{' | '}' | '(' | ')' => return not_simulated(next),
                // Alone it is a command; within a word it is a pattern.
                '[' if at > 0 || !matches!(text.as_bytes().get(1), None | Some(b' ')) => {
                    return not_simulated(next);
                }
                '~' if at == 0 => return not_simulated(next),
                _ => {
                    self.push(&text[at..after]);
                    after
                }
            };
        }
        if quoted {
            return not_simulated('"');
        }
        Ok(at)
    }

    /// Reads what follows a `$`; how long it is.
    fn variable(&mut self, text: &str, quoted: bool) -> Result<usize, Stop> {
        let (name, length) = match text.strip_prefix('{') {
            Some(inside) => {
                let end = inside.find('}').unwrap_or(inside.len());
                (&inside[..end], end + 2)
            }
            None if text.starts_with('?') => ("?", 1),
            None => {
                let end = text.find(|c: char| !is_name(c)).unwrap_or(text.len());
                (&text[..end], end)
            }
        };
        if !is_variable(name) || length > text.len() {
            let next = text.chars().next().filter(|next| !next.is_whitespace());
            if let Some(next) = next.filter(|next| !quoted || *next != '"') {
                return not_simulated(format_args!("${next}"));
            }
            self.push("$");
            return Ok(0);
        }
        let value = (self.value)(name);
        let held: usize = self.fields.iter().chain(&self.open).map(String::len).sum();
        if held + value.len() > MAX_HELD {
            return Err(Stop::NotSimulated(String::from("so long an argument")));
        }
        if quoted || !self.splits {
            self.push(&value);
            return Ok(length);
        }
        let blank = |c: char| c.is_ascii_whitespace();
        if value.starts_with(blank) {
            self.fields.extend(self.open.take());
        }
        for (at, piece) in value.split_ascii_whitespace().enumerate() {
            if at > 0 {
                self.fields.extend(self.open.take());
            }
            self.push(piece);
        }
        if value.ends_with(blank) {
            self.fields.extend(self.open.take());
        }
        Ok(length)
    }
}

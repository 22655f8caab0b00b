//! Words and signs of the language.

use super::value::Exception;

/// A word or a sign.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(String),
    Int(i128),
    Float(f64),
    Text(String),
    /// A text with expressions in braces.
    Template(String),
    Sign(&'static str),
    /// The end of a statement.
    End,
}

/// Longer signs first.
const SIGNS: &[&str] = &[
    "**", "//", "==", "!=", "<=", ">=", "+=", "-=", "*=", "/=", "+", "-", "*", "/", "%", "<", ">",
    "=", "(", ")", "[", "]", ",", ".",
];

/// Reads code; an indented line is no code that is known.
pub(super) fn tokens(code: &str) -> Result<Vec<Token>, Exception> {
    let mut tokens = Vec::new();
    let mut rest = code;
    let mut depth = 0usize;
    let mut fresh = true;
    while let Some(first) = rest.chars().next() {
        if fresh && matches!(first, ' ' | '\t') {
            let text = rest.trim_start_matches([' ', '\t']);
            if !(text.is_empty() || text.starts_with(['\n', '\r', '#'])) {
                return Err(Exception::new("IndentationError", "unexpected indent"));
            }
            rest = text;
            continue;
        }
        fresh = first == '\n' && depth == 0;
        match first {
            ' ' | '\t' | '\r' => rest = &rest[1..],
            '\n' | ';' => {
                rest = &rest[1..];
                if depth == 0 {
                    tokens.push(Token::End);
                }
            }
            '#' => rest = rest.find('\n').map_or("", |end| &rest[end..]),
            '"' | '\'' => {
                let (text, after) = text(rest)?;
                tokens.push(Token::Text(text));
                rest = after;
            }
            'f' if rest[1..].starts_with(['"', '\'']) => {
                let (text, after) = text(&rest[1..])?;
                tokens.push(Token::Template(text));
                rest = after;
            }
            '0'..='9' => {
                let (number, after) = number(rest)?;
                tokens.push(number);
                rest = after;
            }
            c if c.is_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
                tokens.push(Token::Name(name.to_owned()));
                rest = after;
            }
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                let sign = sign.ok_or_else(Exception::syntax)?;
                match *sign {
                    "(" | "[" => depth += 1,
                    ")" | "]" => depth = depth.saturating_sub(1),
                    _ => {}
                }
                tokens.push(Token::Sign(sign));
                rest = &rest[sign.len()..];
            }
        }
    }
    tokens.push(Token::End);
    Ok(tokens)
}

/// A quoted text, and what follows it.
fn text(code: &str) -> Result<(String, &str), Exception> {
    let unterminated = || Exception::new("SyntaxError", "unterminated string literal");
    if code.starts_with("\"\"\"") || code.starts_with("'''") {
        let inner = &code[3..];
        let end = inner.find(&code[..3]).ok_or_else(unterminated)?;
        return Ok((inner[..end].to_owned(), &inner[end + 3..]));
    }
    let mut chars = code.char_indices();
    let quote = chars.next().map_or('"', |(_, quote)| quote);
    let mut text = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((text, &code[at + c.len_utf8()..])),
            '\n' => break,
            '\\' => match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, 'r')) => text.push('\r'),
                Some((_, c @ ('\\' | '\'' | '"'))) => text.push(c),
                Some((_, other)) => text.extend(['\\', other]),
                None => break,
            },
            c => text.push(c),
        }
    }
    Err(unterminated())
}

fn number(code: &str) -> Result<(Token, &str), Exception> {
    let mut end = 0;
    let mut is_float = false;
    let bytes = code.as_bytes();
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'0'..=b'9' | b'_' => {}
            b'.' if !is_float => is_float = true,
            b'e' | b'E' if end > 0 => {
                is_float = true;
                end += usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            }
            _ => break,
        }
        end += 1;
    }
    let end = end.min(code.len());
    let digits = code[..end].replace('_', "");
    let token = if is_float {
        digits.parse().map(Token::Float).map_err(|_| Exception::syntax())?
    } else {
        let overflow =
            |_| Exception::new("OverflowError", "the simulator's integers have 128 bits");
        digits.parse().map(Token::Int).map_err(overflow)?
    };
    Ok((token, &code[end..]))
}

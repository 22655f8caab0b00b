//! Words after their variables are known.

use super::{
    Session,
    syntax::{Part, Word},
};

/// What the words of one command may hold together, in bytes.
const MAX_WORDS: usize = 1024 * 1024;

/// A command has too many words, or too long ones.
#[derive(Debug)]
pub(super) struct TooLong;

impl Session {
    /// The words of a command: one that is not quoted may give several, or none.
    pub(super) fn expand_all(&self, words: &[Word]) -> Result<Vec<String>, TooLong> {
        let mut expanded = Vec::new();
        let mut left = MAX_WORDS;
        for word in words {
            let before = expanded.len();
            self.expand(word, &mut expanded, &mut left)?;
            debug_assert!(expanded.len() >= before);
        }
        Ok(expanded)
    }

    /// A word where only one can stand; one that is too long is cut off.
    pub(super) fn expand_text(&self, word: &Word) -> String {
        let mut text = String::new();
        for part in word {
            let value = match part {
                Part::Text(value) => value.clone(),
                Part::Variable { name, default, .. } => self.value(name, default.as_deref()),
            };
            if text.len() + value.len() > MAX_WORDS {
                break;
            }
            text.push_str(&value);
        }
        text
    }

    fn expand(
        &self,
        word: &Word,
        expanded: &mut Vec<String>,
        left: &mut usize,
    ) -> Result<(), TooLong> {
        let mut pay = |bytes: usize| {
            *left = left.checked_sub(bytes).ok_or(TooLong)?;
            Ok(())
        };
        // `None` until something gives the word that is being built.
        let mut current: Option<String> = None;
        for part in word {
            match part {
                Part::Text(text) => {
                    pay(text.len() + 1)?;
                    current.get_or_insert_default().push_str(text);
                }
                Part::Variable { name, default, quoted } => {
                    let value = self.value(name, default.as_deref());
                    pay(value.len() + 1)?;
                    if *quoted {
                        current.get_or_insert_default().push_str(&value);
                        continue;
                    }
                    let blank = |c: char| matches!(c, ' ' | '\t' | '\n');
                    if value.starts_with(blank) {
                        expanded.extend(current.take());
                    }
                    let mut pieces = value.split(blank).filter(|piece| !piece.is_empty());
                    if let Some(first) = pieces.next() {
                        current.get_or_insert_default().push_str(first);
                    }
                    for piece in pieces {
                        expanded.extend(current.replace(piece.to_owned()));
                    }
                    if value.ends_with(blank) {
                        expanded.extend(current.take());
                    }
                }
            }
        }
        expanded.extend(current);
        Ok(())
    }

    fn value(&self, name: &str, default: Option<&str>) -> String {
        let value = match name {
            "?" => self.last.0.to_string(),
            "$" => self.pid.to_string(),
            "!" => self.last_job.map(|pid| pid.to_string()).unwrap_or_default(),
            "#" => self.arguments.len().to_string(),
            "@" | "*" => self.arguments.join(" "),
            "0" => self.name.to_string(),
            "PWD" => self.directory.clone(),
            name => match name.parse::<usize>() {
                Ok(at) => self.arguments.get(at.wrapping_sub(1)).cloned().unwrap_or_default(),
                Err(_) => self.variables.get(name).unwrap_or_default().to_owned(),
            },
        };
        match default {
            Some(default) if value.is_empty() => default.to_owned(),
            _ => value,
        }
    }
}

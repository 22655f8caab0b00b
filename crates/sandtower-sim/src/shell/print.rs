//! The commands that print what they are given.

use super::{builtin::printed, io::Io};
use crate::runner::Exit;

pub(super) async fn echo(mut arguments: &[String], io: &Io) -> Exit {
    let (mut end, mut escapes) = ("\n", false);
    while let Some((flag, rest)) = arguments.split_first() {
        match flag.as_str() {
            "-n" => end = "",
            "-e" => escapes = true,
            "-E" => escapes = false,
            "-ne" | "-en" => (end, escapes) = ("", true),
            _ => break,
        }
        arguments = rest;
    }
    let mut text = arguments.join(" ");
    if escapes {
        text = unescape(&text);
    }
    text.push_str(end);
    printed(io.print("echo", text).await)
}

/// Undoes the escapes that `echo -e` and `printf` know; others stay as they are.
fn unescape(text: &str) -> String {
    let mut done = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next != '\\' {
            done.push(next);
            continue;
        }
        match chars.next() {
            Some('n') => done.push('\n'),
            Some('t') => done.push('\t'),
            Some('r') => done.push('\r'),
            Some('a') => done.push('\u{7}'),
            Some('e') => done.push('\u{1b}'),
            Some('\\') | None => done.push('\\'),
            Some(other) => done.extend(['\\', other]),
        }
    }
    done
}

pub(super) async fn printf(prefix: &str, arguments: &[String], io: &Io) -> Exit {
    let Some((format, arguments)) = arguments.split_first() else {
        io.complain("printf: usage: printf [-v var] format [arguments]\n").await;
        return Exit(2);
    };
    match formatted(format, arguments) {
        Ok(text) => printed(io.print("printf", text).await),
        Err(Unformatted::Invalid(number)) => {
            io.complain(format!("{prefix}: printf: {number}: invalid number\n")).await;
            Exit(1)
        }
        Err(Unformatted::Unknown(sign)) => {
            io.complain(format!("{prefix}: printf: `{sign}': invalid format character\n")).await;
            Exit(1)
        }
    }
}

enum Unformatted {
    Invalid(String),
    Unknown(char),
}

/// The format as often as there are arguments for it.
fn formatted(format: &str, arguments: &[String]) -> Result<String, Unformatted> {
    let format = unescape(format);
    let mut text = String::new();
    let mut left = arguments.iter();
    loop {
        let before = left.len();
        let mut chars = format.chars();
        while let Some(next) = chars.next() {
            if next != '%' {
                text.push(next);
                continue;
            }
            match chars.next() {
                Some('%') | None => text.push('%'),
                Some('s') => text.push_str(left.next().map_or("", String::as_str)),
                Some('b') => text.push_str(&unescape(left.next().map_or("", String::as_str))),
                Some('d' | 'i' | 'u') => {
                    let number = left.next().map_or("0", String::as_str);
                    let parsed = number.parse::<i64>();
                    let parsed = parsed.map_err(|_| Unformatted::Invalid(number.to_owned()))?;
                    text.push_str(&parsed.to_string());
                }
                Some(other) => return Err(Unformatted::Unknown(other)),
            }
        }
        if left.len() == 0 || left.len() == before {
            return Ok(text);
        }
    }
}

//! Runs the part of Python that is simulated. A cell is read twice by the same code: first without
//! doing anything, which finds all that is not simulated, then for real.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time;

use crate::lock::lock;
use crate::runner::{Cell, Exception, Executing, Kernel, Output};

/// What the variables of a context, and one text, may hold, in bytes.
const MAX_HELD: usize = 1024 * 1024;
/// Operands of one line.
const MAX_OPERANDS: usize = 200;

/// The variables of one context.
#[derive(Debug, Default)]
pub(super) struct Python(Arc<Mutex<Variables>>);

type Variables = BTreeMap<String, Value>;

#[derive(Clone, Debug, PartialEq)]
enum Value {
    None,
    Int(i64),
    Text(String),
}

/// What a statement does besides changing variables.
enum Effect {
    Nothing,
    Stdout(String),
    Stderr(String),
    Sleep(Duration),
    Value(Value),
}

impl Kernel for Python {
    fn execute(&self, cell: Cell, output: Output) -> Executing {
        let variables = Arc::clone(&self.0);
        Box::pin(async move {
            let (mut check, mut last) = (Reader::new(&cell, None), Value::None);
            while !check.rest.is_empty() {
                check.statement()?;
            }
            let mut reader = Reader::new(&cell, Some(&variables));
            while !reader.rest.is_empty() {
                match reader.statement()? {
                    Effect::Nothing => last = Value::None,
                    Effect::Value(value) => last = value,
                    Effect::Stdout(text) => output.stdout(text).await,
                    Effect::Stderr(text) => output.stderr(text).await,
                    Effect::Sleep(wait) => time::sleep(wait).await,
                }
            }
            Ok((last != Value::None).then(|| last.repr()))
        })
    }
}

fn exception<T>(name: &str, value: impl Into<String>) -> Result<T, Exception> {
    let (name, value, rule) = (name.to_owned(), value.into(), "-".repeat(75));
    let title =
        format!("{name}{:>1$}", "Traceback (most recent call last)", 75 - name.len().min(40));
    Err(Exception { traceback: format!("{rule}\n{title}\n{name}: {value}"), name, value })
}

fn not_simulated<T>(what: &str) -> Result<T, Exception> {
    exception("NotImplementedError", format!("not simulated: {what}"))
}

impl Value {
    fn size(&self) -> usize {
        if let Self::Text(text) = self { text.len() + 16 } else { 16 }
    }

    /// What `print` shows.
    fn text(&self) -> String {
        if let Self::Text(text) = self { text.clone() } else { self.repr() }
    }

    fn repr(&self) -> String {
        let text = match self {
            Self::None => return String::from("None"),
            Self::Int(value) => return value.to_string(),
            Self::Text(text) => text,
        };
        let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
        let mut escaped = text.replace('\\', r"\\").replace('\n', r"\n").replace('\t', r"\t");
        escaped = escaped.replace('\r', r"\r").replace(quote, &format!("\\{quote}"));
        format!("{quote}{escaped}{quote}")
    }

    fn add(self, other: Self) -> Result<Self, Exception> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => match a.checked_add(b) {
                Some(sum) => Ok(Self::Int(sum)),
                None => not_simulated("numbers of more than 64 bits"),
            },
            (Self::Text(a), Self::Text(b)) if a.len() + b.len() <= MAX_HELD => {
                Ok(Self::Text(a + &b))
            }
            (Self::Text(_), Self::Text(_)) => exception("MemoryError", ""),
            _ => not_simulated("+ of these types"),
        }
    }

    fn multiply(self, other: Self) -> Result<Self, Exception> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => match a.checked_mul(b) {
                Some(product) => Ok(Self::Int(product)),
                None => not_simulated("numbers of more than 64 bits"),
            },
            (Self::Text(text), Self::Int(count)) | (Self::Int(count), Self::Text(text)) => {
                let count = usize::try_from(count).unwrap_or(0);
                if text.len().saturating_mul(count) > MAX_HELD {
                    return exception("MemoryError", "");
                }
                Ok(Self::Text(text.repeat(count)))
            }
            _ => not_simulated("* of these types"),
        }
    }
}

/// Reads a cell from its front.
struct Reader<'a> {
    cell: &'a Cell,
    rest: &'a str,
    /// Without any, nothing is done.
    variables: Option<&'a Mutex<Variables>>,
    operands: usize,
}

impl<'a> Reader<'a> {
    fn new(cell: &'a Cell, variables: Option<&'a Mutex<Variables>>) -> Self {
        Self { cell, rest: &cell.code, variables, operands: 0 }
    }

    fn variables(&self) -> Option<MutexGuard<'a, Variables>> {
        self.variables.map(lock)
    }

    /// Takes this text off the front, if it is there, with the blanks behind it.
    fn take(&mut self, text: &str) -> bool {
        let after = self.rest.strip_prefix(text);
        self.rest = after.map_or(self.rest, |after| after.trim_start_matches([' ', '\t']));
        after.is_some()
    }

    fn expect(&mut self, text: &str) -> Result<(), Exception> {
        if self.take(text) { Ok(()) } else { not_simulated(self.line()) }
    }

    /// What is left of the line.
    fn line(&self) -> &'a str {
        self.rest.lines().next().unwrap_or_default()
    }

    /// Takes a name off the front; an empty one if there is none.
    fn name(&mut self) -> &'a str {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let name = &self.rest[..end];
        self.take(name);
        name
    }

    /// Runs one statement, and takes what ends it.
    fn statement(&mut self) -> Result<Effect, Exception> {
        self.operands = 0;
        if self.rest.starts_with([' ', '\t']) && !self.line().trim().is_empty() {
            return not_simulated("an indented line");
        }
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        let effect = match self.rest.chars().next() {
            None | Some('\n' | '\r' | ';' | '#') => Effect::Nothing,
            _ => self.simple()?,
        };
        if self.rest.starts_with('#') {
            self.rest = &self.rest[self.line().len()..];
        }
        self.take("\r");
        match self.rest.as_bytes().first() {
            // What is behind a line is not taken: it may be indented.
            Some(b'\n') => self.rest = &self.rest[1..],
            Some(b';') => drop(self.take(";")),
            None => {}
            Some(_) => return not_simulated(self.line()),
        }
        Ok(effect)
    }

    fn simple(&mut self) -> Result<Effect, Exception> {
        let start = self.rest;
        let name = self.name();
        match name {
            "import" => {
                let module = self.name();
                return match module {
                    "os" | "sys" | "time" => Ok(Effect::Nothing),
                    module => not_simulated(&format!("import {module}")),
                };
            }
            "raise" => {
                let name = self.name();
                let value = if self.take("()") || !self.take("(") {
                    Value::Text(String::new())
                } else {
                    let value = self.sum()?;
                    self.expect(")")?;
                    value
                };
                return if self.variables.is_some() {
                    exception(name, value.text())
                } else {
                    Ok(Effect::Nothing)
                };
            }
            "print" if self.take("(") => return self.print(),
            "time" if self.take(".sleep(") => {
                let end = self.rest.find(')').unwrap_or(0);
                let seconds = self.rest[..end].trim().parse();
                let wait = seconds.ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
                self.rest = &self.rest[end..];
                self.expect(")")?;
                let Some(wait) = wait else { return not_simulated("time.sleep of no number") };
                return Ok(Effect::Sleep(wait));
            }
            _ => {}
        }
        let sign = ["+=", "*=", "="].into_iter().find(|sign| self.rest.starts_with(sign));
        if let Some(sign) = sign.filter(|_| !name.is_empty() && !self.rest.starts_with("==")) {
            self.take(sign);
            let mut value = self.sum()?;
            if sign != "=" && self.variables.is_some() {
                let before = self.variable(name)?;
                value = if sign == "+=" { before.add(value) } else { before.multiply(value) }?;
            }
            self.assign(name, value)?;
            return Ok(Effect::Nothing);
        }
        self.rest = start;
        self.sum().map(Effect::Value)
    }

    fn print(&mut self) -> Result<Effect, Exception> {
        let (mut texts, mut to_stderr) = (Vec::new(), false);
        while !self.take(")") {
            if self.take("file=sys.stderr") {
                to_stderr = true;
            } else {
                texts.push(self.sum()?.text());
            }
            if !self.take(",") && !self.rest.starts_with(')') {
                return not_simulated(self.line());
            }
        }
        let line = texts.join(" ") + "\n";
        Ok(match (&self.variables, to_stderr) {
            (None, _) => Effect::Nothing,
            (_, true) => Effect::Stderr(line),
            (_, false) => Effect::Stdout(line),
        })
    }

    fn assign(&self, name: &str, value: Value) -> Result<(), Exception> {
        let Some(mut variables) = self.variables() else { return Ok(()) };
        let held: usize = variables.values().map(Value::size).sum();
        if held + value.size() > MAX_HELD {
            return exception("MemoryError", "");
        }
        variables.insert(name.to_owned(), value);
        Ok(())
    }

    fn variable(&self, name: &str) -> Result<Value, Exception> {
        let Some(variables) = self.variables() else { return Ok(Value::None) };
        match variables.get(name) {
            Some(value) => Ok(value.clone()),
            None => exception("NameError", format!("name '{name}' is not defined")),
        }
    }

    fn sum(&mut self) -> Result<Value, Exception> {
        let mut sum = self.product()?;
        while self.take("+") {
            let next = self.product()?;
            sum = if self.variables.is_some() { sum.add(next)? } else { Value::None };
        }
        Ok(sum)
    }

    fn product(&mut self) -> Result<Value, Exception> {
        let mut product = self.operand()?;
        while !self.rest.starts_with("**") && self.take("*") {
            let next = self.operand()?;
            product = if self.variables.is_some() { product.multiply(next)? } else { Value::None };
        }
        Ok(product)
    }

    fn operand(&mut self) -> Result<Value, Exception> {
        // Nothing nests without one, so this bounds the depth too.
        self.operands += 1;
        if self.operands > MAX_OPERANDS {
            return not_simulated("so long a line");
        }
        let line = self.line();
        if self.take("(") {
            let inside = self.sum()?;
            self.expect(")")?;
            return Ok(inside);
        }
        if self.take("os.environ[") {
            let key = self.sum()?;
            self.expect("]")?;
            return match self.cell.environment.get(&key.text()) {
                _ if self.variables.is_none() => Ok(Value::None),
                Some(value) => Ok(Value::Text(value.clone())),
                None => exception("KeyError", key.repr()),
            };
        }
        if let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
            return self.quoted(quote);
        }
        let digits = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let name = self.name();
        let follows = self.rest.chars().next();
        match name {
            // More than a name and not all of it simulated: a call, a part, a prefix.
            _ if follows.is_some_and(|c| !" \t\r\n;#+*,)]".contains(c)) => not_simulated(line),
            "" | "True" | "False" | "pass" | "break" | "continue" | "return" => not_simulated(line),
            "None" => Ok(Value::None),
            name if digits == name.len() => match name.parse() {
                Ok(value) => Ok(Value::Int(value)),
                Err(_) => not_simulated(line),
            },
            name if digits > 0 => not_simulated(name),
            name => self.variable(name),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Value, Exception> {
        let (line, mut text) = (self.line(), String::new());
        let mut chars = line.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    let whole = &line[..=at];
                    if line[at + 1..].starts_with([quote, '\'', '"']) {
                        return not_simulated(line);
                    }
                    self.take(whole);
                    return Ok(Value::Text(text));
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c @ ('\\' | '\'' | '"'))) => text.push(c),
                    _ => return not_simulated(line),
                },
                c => text.push(c),
            }
        }
        exception("SyntaxError", "unterminated string literal")
    }
}

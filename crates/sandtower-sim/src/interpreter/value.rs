//! Values, and what goes wrong with them.

/// The longest text or list, in bytes or entries.
pub(super) const MAX_SIZE: usize = 256 * 1024;

/// What an expression gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Value>),
}

/// An exception of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) name: String,
    pub(super) value: String,
}

impl Exception {
    pub(super) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    pub(super) fn syntax() -> Self {
        Self::new("SyntaxError", "invalid syntax, or the simulator does not know it")
    }

    pub(super) fn types(value: impl Into<String>) -> Self {
        Self::new("TypeError", value)
    }

    pub(super) fn traceback(&self) -> String {
        let Self { name, value } = self;
        let rule = "-".repeat(75);
        format!(
            "{rule}\n{name}{:>width$}\n{name}: {value}",
            "Traceback (most recent call last)",
            width = 75usize.saturating_sub(name.len())
        )
    }
}

impl Value {
    /// About how many bytes it holds.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 16,
            Self::List(values) => 16 + values.iter().map(Self::size).sum::<usize>(),
            _ => 16,
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(values) => !values.is_empty(),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::List(_) => "list",
        }
    }

    /// As a number: truth counts as one.
    pub(super) fn number(&self) -> Option<Value> {
        match self {
            Self::Bool(value) => Some(Self::Int(i128::from(*value))),
            Self::Int(_) | Self::Float(_) => Some(self.clone()),
            _ => None,
        }
    }

    pub(super) fn float(&self) -> Option<f64> {
        match self.number()? {
            Self::Int(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            _ => None,
        }
    }

    /// What `print` shows.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.repr(),
        }
    }

    /// What a result shows.
    pub(super) fn repr(&self) -> String {
        match self {
            Self::None => String::from("None"),
            Self::Bool(true) => String::from("True"),
            Self::Bool(false) => String::from("False"),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => float(*value),
            Self::Text(text) => quoted(text),
            Self::List(values) => {
                let inner: Vec<_> = values.iter().map(Self::repr).collect();
                format!("[{}]", inner.join(", "))
            }
        }
    }
}

fn float(value: f64) -> String {
    if value.is_nan() {
        return String::from("nan");
    }
    if value.is_infinite() {
        return String::from(if value > 0.0 { "inf" } else { "-inf" });
    }
    if value != 0.0 && !(1e-4..1e16).contains(&value.abs()) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) => {
                let (sign, exponent) =
                    exponent.strip_prefix('-').map_or(("+", exponent), |e| ("-", e));
                format!("{digits}e{sign}{exponent:0>2}")
            }
            None => text,
        };
    }
    format!("{value:?}")
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\\' => quoted.push_str("\\\\"),
            c if c == quote => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted.push(quote);
    quoted
}

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, ConfigError};
use crate::generation::Generation;
use crate::server::TlsSlot;

/// The environment variables of settings begin with this: `SANDTOWER__LIMITS__KEYS` is `limits.keys`.
const PREFIX: &str = "SANDTOWER__";

/// Where a configuration comes from: a file, then the environment, then single settings; the last one
/// wins. Kept to be read again at a reload.
///
/// ```
/// use sandtower_gateway::config::Source;
///
/// let config = Source::new().set("limits.keys=5")?.set("domain=gw.example.com")?.read()?;
/// assert_eq!(config.limits.keys.get(), 5);
/// # Ok::<(), sandtower_gateway::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Source {
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    set: Vec<(String, String)>,
}

impl Source {
    /// Nothing but the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads this file first.
    #[must_use]
    pub fn file(self, file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    /// Takes the variables that begin with `SANDTOWER__`: of the setting's name in capitals, with `__` for
    /// its dots.
    #[must_use]
    pub fn environment(mut self, all: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let own = all.into_iter().filter_map(|(name, value)| {
            let path = name.to_str()?.strip_prefix(PREFIX)?.to_lowercase().replace("__", ".");
            Some((path, value.into_string().ok()?))
        });
        self.environment.extend(own);
        self
    }

    /// Sets one setting, as `path=value`: the value is TOML, or a text without its quotes.
    ///
    /// # Errors
    ///
    /// There is no `=` in it.
    pub fn set(mut self, setting: &str) -> Result<Self, ConfigError> {
        let (path, value) = setting.split_once('=').ok_or_else(|| {
            ConfigError::new(setting, "it must be `path=value`, such as `limits.keys=100`")
        })?;
        self.set.push((path.trim().to_owned(), value.trim().to_owned()));
        Ok(self)
    }

    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// Something cannot be read, has an unknown name or is invalid; the error says where, and what would be
    /// right.
    pub fn read(&self) -> Result<Config, ConfigError> {
        let text = match &self.file {
            Some(file) => Some((file, text_of(file)?)),
            None => None,
        };
        let mut all = Table::new();
        if let Some((file, text)) = &text {
            all = text.parse().map_err(|error| no_toml(file, text, &error))?;
        }
        for (path, value) in self.environment.iter().chain(&self.set) {
            put(&mut all, path, parsed(value))?;
        }
        let read = serde_path_to_error::deserialize(Value::Table(all));
        let config: Result<Config, _> = read.map_err(|error| {
            let path = Some(error.path().to_string()).filter(|path| path != ".");
            let name = path.unwrap_or_else(|| String::from("the configuration"));
            ConfigError::new(name, error.inner().to_string())
        });
        config.and_then(|config| is_usable(&config).map(|()| config)).map_err(|error| match text {
            Some((file, text)) if !error.has_file() => {
                let line = line_of(&text, &error);
                // What is not in the file was set elsewhere.
                if line.is_some() { error.at(file.clone(), line) } else { error }
            }
            _ => error,
        })
    }
}

/// Builds what the configuration describes: an error then has its line, and files are read.
fn is_usable(config: &Config) -> Result<(), ConfigError> {
    Generation::new(config.clone())?;
    TlsSlot::new(config.tls.as_ref())?;
    Ok(())
}

fn text_of(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file)
        .map_err(|error| ConfigError::new("the file cannot be read", error).at(file.into(), None))
}

fn no_toml(file: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map(|span| line_at(text, span.start));
    ConfigError::new("it is not TOML", error.message()).at(file.into(), line)
}

/// A value as TOML, or as a text without its quotes.
fn parsed(text: &str) -> Value {
    #[derive(Deserialize)]
    struct One {
        value: Value,
    }
    let one = toml::from_str(&format!("value = {text}")).map(|One { value }| value);
    one.unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn put(table: &mut Table, path: &str, value: Value) -> Result<(), ConfigError> {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let Some(rest) = rest else {
        table.insert(first.to_owned(), value);
        return Ok(());
    };
    match table.entry(first.to_owned()).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(below) => put(below, rest, value),
        _ => Err(ConfigError::new(path, format!("`{first}` is not a section"))),
    }
}

/// The line of the setting that the error is about, or of the section around it.
fn line_of(text: &str, error: &ConfigError) -> Option<usize> {
    // An unknown name is part of the text, not of the path.
    let unknown = error.why().strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    let mut path: Vec<&str> = error.setting().split('.').collect();
    if let Some((name, _)) = unknown
        && path.last() != Some(&name)
    {
        path.push(name);
    }
    let root = toml::de::DeTable::parse(text).ok()?;
    let (mut table, mut found) = (root.get_ref(), None);
    for part in path {
        // One of a list, such as `places[0]`.
        let (name, at) = part.split_once('[').unwrap_or((part, ""));
        let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else { break };
        found = Some(key.span().start);
        let at = at.strip_suffix(']').and_then(|at| at.parse::<usize>().ok());
        let value = match (value.get_ref(), at) {
            (toml::de::DeValue::Array(all), Some(at)) => match all.get(at) {
                Some(one) if one.get_ref().is_table() => {
                    found = Some(one.span().start);
                    one
                }
                // One that is not a section stands where the list does.
                _ => break,
            },
            _ => value,
        };
        match value.get_ref() {
            toml::de::DeValue::Table(below) => table = below,
            _ => break,
        }
    }
    found.map(|at| line_at(text, at))
}

fn line_at(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

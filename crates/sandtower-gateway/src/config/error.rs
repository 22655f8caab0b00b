use std::path::PathBuf;

/// A configuration that is invalid: where, what is wrong, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{}{setting}: {why}", Position(.file, .line))]
pub struct ConfigError {
    file: Option<PathBuf>,
    line: Option<usize>,
    setting: String,
    why: String,
}

struct Position<'a>(&'a Option<PathBuf>, &'a Option<usize>);

impl std::fmt::Display for Position<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self(Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display()),
            Self(Some(file), None) => write!(f, "{}: ", file.display()),
            Self(None, _) => Ok(()),
        }
    }
}

impl ConfigError {
    pub(crate) fn new(setting: impl Into<String>, why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        Self { file: None, line: None, setting: setting.into(), why: why.trim_end().to_owned() }
    }

    /// The same, in this file, at this line if it is known.
    #[must_use]
    pub(crate) fn at(self, file: PathBuf, line: Option<usize>) -> Self {
        Self { file: Some(file), line, ..self }
    }

    /// Whether it is known in which file it is.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// The whole name of the setting, such as `limits.keys`, or what else cannot be read.
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// The line of the file in which it stands, from 1.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// What is wrong with it, and what would be right.
    pub fn why(&self) -> &str {
        &self.why
    }
}

use std::net::SocketAddr;
use std::path::PathBuf;

use sandtower::e2b::Secret;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The fewest characters of a token: 16 of hexadecimal are 64 bits.
const SHORTEST_TOKEN: usize = 16;

/// The listener for operators.
///
/// Whoever reaches a listener on loopback may read without a token; on any other address, reading needs
/// it too. Changes always need it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Admin {
    /// Where it listens; left out, there is none.
    pub listen: Option<SocketAddr>,
    /// What operators show to change anything: at least 16 visible ASCII characters. Without it a
    /// listener on loopback makes one at each start.
    #[serde(skip_serializing)]
    pub token: Option<Secret>,
    /// A file with the token, in place of `token`.
    pub token_file: Option<PathBuf>,
    /// Host names besides IP addresses and `localhost` under which operators reach the listener.
    pub hosts: Vec<String>,
    /// The file to which each change is appended, one JSON object a line.
    pub audit_log: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 4_001))),
            token: None,
            token_file: None,
            hosts: Vec::new(),
            audit_log: None,
        }
    }
}

impl Admin {
    /// The token, from the setting or from its file; `None`: none is set.
    pub(crate) fn read_token(&self) -> Result<Option<Secret>, ConfigError> {
        let (name, token) = match (&self.token, &self.token_file) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::new("admin.token", "set either it or `token_file`"));
            }
            (Some(token), None) => ("admin.token", token.clone()),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    let why = format!("{} cannot be read: {error}", file.display());
                    ConfigError::new("admin.token_file", why)
                })?;
                ("admin.token_file", Secret::new(text.trim_end()))
            }
            (None, None) => return Ok(None),
        };
        let text = token.expose();
        if text.len() < SHORTEST_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let right = "the token must have at least 16 visible ASCII characters: \
                         `openssl rand -hex 32` makes one";
            return Err(ConfigError::new(name, right));
        }
        Ok(Some(token))
    }

    /// Whether only programs on this machine reach it.
    pub(crate) fn is_local(&self) -> bool {
        self.listen.is_none_or(|address| address.ip().to_canonical().is_loopback())
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.read_token()?.is_none() && !self.is_local() {
            let right = "it must be set, or `token_file`, since `admin.listen` is not on loopback: \
                         else whoever reaches that address controls the gateway";
            return Err(ConfigError::new("admin.token", right));
        }
        Ok(())
    }

    /// The settings that differ: they need a restart.
    pub(crate) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let all = [
            ("admin.listen", self.listen != other.listen),
            ("admin.token", self.token != other.token),
            ("admin.token_file", self.token_file != other.token_file),
            ("admin.hosts", self.hosts != other.hosts),
            ("admin.audit_log", self.audit_log != other.audit_log),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

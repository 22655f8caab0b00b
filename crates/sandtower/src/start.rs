use crate::E2b;
use crate::e2b::{Config, ConfigError, HttpTransport, TransportError};
use crate::stack::{BuildError, Stack};

/// A client of E2B with the [recommended stack](crate::stack) for the smallest plan over the default
/// transport.
///
/// ```no_run
/// # async fn example(key: &str) -> Result<(), sandtower::core::BoxError> {
/// let e2b = sandtower::e2b(key)?;
/// let sandbox = e2b.create(&sandtower::e2b::NewSandbox::new("base")).await?;
/// # Ok(())
/// # }
/// ```
///
/// [`Config::from_env`] and [`Stack::builder`] offer all choices.
///
/// # Errors
///
/// The key is invalid, or the environment has an invalid proxy.
pub fn e2b(api_key: impl AsRef<str>) -> Result<E2b, StartError> {
    Stack::builder(Config::new(api_key)?).build()?.connect()
}

impl Stack {
    /// A client with this stack over the default transport.
    ///
    /// # Errors
    ///
    /// The environment has an invalid proxy.
    pub fn connect(&self) -> Result<E2b, StartError> {
        Ok(E2b::new(self, HttpTransport::new()?))
    }
}

/// A client cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The key or an address of E2B is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting of the stack is invalid.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The transport cannot be set up.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

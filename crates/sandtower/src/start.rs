use crate::E2b;
use crate::e2b::{Config, ConfigError, HttpTransport, TransportError};
use crate::stack::{BuildError, Stack};

/// A client of E2B itself: the [recommended stack](crate::stack) for the smallest plan over the
/// default transport.
///
/// ```no_run
/// # async fn example(key: &str) -> Result<(), sandtower::core::BoxError> {
/// let e2b = sandtower::e2b(key)?;
/// let sandbox = e2b.create(&sandtower::e2b::NewSandbox::new("base")).await?;
/// # Ok(())
/// # }
/// ```
///
/// [`Config::from_env`] and [`Stack::builder`] have all the choices.
///
/// # Errors
///
/// The key cannot be one, or the environment names a proxy that cannot be used.
pub fn e2b(api_key: impl AsRef<str>) -> Result<E2b<HttpTransport>, StartError> {
    Stack::builder(Config::new(api_key)?).build()?.connect()
}

impl<F> Stack<F> {
    /// A client with this stack around the default transport.
    ///
    /// # Errors
    ///
    /// The environment names a proxy that cannot be used.
    pub fn connect(&self) -> Result<E2b<HttpTransport, F>, StartError>
    where
        F: tower_layer::Layer<crate::stack::Templated<HttpTransport>>,
    {
        Ok(E2b::new(self, HttpTransport::new()?))
    }
}

/// A client that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The key, or where E2B is, makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The stack makes no sense.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// There is no way to connect.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

//! Reading JSON.

use serde::de::{DeserializeOwned, Error as _};
use serde_json::Error;

/// Reads an object. Of an array, serde would take the elements for the fields in their order.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match bytes.trim_ascii_start().first() {
        Some(b'{') | None => serde_json::from_slice(bytes),
        Some(_) => Err(Error::custom("expected an object")),
    }
}

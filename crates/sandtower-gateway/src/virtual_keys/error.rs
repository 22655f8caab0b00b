/// Why a key was not created, changed, rotated or revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A field is invalid.
    #[error("`{field}`: {problem}")]
    #[non_exhaustive]
    Field {
        /// Which one.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// No key has this id.
    #[error("no key has this id: `GET /api/v1/keys` lists them")]
    Unknown,
    /// The key is revoked, which is final.
    #[error("the key is revoked, which is final: create another one")]
    Revoked,
    /// The key is in the file with keys.
    #[error("the key is in the file with keys: change it there, and reload")]
    Declared,
    /// There are as many keys as there may be.
    #[error("there are {0} keys, as many as there may be: revoke some, revoked ones make place")]
    Full(usize),
    /// It could not be written.
    #[error(
        "the key was not stored, and nothing has changed: the log says why the store is unavailable"
    )]
    NotStored,
    /// It is revoked, and could not be written.
    #[error(
        "the key is revoked in this process and not in the store, which is unavailable: repeat it when the store has recovered, or it is alive after a restart"
    )]
    RevokedNotStored,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: nothing has changed")]
    NoRandomNumbers,
}

impl KeyError {
    pub(super) fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Field { field, problem: problem.into() }
    }

    /// Whether the request is at fault, and not the gateway.
    pub fn is_of_request(&self) -> bool {
        !matches!(self, Self::NotStored | Self::RevokedNotStored | Self::NoRandomNumbers)
    }
}

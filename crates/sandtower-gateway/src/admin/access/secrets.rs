use sandtower::core::BoxError;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// 256 random bits as hexadecimal.
pub(super) fn random() -> Result<String, BoxError> {
    let mut bytes = [0; 32];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| "the system has no random numbers")?;
    Ok(hexadecimal(&bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A secret that is only ever compared: its SHA-256. The comparison takes as long for any two.
#[derive(Clone, Copy)]
pub(super) struct Hashed([u8; 32]);

impl Hashed {
    pub(super) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    pub(super) fn is(&self, secret: &str) -> bool {
        self.0.ct_eq(&Self::of(secret).0).into()
    }

    /// Six characters that name it and do not help to guess it.
    pub(super) fn name(&self) -> String {
        hexadecimal(&self.0[..3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_secret_is_it() {
        let hashed = Hashed::of("0123456789abcdef");
        assert!(hashed.is("0123456789abcdef"));
        for other in ["", "0123456789abcdeF", "0123456789abcde", "0123456789abcdef "] {
            assert!(!hashed.is(other), "{other}");
        }
    }

    #[test]
    fn random_secrets_differ() {
        let (one, two) = (random().unwrap(), random().unwrap());
        assert_eq!((one.len(), two.len()), (64, 64));
        assert_ne!(one, two);
    }
}

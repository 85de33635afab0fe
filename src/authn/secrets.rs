//! Opaque secrets: 256 random bits. The client has the secret, the database only its hash.

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::ClinicId;

/// A secret that is shown once.
pub struct Secret {
    /// The text for the client.
    pub text: String,
    /// The hash for the database.
    pub hash: Vec<u8>,
}

impl Secret {
    /// Generates a random secret.
    ///
    /// # Errors
    /// Fails if the system provides no random bytes.
    pub fn generate() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0u8; 32];
        rand::fill(&mut bytes)?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        let hash = Self::hash_of(&text);
        Ok(Self { text, hash })
    }

    /// Returns the stored hash of a secret. All bits of a secret are random, so one round of SHA-256 is enough.
    pub fn hash_of(text: &str) -> Vec<u8> {
        digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
    }
}

/// Returns an invitation's token. It contains the clinic, so that the clinic's context can be set before the secret is
/// looked up.
pub fn invitation_token(clinic: ClinicId, secret: &Secret) -> String {
    format!("{clinic}.{}", secret.text)
}

/// Splits an invitation's token into the clinic and the hash of the secret.
pub fn split_invitation_token(token: &str) -> Option<(ClinicId, Vec<u8>)> {
    let (clinic, secret) = token.trim().split_once('.')?;
    Some((ClinicId(clinic.parse().ok()?), Secret::hash_of(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_256_bits_and_is_found_by_its_hash() {
        let secret = Secret::generate().unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(&secret.text).unwrap().len(), 32);
        assert_eq!(Secret::hash_of(&secret.text), secret.hash);
        assert_ne!(Secret::generate().unwrap().text, secret.text);
    }

    #[test]
    fn an_invitation_token_contains_its_clinic_and_hash() {
        let secret = Secret::generate().unwrap();
        let token = invitation_token(ClinicId(12), &secret);
        assert_eq!(split_invitation_token(&token), Some((ClinicId(12), secret.hash)));
        assert_eq!(split_invitation_token("nonsense"), None);
        assert_eq!(split_invitation_token("x.y"), None);
    }
}

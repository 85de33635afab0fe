//! Opaque secrets: 256 random bits that a client holds and the database knows by their hash only.

use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::domain::ClinicId;

/// A secret that is shown once.
pub struct Secret {
    /// What the client keeps.
    pub text: String,
    /// What the database keeps.
    pub hash: Vec<u8>,
}

impl Secret {
    /// A new random secret.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub fn generate() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0u8; 32];
        rand::fill(&mut bytes)?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        let hash = Self::hash_of(&text);
        Ok(Self { text, hash })
    }

    /// The hash by which the database knows a secret. It is random in all its bits, so one round is enough.
    pub fn hash_of(text: &str) -> Vec<u8> {
        digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
    }
}

/// An invitation's token: it names its clinic, so that the clinic's context can be set before its secret
/// is looked for.
pub fn invitation_token(clinic: ClinicId, secret: &Secret) -> String {
    format!("{clinic}.{}", secret.text)
}

/// The clinic and the hash of the secret of an invitation's token.
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

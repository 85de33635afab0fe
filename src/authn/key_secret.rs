//! The secret that encrypts the private keys in the database.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::TokenKeys;
use crate::actors::repository;
use crate::actors::repository::{Repository, SigningKey};

/// The environment variable with the secret. It has no command-line flag, because every user of a machine can see
/// command lines.
const VARIABLE: &str = "CLINICD_KEY_SECRET";

/// Why the signing keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The variable does not contain a secret.
    #[error("CLINICD_KEY_SECRET is not 32 bytes in base64 or hex; create one with `openssl rand -base64 32`")]
    Malformed,
    /// Production stores no key that a reader of the database could use.
    #[error(
        "production needs CLINICD_KEY_SECRET to encrypt the signing keys; create one with `openssl rand -base64 32`"
    )]
    Required,
    /// The keys are encrypted, and no secret is set.
    #[error("the signing keys are encrypted: set CLINICD_KEY_SECRET to the secret that encrypted them")]
    Missing,
    /// The secret is a different one, or the row was changed.
    #[error("CLINICD_KEY_SECRET cannot decrypt signing key {kid}: another secret encrypted it")]
    Wrong {
        /// The key's id.
        kid: String,
    },
    /// A secret is set, but the keys are not encrypted.
    #[error("the signing keys are not encrypted: run `clinicd migrate` with CLINICD_KEY_SECRET")]
    NotWrapped,
    /// The database failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// The system provided no random bytes.
    #[error("the system provides no random bytes")]
    NoRandomness,
}

/// 32 bytes that encrypt private keys (AES-256-GCM with a random nonce for each key).
#[derive(Clone)]
pub struct KeySecret([u8; 32]);

impl std::fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySecret(…)")
    }
}

impl KeySecret {
    /// Reads the secret from `CLINICD_KEY_SECRET`. Returns `None` if the variable is not set.
    ///
    /// # Errors
    /// [`KeyError::Malformed`]
    pub fn from_environment() -> Result<Option<Self>, KeyError> {
        match std::env::var_os(VARIABLE) {
            Some(text) => Self::parse(text.to_str().unwrap_or_default()).map(Some),
            None => Ok(None),
        }
    }

    /// Parses 32 bytes in base64 (either alphabet, with or without padding) or in hex.
    ///
    /// # Errors
    /// [`KeyError::Malformed`], which does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let bytes = match text.len() {
            64 => from_hex(text),
            _ => {
                let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
                [STANDARD, URL_SAFE].iter().find_map(|of| GeneralPurpose::new(of, lenient).decode(text).ok())
            }
        };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(KeyError::Malformed)
    }

    /// Returns the key with its private part encrypted: a nonce, then the ciphertext with its tag.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`]
    pub fn wrap(&self, key: &SigningKey) -> Result<SigningKey, KeyError> {
        let mut sealed = key.pkcs8.clone();
        let cipher = self.cipher().ok_or(KeyError::NoRandomness)?;
        let nonce = cipher.seal_in_place_append_tag(bound_to(key), &mut sealed).map_err(|_| KeyError::NoRandomness)?;
        let pkcs8 = [&nonce.as_ref()[..], &sealed].concat();
        Ok(SigningKey { pkcs8, is_wrapped: true, ..key.clone() })
    }

    /// The key encrypted, where it is not yet; checks that the secret opens one that is.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`], [`KeyError::Wrong`]
    pub fn wrap_or_open(&self, key: &SigningKey) -> Result<Option<SigningKey>, KeyError> {
        if key.is_wrapped { self.unwrap(key.clone()).map(|_| None) } else { self.wrap(key).map(Some) }
    }

    fn unwrap(&self, key: SigningKey) -> Result<SigningKey, KeyError> {
        let opened = || {
            let (nonce, sealed) = key.pkcs8.split_at_checked(NONCE_LEN)?;
            let mut sealed = sealed.to_vec();
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let pkcs8 = self.cipher()?.open_in_place(nonce, bound_to(&key), &mut sealed).ok()?.to_vec();
            Some(SigningKey { pkcs8, is_wrapped: false, ..key.clone() })
        };
        opened().ok_or_else(|| KeyError::Wrong { kid: key.kid.clone() })
    }

    fn cipher(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0).ok()
    }
}

/// Returns the other columns that the encryption authenticates: they cannot be changed without the secret.
fn bound_to(key: &SigningKey) -> Aad<Vec<u8>> {
    Aad::from([b"clinicd signing key ", key.kid.as_bytes(), b" ", &key.public_key].concat())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    Some(digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

/// Reads the keys from the database and creates the first one if there is none. With a secret every key must be
/// encrypted; an unencrypted key is not trusted.
///
/// # Errors
/// Returns the reason why the keys cannot be used.
pub async fn open_keys(repository: &Repository, secret: Option<&KeySecret>) -> Result<TokenKeys, KeyError> {
    let first = TokenKeys::generate().map_err(|_| KeyError::NoRandomness)?;
    let first = secret.map_or(Ok(first.clone()), |secret| secret.wrap(&first))?;
    let kept = repository.signing_keys(first).await?.into_iter();
    let opened = kept.map(|key| match (key.is_wrapped, secret) {
        (true, Some(secret)) => secret.unwrap(key),
        (true, None) => Err(KeyError::Missing),
        (false, Some(_)) => Err(KeyError::NotWrapped),
        (false, None) => Ok(key),
    });
    let keys = opened.collect::<Result<Vec<_>, _>>()?;
    TokenKeys::new(&keys).ok_or_else(|| repository::Error::Corrupt("there is no signing key".into()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn a_secret_is_32_bytes_in_base64_or_hex_and_is_never_shown() {
        let hex: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
        for text in [BASE64, BASE64.trim_end_matches('='), &hex, &hex.to_uppercase(), &format!(" {BASE64}\n")] {
            let secret = KeySecret::parse(text).unwrap();
            assert!(secret.0.iter().copied().eq(0..32), "{text}");
            assert_eq!(format!("{secret:?}"), "KeySecret(…)");
        }
        for text in ["", "hunter2", &hex[2..], &BASE64[4..], &format!("{hex}00"), &"x".repeat(64)] {
            let error = KeySecret::parse(text).unwrap_err().to_string();
            assert!(error.contains("openssl rand -base64 32"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn an_encrypted_key_opens_only_with_its_secret_and_unchanged() {
        let (secret, other) = (KeySecret([1; 32]), KeySecret([2; 32]));
        let key = TokenKeys::generate().unwrap();
        let wrapped = secret.wrap(&key).unwrap();
        assert!(
            wrapped.is_wrapped && !wrapped.pkcs8.windows(16).any(|part| key.pkcs8.windows(16).any(|of| of == part))
        );
        assert_ne!(secret.wrap(&key).unwrap().pkcs8, wrapped.pkcs8, "each has its own nonce");
        assert_eq!(secret.unwrap(wrapped.clone()).unwrap().pkcs8, key.pkcs8);
        let mut changed = wrapped.clone();
        changed.pkcs8[20] ^= 1;
        let wrong = [
            other.unwrap(wrapped.clone()),
            secret.unwrap(changed),
            secret.unwrap(SigningKey { kid: "another".into(), ..wrapped.clone() }),
            secret.unwrap(SigningKey { public_key: vec![7; 32], ..wrapped.clone() }),
            secret.unwrap(SigningKey { pkcs8: vec![1, 2], ..wrapped }),
        ];
        for opened in wrong {
            assert!(matches!(opened, Err(KeyError::Wrong { .. })));
        }
    }
}

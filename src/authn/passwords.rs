//! Passwords: the rules for new ones, and hashing behind a gate with few permits.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use thread_priority::ThreadPriority;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The length of a password in characters. The minimum is from NIST SP 800-63B; the maximum limits the work of hashing.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;
/// The maximum wait for the gate.
const PATIENCE: Duration = Duration::from_secs(1);
/// Common passwords in lower case, one per line.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// Why a password was not hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many passwords are being hashed. Nothing was done.
    #[error("too many passwords are being hashed")]
    Busy,
    /// Hashing failed, or a stored hash is invalid.
    #[error("password hashing: {0}")]
    Hashing(String),
}

/// Returns why a password is too weak, as a message for the person who chose it.
///
/// There are no composition rules: only length and rarity count.
pub fn weakness(password: &str, email: &str, names: &[&str]) -> Option<&'static str> {
    let length = password.chars().count();
    if !LENGTH.contains(&length) {
        return Some("A password has 8 to 128 characters.");
    }
    let lower = password.to_lowercase();
    if COMMON.contains(lower.as_str()) {
        return Some("This password is among the most common ones; choose another.");
    }
    let local_part = email.split('@').next().unwrap_or_default();
    let own = [email, local_part].into_iter().chain(names.iter().copied());
    let mut own = own.map(str::to_lowercase).filter(|word| !word.is_empty());
    own.any(|word| lower == word)
        .then_some("A password must not be the e-mail address, the user name or the person's name.")
}

/// Hashes and verifies passwords, a few at a time. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    gate: Arc<Semaphore>,
    /// A hash that belongs to no account. Verifying it makes an unknown user take the same time as a known one.
    decoy: Arc<str>,
    hashed: Arc<AtomicU64>,
}

impl Passwords {
    /// Creates a gate with this number of permits. Each permit uses 19 MiB of memory and one processor while it hashes.
    ///
    /// # Errors
    /// Fails if hashing does not work at all.
    pub fn new(permits: usize) -> Result<Self, PasswordError> {
        let (gate, decoy) = (Arc::new(Semaphore::new(permits)), hash(b"nobody's password")?.into());
        Ok(Self { gate, decoy, hashed: Arc::default() })
    }

    /// Returns how many hashes were computed, to store or to verify a password.
    pub fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// Returns the password's hash in PHC format.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] if the gate stays full.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.behind_gate(move || hash(password.as_bytes())).await
    }

    /// Returns whether the password matches the stored hash. Without a hash the answer is `false`, after the same time.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] if the gate stays full.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool, PasswordError> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.to_string());
        let matches = self
            .behind_gate(move || Ok(argon2()?.verify_password(password.as_bytes(), stored.as_str()).is_ok()))
            .await?;
        Ok(matches && known)
    }

    async fn behind_gate<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let permit = tokio::time::timeout(PATIENCE, self.gate.clone().acquire_owned());
        let permit: OwnedSemaphorePermit = match permit.await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => return Err(PasswordError::Busy),
        };
        let hashed = self.hashed.clone();
        let (answer, done) = tokio::sync::oneshot::channel();
        let hashing = std::thread::Builder::new().name("hashing".into()).spawn(move || {
            // The permit is held until the hash is done, even if the caller is gone, because the work is not cancelled.
            let _permit = permit;
            // Hashing runs at the lowest priority, so that bookings do not wait for logins. A thread cannot raise its
            // priority again, so each hash has its own thread.
            if let Err(error) = thread_priority::set_current_thread_priority(ThreadPriority::Min) {
                tracing::debug!(?error, "hashing at normal priority");
            }
            let result = work();
            hashed.fetch_add(1, Ordering::Relaxed);
            let _ = answer.send(result);
        });
        hashing.map_err(|error| PasswordError::Hashing(error.to_string()))?;
        done.await.map_err(|error| PasswordError::Hashing(error.to_string()))?
    }
}

/// Argon2id with 19 MiB, two passes and one lane (OWASP).
fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|error| PasswordError::Hashing(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &[u8]) -> Result<String, PasswordError> {
    let hash = argon2()?.hash_password(password);
    Ok(hash.map_err(|error| PasswordError::Hashing(error.to_string()))?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_refused_and_long_ones_need_no_composition() {
        for weak in ["short", "password1", "PASSWORD1", "ada@example.com", "lovelace", "Lovelace", &"x".repeat(129)] {
            assert!(weakness(weak, "ada@example.com", &["Lovelace"]).is_some(), "{weak}");
        }
        for fine in ["correct horse battery", "ünïcödé straße", "aaaaaaaaab7q", &"x".repeat(128)] {
            assert_eq!(weakness(fine, "ada@example.com", &["Lovelace", ""]), None, "{fine}");
        }
    }

    #[tokio::test]
    async fn a_hash_is_argon2id_and_verifies_only_its_password() {
        let passwords = Passwords::new(2).unwrap();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("nobody's password".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_gate_that_stays_full_says_busy() {
        let passwords = Passwords::new(1).unwrap();
        let _held = passwords.gate.clone().acquire_owned().await.unwrap();
        let refused = passwords.hash("correct horse".into()).await;
        assert!(matches!(refused, Err(PasswordError::Busy)));
    }
}

//! SQL of the keys that sign access tokens. The program accesses them through a procedure; a migration accesses them as
//! their owner.

use sqlx::PgConnection;

use super::context::GlobalDb;
use super::{Error, Result};

/// A stored key pair.
#[derive(Clone)]
pub struct SigningKey {
    /// The key's id, as in the header of each token.
    pub kid: String,
    /// The private key (PKCS #8), encrypted if `is_wrapped`.
    pub pkcs8: Vec<u8>,
    /// The public key (32 bytes of Ed25519).
    pub public_key: Vec<u8>,
    /// Whether the private key is encrypted with the secret of the environment.
    pub is_wrapped: bool,
}

/// Returns all keys, newest first. The newest one signs, the others verify. Stores `first` if there is none; if several
/// programs start at once, all get the same key.
pub async fn list(db: &mut GlobalDb<'_>, first: &SigningKey) -> Result<Vec<SigningKey>> {
    let kept = sqlx::query!(
        "CALL signing_keys($1, $2, $3, $4, NULL, NULL, NULL, NULL)",
        first.kid,
        first.pkcs8,
        first.public_key,
        first.is_wrapped,
    )
    .fetch_one(db)
    .await?;
    let (Some(kids), Some(pkcs8s), Some(public_keys), Some(are_wrapped)) =
        (kept.kids, kept.pkcs8s, kept.public_keys, kept.are_wrapped)
    else {
        return Err(Error::Corrupt("there is no signing key".into()));
    };
    let rows = kids.into_iter().zip(pkcs8s).zip(public_keys).zip(are_wrapped);
    Ok(rows.map(|(((kid, pkcs8), public_key), is_wrapped)| SigningKey { kid, pkcs8, public_key, is_wrapped }).collect())
}

/// All keys, for their owner, until the transaction ends.
pub async fn lock_all(db: &mut PgConnection) -> Result<Vec<SigningKey>> {
    Ok(sqlx::query_as!(SigningKey, "SELECT kid, pkcs8, public_key, is_wrapped FROM signing_keys FOR UPDATE",)
        .fetch_all(db)
        .await?)
}

/// Stores the encrypted form of a key, as its owner.
pub async fn wrap(db: &mut PgConnection, key: &SigningKey) -> Result<()> {
    sqlx::query!("UPDATE signing_keys SET pkcs8 = $2, is_wrapped = true WHERE kid = $1", key.kid, key.pkcs8)
        .execute(db)
        .await?;
    Ok(())
}

//! SQL of the keys that sign access tokens.

use super::{Result, context::GlobalDb};

/// A key pair as it is kept.
#[derive(Clone)]
pub struct SigningKey {
    /// The key's id, which stands in the header of each token.
    pub kid: String,
    /// The private key (PKCS #8).
    pub pkcs8: Vec<u8>,
    /// The public key (32 bytes of Ed25519).
    pub public_key: Vec<u8>,
}

/// All keys, the newest first: it signs, the others verify.
pub async fn list(db: &mut GlobalDb<'_>) -> Result<Vec<SigningKey>> {
    Ok(sqlx::query_as!(SigningKey, "SELECT kid, pkcs8, public_key FROM signing_keys ORDER BY created_at DESC, kid")
        .fetch_all(db)
        .await?)
}

/// Keeps a key if there is none yet, whichever of several programs comes first.
pub async fn insert_first(db: &mut GlobalDb<'_>, key: &SigningKey) -> Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('clinicd signing keys'))").execute(&mut *db).await?;
    sqlx::query!(
        "INSERT INTO signing_keys (kid, pkcs8, public_key)
         SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM signing_keys)",
        key.kid,
        key.pkcs8,
        key.public_key,
    )
    .execute(db)
    .await?;
    Ok(())
}

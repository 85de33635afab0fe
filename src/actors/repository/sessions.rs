//! Reads and writes of sessions. Beginning, continuing and ending a session each write an audit event.

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use uuid::Uuid;

use super::{Repository, Result};
use crate::domain::Caller;
use crate::domain::users::Rotation;
use crate::repository::audit::{Event, Outcome};
use crate::repository::context::{ClinicDb, Global};
use crate::repository::{accounts, audit, sessions};

/// The name of a session in the audit trail. No policy mentions it.
const RESOURCE: &str = "sessions";

async fn record(db: &mut ClinicDb<'_>, caller: &Caller, action: &'static str) -> Result<()> {
    let event = Event { caller: caller.clone(), action, resource: RESOURCE, resource_id: None, outcome: Outcome::Done };
    audit::record(db, &event).await
}

impl Repository {
    /// Begins a session with its first refresh token.
    pub async fn begin_session(&self, caller: &Caller, token_hash: Vec<u8>, expires_at: DateTime<Utc>) -> Result<()> {
        let caller = caller.clone();
        self.transact(caller.clinic, move |db| {
            async move {
                sessions::insert(&mut *db, caller.account, &token_hash, expires_at).await?;
                record(db, &caller, "create").await
            }
            .boxed()
        })
        .await
    }

    /// Uses up a refresh token, stores its successor and returns the token's owner. Returns `None` if the token or its
    /// membership has ended.
    pub async fn continue_session(
        &self,
        token_hash: Vec<u8>,
        successor_hash: Vec<u8>,
        successor_expires_at: DateTime<Utc>,
        request: Uuid,
    ) -> Result<Option<Caller>> {
        self.transact(Global, move |db| {
            async move {
                let rotation = sessions::rotate(&mut *db, &token_hash, &successor_hash, successor_expires_at).await?;
                let (account, clinic) = match rotation {
                    Rotation::Rotated { account, clinic } => (account, clinic),
                    Rotation::Reused => {
                        tracing::warn!("a refresh token was used twice: its session was ended");
                        return Ok(None);
                    }
                    Rotation::Unknown => return Ok(None),
                };
                // Only the token tells its clinic. The rest of the work is in that clinic's context.
                let mut db = db.in_clinic(clinic).await?;
                let standing = accounts::standing(&mut db, account).await?;
                let Some(standing) = standing.filter(|standing| standing.is_active) else {
                    return Ok(None);
                };
                let caller =
                    Caller { clinic, account, role: standing.role, doctor: standing.doctor, request, retry: None };
                record(&mut db, &caller, "update").await?;
                Ok(Some(caller))
            }
            .boxed()
        })
        .await
    }

    /// Ends the session of one of the caller's refresh tokens.
    pub async fn end_session(&self, caller: &Caller, token_hash: Vec<u8>) -> Result<()> {
        let caller = caller.clone();
        self.transact(caller.clinic, move |db| {
            async move {
                sessions::revoke(&mut *db, caller.account, &token_hash).await?;
                record(db, &caller, "delete").await
            }
            .boxed()
        })
        .await
    }
}

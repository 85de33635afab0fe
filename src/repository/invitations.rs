//! SQL of invitations. Only the hash of an invitation's secret is stored.

use chrono::{DateTime, Utc};

use super::context::ClinicDb;
use super::{Conflict, Error, Page, Result};
use crate::domain::fields::filled;
use crate::domain::users::{Invitation, NewInvitation};
use crate::domain::{AccountId, Caller, InvitationId};

/// A whole row, for `SELECT *`.
#[expect(dead_code, reason = "some columns are conditions, not results")]
struct InvitationRow {
    clinic_id: i64,
    id: i64,
    email: Option<String>,
    role: String,
    token_hash: Vec<u8>,
    created_by: i64,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    accepted_at: Option<DateTime<Utc>>,
    accepted_by: Option<i64>,
}

impl From<InvitationRow> for Invitation {
    fn from(row: InvitationRow) -> Self {
        filled!(Self {
            id: InvitationId(row.id),
            created_by: AccountId(row.created_by),
        } from row { email, role, created_at, expires_at, accepted_at })
    }
}

/// Creates an invitation.
pub async fn insert(db: &mut ClinicDb<'_>, caller: &Caller, new: &NewInvitation) -> Result<Invitation> {
    let row = sqlx::query_as!(
        InvitationRow,
        "INSERT INTO invitations (clinic_id, email, role, token_hash, created_by, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING *",
        db.clinic().0,
        new.email,
        new.role,
        new.token_hash,
        db.account_of(caller)?.0,
        new.expires_at,
    )
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// Returns the clinic's invitations, newest first.
pub async fn list(db: &mut ClinicDb<'_>, page: Page) -> Result<Vec<Invitation>> {
    let rows = sqlx::query_as!(
        InvitationRow,
        "SELECT *
         FROM invitations
         WHERE clinic_id = $1 AND ($2::bigint IS NULL OR id < $2)
         ORDER BY id DESC
         LIMIT $3",
        db.clinic().0,
        page.before,
        page.limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Invitation::from).collect())
}

/// Deletes an invitation, if it has not been accepted.
pub async fn delete(db: &mut ClinicDb<'_>, id: InvitationId) -> Result<()> {
    let accepted = sqlx::query_scalar!(
        r#"SELECT accepted_at IS NOT NULL AS "accepted!"
         FROM invitations WHERE clinic_id = $1 AND id = $2 FOR UPDATE"#,
        db.clinic().0,
        id.0,
    )
    .fetch_one(&mut *db)
    .await?;
    if accepted {
        return Err(Error::Conflict(Conflict::AlreadyAccepted));
    }
    sqlx::query!("DELETE FROM invitations WHERE clinic_id = $1 AND id = $2", db.clinic().0, id.0).execute(db).await?;
    Ok(())
}

/// Accepts the invitation with this secret for an account, and returns its role.
///
/// # Errors
/// [`Error::Invalid`] if there is no such open invitation, or if it is for another e-mail address.
pub async fn accept(db: &mut ClinicDb<'_>, token_hash: &[u8], account: AccountId, email: &str) -> Result<String> {
    let role = sqlx::query_scalar!(
        "UPDATE invitations SET accepted_at = now(), accepted_by = $3
         WHERE clinic_id = $1
           AND token_hash = $2
           AND accepted_at IS NULL
           AND expires_at > now()
           AND (email IS NULL OR email = $4)
         RETURNING role",
        db.clinic().0,
        token_hash,
        account.0,
        email,
    )
    .fetch_optional(db)
    .await?;
    role.ok_or_else(|| {
        Error::invalid("invitation", "This invitation is unknown, used, expired or for another e-mail address.")
    })
}

//! SQL of a clinic's users: memberships with their accounts.

use chrono::{DateTime, Utc};

use super::context::ClinicDb;
use super::{Conflict, Error, Page, Result, accounts, expect_version};
use crate::domain::AccountId;
use crate::domain::fields::filled;
use crate::domain::users::{NewAccount, User, UserChange};

struct UserRow {
    account_id: i64,
    email: String,
    username: String,
    first_name: String,
    last_name: String,
    role: String,
    is_active: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        filled!(Self {
            id: AccountId(row.account_id),
        } from row { email, username, first_name, last_name, role, is_active, created_at, updated_at, version })
    }
}

/// Returns the clinic's users, newest account first.
pub async fn list(db: &mut ClinicDb<'_>, page: Page) -> Result<Vec<User>> {
    select(db, None, page).await
}

/// Returns one user of the clinic.
pub async fn find(db: &mut ClinicDb<'_>, id: AccountId) -> Result<User> {
    let page = Page { before: None, limit: 1 };
    let found = select(db, Some(id), page).await?;
    found.into_iter().next().ok_or(Error::NotFound)
}

async fn select(db: &mut ClinicDb<'_>, id: Option<AccountId>, page: Page) -> Result<Vec<User>> {
    let rows = sqlx::query_as!(
        UserRow,
        "SELECT m.account_id, a.email, a.username, a.first_name, a.last_name, m.role, m.is_active, m.created_at,
             m.updated_at, m.version
         FROM memberships m JOIN accounts a ON a.id = m.account_id
         WHERE m.clinic_id = $1
           AND ($2::bigint IS NULL OR m.account_id = $2)
           AND ($3::bigint IS NULL OR m.account_id < $3)
         ORDER BY m.account_id DESC
         LIMIT $4",
        db.clinic().0,
        id.map(|id| id.0),
        page.before,
        page.limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(User::from).collect())
}

/// Creates an account with a membership in the clinic.
pub async fn insert(db: &mut ClinicDb<'_>, new: &NewAccount, role: &str) -> Result<User> {
    let account = accounts::insert(&mut *db, new).await?;
    accounts::join(db, account.id, role).await?;
    find(db, account.id).await
}

/// Changes a membership. `administering` are the roles that can change users: at least one active member must have one
/// of them afterwards.
pub async fn update(
    db: &mut ClinicDb<'_>,
    id: AccountId,
    expected: Option<i64>,
    change: &UserChange,
    administering: &[String],
) -> Result<User> {
    lock_administrators(db, administering).await?;
    lock(db, id, expected).await?;
    sqlx::query!(
        "UPDATE memberships
         SET role = COALESCE($3, role), is_active = COALESCE($4, is_active),
             updated_at = now(), version = version + 1
         WHERE clinic_id = $1 AND account_id = $2",
        db.clinic().0,
        id.0,
        change.role,
        change.is_active,
    )
    .execute(&mut *db)
    .await?;
    require_administrator(db, administering).await?;
    find(db, id).await
}

/// Ends a membership. The account and everything that it created remain.
pub async fn delete(
    db: &mut ClinicDb<'_>,
    id: AccountId,
    expected: Option<i64>,
    administering: &[String],
) -> Result<()> {
    lock_administrators(db, administering).await?;
    lock(db, id, expected).await?;
    sqlx::query!("DELETE FROM memberships WHERE clinic_id = $1 AND account_id = $2", db.clinic().0, id.0)
        .execute(&mut *db)
        .await?;
    require_administrator(db, administering).await
}

/// Locks the administrators' memberships until the transaction ends, so that two administrators cannot remove each
/// other.
async fn lock_administrators(db: &mut ClinicDb<'_>, administering: &[String]) -> Result<()> {
    sqlx::query!(
        "SELECT account_id FROM memberships
         WHERE clinic_id = $1 AND role = ANY($2)
         ORDER BY account_id
         FOR UPDATE",
        db.clinic().0,
        administering,
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

async fn lock(db: &mut ClinicDb<'_>, id: AccountId, expected: Option<i64>) -> Result<()> {
    let version = sqlx::query_scalar!(
        "SELECT version FROM memberships WHERE clinic_id = $1 AND account_id = $2 FOR UPDATE",
        db.clinic().0,
        id.0,
    )
    .fetch_one(db)
    .await?;
    expect_version(expected, version)
}

async fn require_administrator(db: &mut ClinicDb<'_>, administering: &[String]) -> Result<()> {
    let left = sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM memberships WHERE clinic_id = $1 AND is_active AND role = ANY($2)
         ) AS "left!""#,
        db.clinic().0,
        administering,
    )
    .fetch_one(db)
    .await?;
    if left { Ok(()) } else { Err(Error::Conflict(Conflict::LastAdministrator)) }
}

//! SQL of accounts. They are global rows, used only for signing in and for a clinic's users. Password hashes are
//! accessible only through procedures (migration `narrow_rights`).

use chrono::{DateTime, Utc};

use super::context::{AccountDb, ClinicDb, GlobalDb};
use super::{Error, Result, expect_version};
use crate::domain::fields::filled;
use crate::domain::users::{Account, Credentials, Membership, NewAccount, Standing};
use crate::domain::{AccountId, ClinicId, DoctorId};

struct AccountRow {
    id: i64,
    email: String,
    username: String,
    first_name: String,
    last_name: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        filled!(Self {
            id: AccountId(row.id),
        } from row { email, username, first_name, last_name, created_at, updated_at, version })
    }
}

/// Creates an account.
pub async fn insert(db: &mut ClinicDb<'_>, new: &NewAccount) -> Result<Account> {
    let made = sqlx::query!(
        r#"CALL enter_account($1, $2, $3, $4, $5, NULL, NULL, NULL, NULL)"#,
        new.email,
        new.username,
        new.first_name,
        new.last_name,
        new.password_hash,
    )
    .fetch_one(db)
    .await?;
    let (Some(id), Some(created_at), Some(updated_at), Some(version)) =
        (made.id, made.created_at, made.updated_at, made.version)
    else {
        return Err(Error::Corrupt("a new account has no id".into()));
    };
    let (email, username) = (new.email.clone(), new.username.clone());
    let (first_name, last_name) = (new.first_name.clone(), new.last_name.clone());
    Ok(AccountRow { id, email, username, first_name, last_name, created_at, updated_at, version }.into())
}

/// Returns the account with this e-mail address, otherwise the one with this user name. Both are in lower case.
///
/// The e-mail address is checked first. So a user name that equals somebody's address gives no access to that account.
pub async fn find_login(db: &mut GlobalDb<'_>, login: &str) -> Result<Option<Credentials>> {
    let row = sqlx::query!("CALL find_login($1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)", login,)
        .fetch_one(db)
        .await?;
    let found = || {
        let account = AccountRow {
            id: row.id?,
            email: row.email?,
            username: row.username?,
            first_name: row.first_name?,
            last_name: row.last_name?,
            created_at: row.created_at?,
            updated_at: row.updated_at?,
            version: row.version?,
        };
        Some(Credentials { account: account.into(), password_hash: row.password_hash? })
    };
    Ok(found())
}

/// Returns the account of the current context, or a member of the current clinic.
pub async fn find(db: &mut AccountDb<'_>, id: AccountId) -> Result<Account> {
    let row = sqlx::query_as!(
        AccountRow,
        "SELECT id, email, username, first_name, last_name, created_at, updated_at, version
         FROM accounts WHERE id = $1",
        id.0,
    )
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// Changes an account's names; absent names do not change. The rest of the transaction is in the account's context.
pub async fn update_names(
    db: &mut ClinicDb<'_>,
    id: AccountId,
    expected: Option<i64>,
    first_name: Option<String>,
    last_name: Option<String>,
) -> Result<Account> {
    db.act_for(id).await?;
    let version =
        sqlx::query_scalar!("SELECT version FROM accounts WHERE id = $1 FOR UPDATE", id.0).fetch_one(&mut *db).await?;
    expect_version(expected, version)?;
    let row = sqlx::query_as!(
        AccountRow,
        "UPDATE accounts
         SET first_name = COALESCE($2, first_name), last_name = COALESCE($3, last_name),
             updated_at = now(), version = version + 1
         WHERE id = $1
         RETURNING id, email, username, first_name, last_name, created_at, updated_at, version",
        id.0,
        first_name,
        last_name,
    )
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// Returns the clinics in which the account of the current context has an active membership, oldest first.
pub async fn memberships(db: &mut AccountDb<'_>) -> Result<Vec<Membership>> {
    let rows = sqlx::query!(
        "SELECT m.clinic_id, c.name, c.time_zone, m.role
         FROM memberships m JOIN clinics c ON c.clinic_id = m.clinic_id
         WHERE m.account_id = $1 AND m.is_active
         ORDER BY m.created_at, m.clinic_id",
        db.account().0,
    )
    .fetch_all(db)
    .await?;
    let memberships = rows.into_iter().map(|row| Membership {
        clinic: ClinicId(row.clinic_id),
        clinic_name: row.name,
        time_zone: row.time_zone,
        role: row.role,
    });
    Ok(memberships.collect())
}

/// Returns the account's role and state in the clinic, or `None` without a membership.
pub async fn standing(db: &mut ClinicDb<'_>, account: AccountId) -> Result<Option<Standing>> {
    let row = sqlx::query!(
        r#"SELECT m.role, m.is_active, d.id AS "doctor_id?"
         FROM memberships m
         LEFT JOIN doctors d ON d.clinic_id = m.clinic_id AND d.account_id = m.account_id AND d.deleted_at IS NULL
         WHERE m.clinic_id = $1 AND m.account_id = $2"#,
        db.clinic().0,
        account.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Standing { role: row.role, is_active: row.is_active, doctor: row.doctor_id.map(DoctorId) }))
}

/// Makes the account a member of the clinic.
pub async fn join(db: &mut ClinicDb<'_>, account: AccountId, role: &str) -> Result<()> {
    sqlx::query!(
        "INSERT INTO memberships (clinic_id, account_id, role) VALUES ($1, $2, $3)",
        db.clinic().0,
        account.0,
        role,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Returns whether any account exists. A database without accounts has not been used yet.
pub async fn any(db: &mut GlobalDb<'_>) -> Result<bool, Error> {
    let found = sqlx::query!("CALL any_account(NULL)").fetch_one(db).await?;
    found.has_any.ok_or_else(|| Error::Corrupt("any_account returned no answer".into()))
}

//! SQL of accounts: global rows, reached only for signing in and for a clinic's users.

use chrono::{DateTime, Utc};

use super::{
    Error, Result,
    context::{AccountDb, ClinicDb, GlobalDb},
    expect_version,
};
use crate::domain::{
    AccountId, ClinicId, DoctorId,
    users::{Account, Credentials, Membership, NewAccount, Standing},
};

struct AccountRow {
    id: i64,
    email: String,
    username: String,
    first_name: String,
    last_name: String,
    password_hash: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

impl From<AccountRow> for Credentials {
    fn from(row: AccountRow) -> Self {
        Self {
            account: Account {
                id: AccountId(row.id),
                email: row.email,
                username: row.username,
                first_name: row.first_name,
                last_name: row.last_name,
                created_at: row.created_at,
                updated_at: row.updated_at,
                version: row.version,
            },
            password_hash: row.password_hash,
        }
    }
}

/// Makes an account.
pub async fn insert(db: &mut ClinicDb<'_>, new: &NewAccount) -> Result<Account> {
    let row = sqlx::query_as!(
        AccountRow,
        "INSERT INTO accounts (email, username, first_name, last_name, password_hash)
         VALUES ($1, $2, $3, $4, $5)
         RETURNING *",
        new.email,
        new.username,
        new.first_name,
        new.last_name,
        new.password_hash,
    )
    .fetch_one(db)
    .await?;
    Ok(Credentials::from(row).account)
}

/// The account with that e-mail address or, failing that, that user name; both in lower case.
///
/// The e-mail address goes first: a user name that looks like somebody's address gives nothing away.
pub async fn find_login(db: &mut GlobalDb<'_>, login: &str) -> Result<Option<Credentials>> {
    let row = sqlx::query_as!(
        AccountRow,
        "SELECT * FROM accounts WHERE email = $1 OR username = $1 ORDER BY (email = $1) DESC LIMIT 1",
        login,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Credentials::from))
}

/// The account.
pub async fn find(db: &mut GlobalDb<'_>, id: AccountId) -> Result<Account> {
    let row = sqlx::query_as!(AccountRow, "SELECT * FROM accounts WHERE id = $1", id.0).fetch_one(db).await?;
    Ok(Credentials::from(row).account)
}

/// Changes an account's names; what is absent stays.
pub async fn update_names(
    db: &mut ClinicDb<'_>,
    id: AccountId,
    expected: Option<i64>,
    first_name: Option<String>,
    last_name: Option<String>,
) -> Result<Account> {
    let version =
        sqlx::query_scalar!("SELECT version FROM accounts WHERE id = $1 FOR UPDATE", id.0).fetch_one(&mut *db).await?;
    expect_version(expected, version)?;
    let row = sqlx::query_as!(
        AccountRow,
        "UPDATE accounts
         SET first_name = COALESCE($2, first_name), last_name = COALESCE($3, last_name),
             updated_at = now(), version = version + 1
         WHERE id = $1
         RETURNING *",
        id.0,
        first_name,
        last_name,
    )
    .fetch_one(db)
    .await?;
    Ok(Credentials::from(row).account)
}

/// The clinics in which the account of the current context has an active membership, oldest first.
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

/// What the account is in the clinic; `None` where it is nothing there.
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

/// Whether any account exists: an empty database is one that nobody has used yet.
pub async fn any(db: &mut GlobalDb<'_>) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM accounts) AS "found!""#).fetch_one(db).await?;
    Ok(found)
}

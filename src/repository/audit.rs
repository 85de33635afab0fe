//! The audit trail: who did what to which row. It is written in the same transaction as the change.

use super::Result;
use super::context::ClinicDb;
use crate::domain::Caller;

/// One entry of the trail.
#[derive(Debug, Clone)]
pub struct Event {
    /// The caller.
    pub caller: Caller,
    /// The action's name in the policy.
    pub action: &'static str,
    /// The name of the kind of row in the policy.
    pub resource: &'static str,
    /// The id of the row, if known.
    pub resource_id: Option<i64>,
    /// The outcome of the action.
    pub outcome: Outcome,
}

/// The outcome of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done in this transaction.
    Done,
    /// The policy denied it.
    Denied,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
        }
    }
}

/// Writes one entry.
///
/// # Errors
/// [`Error::Corrupt`](super::Error::Corrupt) if the caller's clinic is not the clinic of the changed rows.
pub async fn record(db: &mut ClinicDb<'_>, event: &Event) -> Result<()> {
    sqlx::query!(
        "INSERT INTO audit_events (clinic_id, account_id, role, action, resource, resource_id, outcome, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        db.clinic().0,
        db.account_of(&event.caller)?.0,
        event.caller.role,
        event.action,
        event.resource,
        event.resource_id,
        event.outcome.name(),
        event.caller.request,
    )
    .execute(db)
    .await?;
    Ok(())
}

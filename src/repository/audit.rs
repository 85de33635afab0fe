//! The audit trail: who did what to which row, written with the change itself.

use super::{Result, context::ClinicDb};
use crate::domain::Caller;

/// One entry of the trail.
#[derive(Debug, Clone)]
pub struct Event {
    /// Who.
    pub caller: Caller,
    /// The policy's name of what was done.
    pub action: &'static str,
    /// The policy's name of the kind of row.
    pub resource: &'static str,
    /// Which row, where one is known.
    pub resource_id: Option<i64>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, in this transaction.
    Done,
    /// The policy refused it.
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
/// [`Error::Corrupt`](super::Error::Corrupt) where the caller is of another clinic than the one whose rows are changed.
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

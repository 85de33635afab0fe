//! The id of the request that is being answered: it is in the answer, the log and the audit trail.

use uuid::Uuid;

tokio::task_local! {
    static REQUEST: Uuid;
}

/// The id of the request that is being answered; nil outside of one.
pub fn current_request() -> Uuid {
    REQUEST.try_with(|id| *id).unwrap_or_default()
}

/// Runs work as a part of that request, also in a task of its own.
pub async fn within_request<T>(id: Uuid, work: impl Future<Output = T>) -> T {
    REQUEST.scope(id, work).await
}

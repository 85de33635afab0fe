//! The id of the current request. It is in the response, the log and the audit trail.

use uuid::Uuid;

tokio::task_local! {
    static REQUEST: Uuid;
}

/// Returns the id of the current request, or nil if there is none.
pub fn current_request() -> Uuid {
    REQUEST.try_with(|id| *id).unwrap_or_default()
}

/// Runs work as part of a request, even in a separate task.
pub async fn within_request<T>(id: Uuid, work: impl Future<Output = T>) -> T {
    REQUEST.scope(id, work).await
}

//! The gate: asks the policy for a caller, and records each refusal.

use std::sync::Arc;

use super::Policy;
use crate::actors::repository;
use crate::actors::repository::Repository;
use crate::domain::access::{Action, Resource};
use crate::domain::{Caller, Visibility};

/// Why the gate denied a request.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// The role never has this right.
    #[error("the role {role:?} may not {} {}", action.name(), resource.name())]
    Role {
        /// The caller's role.
        role: String,
        /// The denied action.
        action: Action,
        /// The kind of row.
        resource: Resource,
    },
    /// The refusal could not be written to the audit trail.
    #[error(transparent)]
    Unrecorded(#[from] repository::Error),
}

/// Decides by the policy. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    policy: Arc<Policy>,
    repository: Repository,
}

impl Gate {
    /// Creates a gate with this policy.
    pub fn new(policy: Arc<Policy>, repository: Repository) -> Self {
        Self { policy, repository }
    }

    /// Returns the policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the rows on which the caller may perform the action.
    ///
    /// # Errors
    /// [`Denied`] if the caller's role never has this right. The audit trail then contains the denial.
    pub async fn admit(&self, caller: &Caller, action: Action, resource: Resource) -> Result<Visibility, Denied> {
        match self.policy.decide(&caller.role, resource, action) {
            Some(scopes) => Ok(scopes.visibility(caller.account, caller.doctor)),
            None => {
                self.repository.record_denial(caller, action, resource).await?;
                Err(Denied::Role { role: caller.role.clone(), action, resource })
            }
        }
    }
}

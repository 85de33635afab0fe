//! The gate: asks the policy for a caller, and leaves a trace of each refusal.

use std::sync::Arc;

use super::Policy;
use crate::{
    actors::repository::{self, Repository},
    domain::{
        Caller, Visibility,
        access::{Action, Resource},
    },
};

/// Why the gate stays shut.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// The role never may do this.
    #[error("the role {role:?} may not {} {}", action.name(), resource.name())]
    Role {
        /// The caller's role.
        role: String,
        /// What it asked to do.
        action: Action,
        /// To which kind of row.
        resource: Resource,
    },
    /// The refusal could not be written to the audit trail.
    #[error(transparent)]
    Unrecorded(#[from] repository::Error),
}

/// Decides by the policy; cheap to clone.
#[derive(Clone)]
pub struct Gate {
    policy: Arc<Policy>,
    repository: Repository,
}

impl Gate {
    /// A gate that goes by this policy.
    pub fn new(policy: Arc<Policy>, repository: Repository) -> Self {
        Self { policy, repository }
    }

    /// The policy that it goes by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The rows within which the caller may do this.
    ///
    /// # Errors
    /// [`Denied`] where the caller's role never may; the audit trail has a row of it then.
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

//! Authorization: a table computed once from casbin's policy file, and the gate in front of every operation. Only
//! `policies/policy.csv` defines the rights of a role.

mod gate;
mod policy;

pub use gate::{Denied, Gate};
pub use policy::{Policy, PolicyError, Scope, Scopes};

//! Who may do what: casbin's policy file, computed once into a table, and the gate in front of every
//! operation. What a role may do stands in `policies/policy.csv` and nowhere else.

mod gate;
mod policy;

pub use gate::{Denied, Gate};
pub use policy::{Policy, PolicyError, Scope, Scopes};

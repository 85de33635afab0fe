//! What every operation works with, and who is calling.

use std::{future::Future, ops::Deref, sync::Arc};

use poem::Request;
use poem_openapi::{SecurityScheme, Tags, auth::Bearer};

use super::{
    outside::current_request,
    problem::{self, Problem},
};
use crate::{
    actors::{repository::Repository, schedule::Schedules},
    authn::Authn,
    authz::Gate,
    domain::{
        Caller, Visibility,
        access::{Action, Resource},
        fields::FieldErrors,
    },
};

/// The services behind the operations; cheap to clone, which is done for each request.
#[derive(Clone)]
pub struct Services(Arc<Parts>);

impl Deref for Services {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl From<Parts> for Services {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

/// What the services are.
pub struct Parts {
    /// Signs people in.
    pub authn: Authn,
    /// Decides by the policy.
    pub gate: Gate,
    /// The repository actors.
    pub repository: Repository,
    /// The schedule actors.
    pub schedules: Schedules,
    /// What is measured, in Prometheus' text format.
    pub metrics: fn() -> String,
    /// The newest migration that the database must have; asked by `/readyz`.
    pub schema_version: i64,
}

impl Services {
    /// The rows within which the caller may do this.
    pub(super) async fn admit(
        &self,
        caller: &Caller,
        action: Action,
        resource: Resource,
    ) -> Result<Visibility, Problem> {
        Ok(self.gate.admit(caller, action, resource).await?)
    }
}

impl Services {
    /// Admits the caller to rows that have no owner and no doctor: only the whole clinic's scope reaches them.
    pub(super) async fn admit_whole_clinic(
        &self,
        caller: &Caller,
        action: Action,
        resource: Resource,
    ) -> Result<(), Problem> {
        if self.admit(caller, action, resource).await?.whole_clinic {
            Ok(())
        } else {
            let detail = format!("The role {:?} may not {} {} of others.", caller.role, action.name(), resource.name());
            Err(Problem::new(problem::FORBIDDEN, detail))
        }
    }

    /// Checks that the policy has a role of that name.
    pub(super) fn check_role(&self, role: &str) -> Result<(), FieldErrors> {
        let roles = self.gate.policy().roles();
        if roles.iter().any(|known| known == role) {
            Ok(())
        } else {
            Err(FieldErrors::one("role", format!("Must be one of {}.", roles.join(", "))))
        }
    }
}

/// Runs work to its end also where the client goes away in the middle, so that what follows a change in
/// the database (telling schedules and memories of it) is never left out.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let request = current_request();
    match tokio::spawn(super::outside::within_request(request, work)).await {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(%error, "a change panicked");
            Err(Problem::new(
                problem::OUTCOME_UNKNOWN,
                "The change may have been made or not. Read before you try again.",
            ))
        }
    }
}

/// An access token, from registering, logging in or refreshing.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", key_name = "bearerAuth", rename = "bearerAuth", bearer_format = "JWT", checker = "authenticate")]
pub struct Authenticated(pub Caller);

async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<Caller> {
    let services = request
        .data::<Services>()
        .ok_or_else(|| Problem::new(problem::INTERNAL, "The server is not set up to authenticate."))?;
    let authenticated = services.authn.authenticate(&bearer.token, current_request()).await;
    Ok(authenticated.map_err(Problem::from)?)
}

/// The chapters of the contract.
#[derive(Tags)]
pub enum Chapter {
    /// Signing up, in, on and out.
    Auth,
    /// The clinic of the token.
    Clinic,
    /// The clinic's users and their roles.
    Users,
    /// Invitations to join the clinic.
    Invitations,
    /// Patients.
    Patients,
    /// Doctors.
    Doctors,
    /// Which doctor is assigned to which patient.
    Mappings,
    /// When doctors work, and what their appointments keep to.
    Schedules,
    /// Free times, and why a time is not one.
    Slots,
    /// Appointments of patients with doctors.
    Appointments,
    /// Repeats of appointments.
    Series,
    /// Those who wait for a time.
    Waitlist,
    /// Whether the program is well.
    Health,
}

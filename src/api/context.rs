//! The services that every operation uses, and its caller.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use poem::Request;
use poem_openapi::auth::Bearer;
use poem_openapi::{SecurityScheme, Tags};
use serde::de::DeserializeOwned;

use crate::actors::repository::{Claim, Conflict, Error, Repository};
use crate::actors::schedule::Schedules;
use crate::api::http::idempotency::Once;
use crate::api::http::problem;
use crate::api::http::problem::Problem;
use crate::api::http::request_id::current_request;
use crate::authn::Authn;
use crate::authz::Gate;
use crate::domain::access::{Action, Resource, Retry};
use crate::domain::fields::FieldErrors;
use crate::domain::{Caller, Visibility};

/// The pauses between looks for the outcome of an earlier request with the same key, in milliseconds. In total they are
/// about five seconds.
const PAUSES: [u64; 14] = [10, 20, 40, 80, 150, 250, 300, 400, 500, 500, 600, 700, 700, 750];

/// The services behind the operations. Each request clones them, which is cheap.
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

/// The parts of [`Services`].
pub struct Parts {
    /// Signs people in.
    pub authn: Authn,
    /// Decides by the policy.
    pub gate: Gate,
    /// The repository actors.
    pub repository: Repository,
    /// The schedule actors.
    pub schedules: Schedules,
    /// Returns the metrics in Prometheus' text format.
    pub metrics: fn() -> String,
    /// The newest migration that the database must have. `/readyz` checks it.
    pub schema_version: i64,
}

impl Services {
    /// Checks that the policy has a role of that name.
    pub fn check_role(&self, role: &str) -> Result<(), FieldErrors> {
        let roles = self.gate.policy().roles();
        if roles.iter().any(|known| known == role) {
            Ok(())
        } else {
            Err(FieldErrors::one("role", format!("Must be one of {}.", roles.join(", "))))
        }
    }
}

impl Call {
    /// Returns the rows on which the caller may perform the action.
    pub async fn admit(&self, action: Action, resource: Resource) -> Result<Visibility, Problem> {
        Ok(self.gate.admit(&self.caller, action, resource).await?)
    }

    /// Admits the caller to rows that have no owner and no doctor. This needs the scope of the whole clinic.
    pub async fn admit_whole_clinic(&self, action: Action, resource: Resource) -> Result<(), Problem> {
        if self.admit(action, resource).await?.whole_clinic {
            return Ok(());
        }
        let (role, action, resource) = (&self.caller.role, action.name(), resource.name());
        Err(Problem::new(problem::FORBIDDEN, format!("The role {role:?} may not {action} {resource} of others.")))
    }

    /// Runs work that creates something. If the caller sent a key, the work is done once per key, on all nodes
    /// together.
    ///
    /// A request that repeats a key while its outcome is open waits for the outcome. A refused attempt releases its key
    /// before it answers. Therefore a client never gets a refusal for a key whose change was made or may still be made.
    ///
    /// # Errors
    /// The errors of the work; 409 if the outcome stays open; 422 if the key was used for another request.
    pub async fn once<T, W>(
        &self,
        retry: Option<Retry>,
        work: impl FnOnce(Caller) -> W + Send,
    ) -> Result<Once<T>, Problem>
    where
        T: DeserializeOwned + Send + 'static,
        W: Future<Output = Result<T, Problem>> + Send,
    {
        let Some(retry) = retry else {
            return Ok(Once::new(work(self.caller.clone()).await?));
        };
        if let Some(kept) = self.claim(&retry).await? {
            return Ok(kept);
        }
        let keyed = Caller { retry: Some(Arc::new(retry.clone())), ..self.caller.clone() };
        match work(keyed).await {
            Ok(outcome) => Ok(Once::new(outcome)),
            // The key stays claimed. A request that repeats it waits until the outcome is known.
            Err(problem) if problem.leaves_outcome_open() => Err(problem),
            Err(problem) => match self.repository.give_up_key(&self.caller, &retry).await {
                Ok(true) => Err(problem),
                // Another attempt has taken over the key. Its outcome is the answer.
                Ok(false) => match self.claim(&retry).await? {
                    Some(kept) => Ok(kept),
                    // No attempt has the key any more, and this one is over.
                    None => {
                        let _ = self.repository.give_up_key(&self.caller, &retry).await;
                        Err(key_in_use())
                    }
                },
                // Nothing was done, but another attempt may still do it.
                Err(_) => Err(Error::OutcomeUnknown.into()),
            },
        }
    }

    /// Claims a key, or returns its stored outcome. Waits for an attempt that is in progress.
    async fn claim<T>(&self, retry: &Retry) -> Result<Option<Once<T>>, Problem>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let mut pauses = PAUSES.into_iter();
        loop {
            match self.repository.claim_key(&self.caller, retry).await? {
                Claim::Taken => return Ok(None),
                Claim::Kept(outcome) => return Ok(Some(Once::again(outcome))),
                Claim::UnderWay => match pauses.next() {
                    Some(pause) => tokio::time::sleep(Duration::from_millis(pause)).await,
                    None => return Err(key_in_use()),
                },
            }
        }
    }
}

fn key_in_use() -> Problem {
    Error::Conflict(Conflict::KeyUsed).into()
}

/// An access token, from registering, logging in or refreshing.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", key_name = "bearerAuth", rename = "bearerAuth", bearer_format = "JWT", checker = "authenticate")]
pub struct Call(Called);

/// An authenticated caller, and the services for the request.
pub struct Called {
    /// The caller.
    pub caller: Caller,
    /// The services behind the operations.
    pub services: Services,
}

impl Deref for Call {
    type Target = Called;

    fn deref(&self) -> &Called {
        &self.0
    }
}

impl Deref for Called {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<Called> {
    let services = request
        .data::<Services>()
        .ok_or_else(|| Problem::new(problem::INTERNAL, "The server is not set up to authenticate."))?
        .clone();
    let authenticated = services.authn.authenticate(&bearer.token, current_request()).await;
    Ok(Called { caller: authenticated.map_err(Problem::from)?, services })
}

/// The chapters of the contract.
#[derive(Tags)]
pub enum Chapter {
    /// Sign up, log in, switch clinics, log out.
    Auth,
    /// The caller's clinic.
    Clinic,
    /// The clinic's users and their roles.
    Users,
    /// Invitations to join the clinic.
    Invitations,
    /// Patients.
    Patients,
    /// Doctors.
    Doctors,
    /// Assignments of doctors to patients.
    Mappings,
    /// Working hours, time off, closures and scheduling settings.
    Schedules,
    /// Free slots, and why a time is not free.
    Slots,
    /// Appointments of patients with doctors.
    Appointments,
    /// Recurring appointments.
    Series,
    /// Patients who wait for a slot.
    Waitlist,
    /// Liveness and readiness of the server.
    Health,
}

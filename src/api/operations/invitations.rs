//! `/api/invitations`

use chrono::TimeDelta;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Email;
use poem_openapi::{ApiResponse, OpenApi};

use crate::api::context::{Call, Chapter};
use crate::api::http::body::Body;
use crate::api::http::etag::NoContent;
use crate::api::http::page::{Listed, Paging};
use crate::api::http::problem;
use crate::api::http::problem::{Problem, Refused, against};
use crate::api::views::invitations::{InvitationInput, InvitationView, NewInvitationView};
use crate::authn::{Secret, invitation_token};
use crate::domain::InvitationId;
use crate::domain::access::{Action, Resource};
use crate::domain::fields::login_name;
use crate::domain::users::NewInvitation;

/// The lifetime of an invitation.
const LIFETIME: TimeDelta = TimeDelta::days(7);

/// Operations on invitations.
pub struct Invitations;

/// A new invitation.
#[derive(ApiResponse)]
enum Invited {
    /// The invitation was created.
    #[oai(status = 201)]
    Created(Json<NewInvitationView>),
}

against!(
    /// The invitation was already accepted.
    Accepted: ALREADY_ACCEPTED
);

#[OpenApi(prefix_path = "/api/invitations", tag = "Chapter::Invitations")]
impl Invitations {
    /// List invitations
    ///
    /// Newest first, without their secrets.
    #[oai(path = "/", method = "get", operation_id = "listInvitations")]
    async fn list(&self, call: Call, paging: Paging) -> Result<Listed<InvitationView>, Problem> {
        call.admit_whole_clinic(Action::Read, Resource::Invitations).await?;
        let paging = paging.of(&call.caller)?;
        let rows = call.repository.list_invitations(&call.caller, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, InvitationView::from))
    }

    /// Create an invitation
    ///
    /// An invitation is valid for seven days and one registration.
    #[oai(path = "/", method = "post", operation_id = "createInvitation")]
    async fn create(&self, call: Call, body: Body<InvitationInput>) -> Result<Invited, Problem> {
        call.admit_whole_clinic(Action::Create, Resource::Invitations).await?;
        call.check_role(&body.0.role)?;
        let secret = Secret::generate()
            .map_err(|_| Problem::new(problem::INTERNAL, "The server could not create a random secret."))?;
        let token = invitation_token(call.caller.clinic, &secret);
        let new = NewInvitation {
            email: body.0.email.map(|email| login_name(&email)),
            role: body.0.role,
            token_hash: secret.hash,
            expires_at: crate::clock::now() + LIFETIME,
        };
        let invitation = call.repository.create_invitation(&call.caller, new).await?;
        Ok(Invited::Created(Json(NewInvitationView {
            id: invitation.id.0,
            invitation: token,
            email: invitation.email.map(Email),
            role: invitation.role,
            expires_at: invitation.expires_at,
        })))
    }

    /// Delete an invitation
    #[oai(path = "/:id", method = "delete", operation_id = "deleteInvitation")]
    async fn delete(
        &self,
        call: Call,
        /// The invitation's id.
        id: Path<i64>,
    ) -> Result<NoContent, Refused<Accepted>> {
        call.admit_whole_clinic(Action::Delete, Resource::Invitations).await?;
        call.repository.delete_invitation(&call.caller, InvitationId(id.0)).await?;
        Ok(NoContent::Done)
    }
}

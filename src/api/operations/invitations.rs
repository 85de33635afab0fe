//! `/api/invitations`

use chrono::TimeDelta;
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Path, payload::Json, types::Email};

use crate::{
    api::{
        context::{Authenticated, Chapter, Services},
        http::{
            body::Body,
            etag::NoContent,
            page::{Listed, Paging},
            problem::{self, Problem, Refused, against},
        },
        views::invitations::{InvitationInput, InvitationView, NewInvitationView},
    },
    authn::{Secret, invitation_token},
    domain::{
        InvitationId,
        access::{Action, Resource},
        fields::login_name,
        users::NewInvitation,
    },
};

/// How long an invitation is good for.
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
    /// Somebody has accepted it.
    Accepted: ALREADY_ACCEPTED
);

#[OpenApi(prefix_path = "/api/invitations", tag = "Chapter::Invitations")]
impl Invitations {
    /// List invitations
    ///
    /// Newest first, without their secrets.
    #[oai(path = "/", method = "get", operation_id = "listInvitations")]
    async fn list(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        paging: Paging,
    ) -> Result<Listed<InvitationView>, Problem> {
        services.admit_whole_clinic(&caller.0, Action::Read, Resource::Invitations).await?;
        let paging = paging.of(&caller.0)?;
        let rows = services.repository.list_invitations(&caller.0, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, InvitationView::from))
    }

    /// Create an invitation
    ///
    /// An invitation is valid for seven days and one registration.
    #[oai(path = "/", method = "post", operation_id = "createInvitation")]
    async fn create(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        body: Body<InvitationInput>,
    ) -> Result<Invited, Problem> {
        services.admit_whole_clinic(&caller.0, Action::Create, Resource::Invitations).await?;
        services.check_role(&body.0.role)?;
        let secret = Secret::generate()
            .map_err(|_| Problem::new(problem::INTERNAL, "The server could not create a random secret."))?;
        let token = invitation_token(caller.0.clinic, &secret);
        let new = NewInvitation {
            email: body.0.email.map(|email| login_name(&email)),
            role: body.0.role,
            token_hash: secret.hash,
            expires_at: crate::clock::now() + LIFETIME,
        };
        let invitation = services.repository.create_invitation(&caller.0, new).await?;
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
        caller: Authenticated,
        services: Data<&Services>,
        /// The invitation's id.
        id: Path<i64>,
    ) -> Result<NoContent, Refused<Accepted>> {
        services.admit_whole_clinic(&caller.0, Action::Delete, Resource::Invitations).await?;
        services.repository.delete_invitation(&caller.0, InvitationId(id.0)).await?;
        Ok(NoContent::Done)
    }
}

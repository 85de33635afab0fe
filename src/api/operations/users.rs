//! `/api/users`: the clinic's users and their roles.

use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use crate::api::context::{Call, Chapter};
use crate::api::http::body::Body;
use crate::api::http::etag::{Created, Fetched, IfMatch, NoContent};
use crate::api::http::idempotency::IdempotencyKey;
use crate::api::http::page::{Listed, Paging};
use crate::api::http::problem::{Problem, Refused, Taken, against};
use crate::api::views::users::{UserInput, UserPatch, UserView};
use crate::authn::weakness;
use crate::domain::AccountId;
use crate::domain::access::{Action, Resource};
use crate::domain::fields::{FieldErrors, login_name, tidy_optional};
use crate::domain::users::{NewAccount, User, UserChange};

/// Operations on users.
pub struct Users;

against!(
    /// The clinic would be left without an administrator.
    LastAdministrator: LAST_ADMINISTRATOR
);

#[OpenApi(prefix_path = "/api/users", tag = "Chapter::Users")]
impl Users {
    /// List users
    ///
    /// Lists the clinic's users, newest account first.
    #[oai(path = "/", method = "get", operation_id = "listUsers")]
    async fn list(&self, call: Call, paging: Paging) -> Result<Listed<UserView>, Problem> {
        call.admit_whole_clinic(Action::Read, Resource::Users).await?;
        let paging = paging.of(&call.caller)?;
        let rows = call.repository.list_users(&call.caller, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, UserView::from))
    }

    /// Create a user
    ///
    /// Creates an account with a role in the clinic.
    #[oai(path = "/", method = "post", operation_id = "createUser")]
    async fn create(
        &self,
        call: Call,
        _key: IdempotencyKey,
        body: Body<UserInput>,
    ) -> Result<Created<UserView>, Refused<Taken>> {
        call.admit_whole_clinic(Action::Create, Resource::Users).await?;
        let input = body.0;
        let email = login_name(&input.email);
        let username = tidy_optional(input.username).map_or_else(|| email.clone(), |name| login_name(&name));
        let first_name = tidy_optional(input.first_name).unwrap_or_default();
        let last_name = tidy_optional(input.last_name).unwrap_or_default();
        let mut errors = FieldErrors::default();
        if let Some(weakness) = weakness(&input.password, &email, &[&username, &first_name, &last_name]) {
            errors.add("password", weakness);
        }
        if username != email && username.contains('@') {
            errors.add("username", "A user name that is an e-mail address must be the user's own.");
        }
        errors.0.extend(call.check_role(&input.role).err().unwrap_or_default().0);
        errors.into_result()?;
        let making = call.services.clone();
        let made = call.once(body.1, move |caller| async move {
            let password_hash = making.authn.passwords().hash(input.password.0).await?;
            let new = NewAccount { password_hash, email, username, first_name, last_name };
            Ok::<User, Problem>(making.repository.create_user(&caller, new, input.role).await?)
        });
        Ok(made.await?.created("/api/users", |row| (row.id.0, row.version)))
    }

    /// Get a user
    #[oai(path = "/:id", method = "get", operation_id = "getUser")]
    async fn get(
        &self,
        call: Call,
        /// The user's id.
        id: Path<i64>,
    ) -> Result<Fetched<UserView>, Problem> {
        call.admit_whole_clinic(Action::Read, Resource::Users).await?;
        Ok(fetched(call.repository.find_user(&call.caller, AccountId(id.0)).await?))
    }

    /// Update a user
    ///
    /// Changes the role, or activates or deactivates the user. The last active administrator cannot be changed.
    #[oai(path = "/:id", method = "patch", operation_id = "updateUser")]
    async fn update(
        &self,
        call: Call,
        /// The user's id.
        id: Path<i64>,
        if_match: IfMatch,
        body: Body<UserPatch>,
    ) -> Result<Fetched<UserView>, Refused<LastAdministrator>> {
        call.admit_whole_clinic(Action::Update, Resource::Users).await?;
        let expected = if_match.version()?;
        if let Some(role) = &body.0.role {
            call.check_role(role)?;
        }
        let change = UserChange { role: body.0.role, is_active: body.0.is_active };
        let administering = call.gate.policy().administering_roles();
        let id = AccountId(id.0);
        let user = call.repository.update_user(&call.caller, id, expected, change, administering).await?;
        call.authn.memberships_changed(call.caller.clinic);
        Ok(fetched(user))
    }

    /// Remove a user
    ///
    /// Ends the membership. What the user created stays. The last active administrator cannot be removed.
    #[oai(path = "/:id", method = "delete", operation_id = "deleteUser")]
    async fn delete(
        &self,
        call: Call,
        /// The user's id.
        id: Path<i64>,
        if_match: IfMatch,
    ) -> Result<NoContent, Refused<LastAdministrator>> {
        call.admit_whole_clinic(Action::Delete, Resource::Users).await?;
        let expected = if_match.version()?;
        let administering = call.gate.policy().administering_roles();
        call.repository.delete_user(&call.caller, AccountId(id.0), expected, administering).await?;
        call.authn.memberships_changed(call.caller.clinic);
        Ok(NoContent::Done)
    }
}

fn fetched(user: User) -> Fetched<UserView> {
    Fetched::of(user.version, user)
}

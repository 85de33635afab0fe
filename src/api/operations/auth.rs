//! `/api/auth` and `/api/token`: sign up, log in, refresh, switch clinics, log out.

use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::payload::Json;
use poem_openapi::types::Email;

use crate::api::context::{Call, Chapter, Services};
use crate::api::http::body::Body;
use crate::api::http::etag::{Fetched, IfMatch, NoContent};
use crate::api::http::problem::{Problem, Refused, Unasked, against};
use crate::api::http::request_id::current_request;
use crate::api::views::auth::{
    LoginInput, Me, MePatch, MembershipView, Permission, Permissions, RefreshInput, RegisterInput, Registered,
    SwitchInput, TokenPair,
};
use crate::domain::ClinicId;
use crate::domain::fields::{FieldErrors, filled, login_name, tidy, tidy_optional};
use crate::domain::users::Account;

/// Operations on accounts and sessions.
pub struct Auth;

against!(
    /// The problems of signing up.
    Registering without policy: TAKEN
);
against!(
    /// The problems of logging in.
    LoggingIn without policy: UNAUTHENTICATED, FORBIDDEN
);
against!(
    /// The problems of refreshing tokens.
    Refreshing without policy: UNAUTHENTICATED
);

#[OpenApi(prefix_path = "/api", tag = "Chapter::Auth")]
impl Auth {
    /// Sign up
    ///
    /// Without an invitation, this creates a clinic; the new account is its administrator. With an invitation, the
    /// account joins the inviting clinic with the role that the invitation names.
    #[oai(path = "/auth/register", method = "post", operation_id = "register")]
    async fn register(
        &self,
        services: Data<&Services>,
        body: Body<RegisterInput>,
    ) -> Result<Registered, Refused<Registering>> {
        let signed_in = services.authn.register(body.0.checked()?, current_request()).await?;
        Ok(Registered::Created(Json(signed_in.into())))
    }

    /// Log in
    ///
    /// The tokens are for the clinic that the account joined first. `POST /api/auth/switch` switches to another one.
    #[oai(path = "/auth/login", method = "post", operation_id = "login")]
    async fn login(
        &self,
        services: Data<&Services>,
        body: Body<LoginInput>,
    ) -> Result<Json<TokenPair>, Refused<LoggingIn>> {
        Ok(login(&services, body.0).await?)
    }

    /// Log in (alias)
    ///
    /// The same as `POST /api/auth/login`.
    #[oai(path = "/token", method = "post", operation_id = "createToken")]
    async fn token(
        &self,
        services: Data<&Services>,
        body: Body<LoginInput>,
    ) -> Result<Json<TokenPair>, Refused<LoggingIn>> {
        Ok(login(&services, body.0).await?)
    }

    /// Refresh tokens
    ///
    /// A refresh token works once. If it is used again, its session ends.
    #[oai(path = "/auth/token/refresh", method = "post", operation_id = "refreshToken")]
    async fn refresh(
        &self,
        services: Data<&Services>,
        body: Body<RefreshInput>,
    ) -> Result<Json<TokenPair>, Refused<Refreshing>> {
        Ok(refresh(&services, body.0).await?)
    }

    /// Refresh tokens (alias)
    ///
    /// The same as `POST /api/auth/token/refresh`.
    #[oai(path = "/token/refresh", method = "post", operation_id = "renewToken")]
    async fn renew(
        &self,
        services: Data<&Services>,
        body: Body<RefreshInput>,
    ) -> Result<Json<TokenPair>, Refused<Refreshing>> {
        Ok(refresh(&services, body.0).await?)
    }

    /// Log out
    ///
    /// Ends the session of the refresh token. The access token stays valid until it expires.
    #[oai(path = "/auth/logout", method = "post", operation_id = "logout")]
    async fn logout(&self, call: Call, body: Body<RefreshInput>) -> Result<NoContent, Refused<Unasked>> {
        call.authn.logout(&call.caller, &body.0.refresh).await?;
        Ok(NoContent::Done)
    }

    /// Get my account
    #[oai(path = "/auth/me", method = "get", operation_id = "getMe")]
    async fn me(&self, call: Call) -> Result<Fetched<Me>, Refused<Unasked>> {
        let account = call.repository.find_account(call.caller.account).await?;
        Ok(me(&call, account).await?)
    }

    /// Update my name
    #[oai(path = "/auth/me", method = "patch", operation_id = "updateMe")]
    async fn update_me(
        &self,
        call: Call,
        if_match: IfMatch,
        body: Body<MePatch>,
    ) -> Result<Fetched<Me>, Refused<Unasked>> {
        let expected = if_match.version()?;
        let tidied = |name: Option<String>| name.map(|name| tidy(&name));
        let (first_name, last_name) = (tidied(body.0.first_name), tidied(body.0.last_name));
        let account = call.repository.rename_account(&call.caller, expected, first_name, last_name).await?;
        Ok(me(&call, account).await?)
    }

    /// Switch to another clinic
    ///
    /// Returns tokens for another clinic of the account.
    #[oai(path = "/auth/switch", method = "post", operation_id = "switchClinic")]
    async fn switch(&self, call: Call, body: Body<SwitchInput>) -> Result<Json<TokenPair>, Problem> {
        let signed_in = call.authn.switch(&call.caller, ClinicId(body.0.clinic)).await?;
        Ok(Json(signed_in.into()))
    }

    /// List my permissions
    ///
    /// Lists what the token's role may do: resource, action and scopes.
    #[oai(path = "/auth/permissions", method = "get", operation_id = "listPermissions")]
    async fn permissions(&self, call: Call) -> Result<Json<Permissions>, Refused<Unasked>> {
        let granted = call.gate.policy().grants_of(&call.caller.role);
        let permissions = granted.map(|(resource, action, scopes)| Permission {
            resource: resource.name().into(),
            action: action.name().into(),
            scopes: scopes.iter().map(|scope| scope.name().into()).collect(),
        });
        let permissions = permissions.collect();
        Ok(Json(Permissions { role: call.caller.role.clone(), permissions }))
    }
}

async fn login(services: &Services, input: LoginInput) -> Result<Json<TokenPair>, Problem> {
    let name = tidy_optional(input.email).or(tidy_optional(input.username));
    let name = name.ok_or_else(|| FieldErrors::one("email", "Send email or username."))?;
    let signed_in = services.authn.login(login_name(&name), input.password.0, current_request()).await?;
    Ok(Json(signed_in.into()))
}

async fn refresh(services: &Services, input: RefreshInput) -> Result<Json<TokenPair>, Problem> {
    let signed_in = services.authn.refresh(&input.refresh, current_request()).await?;
    Ok(Json(signed_in.into()))
}

async fn me(call: &Call, account: Account) -> Result<Fetched<Me>, Problem> {
    let memberships = call.repository.list_memberships(account.id).await?;
    let version = account.version;
    let me = filled!(Me {
        id: account.id.0,
        email: Email(account.email),
        role: call.caller.role.clone(),
        clinic: call.caller.clinic.0,
        doctor: call.caller.doctor.map(|id| id.0),
        clinics: memberships.into_iter().map(MembershipView::from).collect(),
    } from account { username, first_name, last_name, created_at, updated_at });
    Ok(Fetched::of(version, me))
}

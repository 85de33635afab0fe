//! Authentication: passwords, access tokens and sessions.

mod key_secret;
mod passwords;
mod secrets;
mod sign_in;
mod standings;
mod tokens;

pub use key_secret::{KeyError, KeySecret, open_keys};
pub use passwords::{PasswordError, Passwords, weakness};
pub use secrets::{Secret, invitation_token, split_invitation_token};
pub use sign_in::{Authn, AuthnError, Registration, SignedIn};
pub use tokens::{Bearer, Lifetimes, TokenKeys};

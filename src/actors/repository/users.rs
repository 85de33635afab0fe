//! Reads and writes of a clinic's users.

use futures_util::FutureExt;

use super::{Deleted, Page, Repository, Result};
use crate::domain::access::{Action, Resource};
use crate::domain::users::{NewAccount, User, UserChange};
use crate::domain::{AccountId, Caller};
use crate::repository::{sessions, users};

impl Repository {
    /// Returns the clinic's users, newest account first.
    pub async fn list_users(&self, caller: &Caller, page: Page) -> Result<Vec<User>> {
        self.read(caller.clinic, move |db| users::list(db, page).boxed()).await
    }

    /// Returns one user of the clinic.
    pub async fn find_user(&self, caller: &Caller, id: AccountId) -> Result<User> {
        self.read(caller.clinic, move |db| users::find(db, id).boxed()).await
    }

    /// Creates an account with a membership in the clinic.
    pub async fn create_user(&self, caller: &Caller, new: NewAccount, role: String) -> Result<User> {
        self.create(caller, Action::Create, Resource::Users, move |db| {
            async move { users::insert(db, &new, &role).await }.boxed()
        })
        .await
    }

    /// Changes a membership, if it has the expected version. Deactivating it ends its sessions.
    pub async fn update_user(
        &self,
        caller: &Caller,
        id: AccountId,
        expected: Option<i64>,
        change: UserChange,
        administering: Vec<String>,
    ) -> Result<User> {
        self.write(caller, Action::Update, Resource::Users, move |db| {
            async move {
                let user = users::update(&mut *db, id, expected, &change, &administering).await?;
                if !user.is_active {
                    sessions::revoke_all(db, id).await?;
                }
                Ok(user)
            }
            .boxed()
        })
        .await
    }

    /// Ends a membership and its sessions.
    pub async fn delete_user(
        &self,
        caller: &Caller,
        id: AccountId,
        expected: Option<i64>,
        administering: Vec<String>,
    ) -> Result<()> {
        let deleted = self.write(caller, Action::Delete, Resource::Users, move |db| {
            async move {
                users::delete(&mut *db, id, expected, &administering).await?;
                sessions::revoke_all(db, id).await?;
                Ok(Deleted(id.0))
            }
            .boxed()
        });
        deleted.await?;
        Ok(())
    }
}

//! Reads and writes of invitations.

use futures_util::FutureExt;

use super::{Deleted, Page, Repository, Result};
use crate::domain::access::{Action, Resource};
use crate::domain::users::{Invitation, NewInvitation};
use crate::domain::{Caller, InvitationId};
use crate::repository::invitations;

impl Repository {
    /// Creates an invitation.
    pub async fn create_invitation(&self, caller: &Caller, new: NewInvitation) -> Result<Invitation> {
        let by = caller.clone();
        self.write(caller, Action::Create, Resource::Invitations, move |db| {
            async move { invitations::insert(db, &by, &new).await }.boxed()
        })
        .await
    }

    /// Returns the clinic's invitations, newest first.
    pub async fn list_invitations(&self, caller: &Caller, page: Page) -> Result<Vec<Invitation>> {
        self.read(caller.clinic, move |db| invitations::list(db, page).boxed()).await
    }

    /// Withdraws an invitation.
    pub async fn delete_invitation(&self, caller: &Caller, id: InvitationId) -> Result<()> {
        let deleted = self.write(caller, Action::Delete, Resource::Invitations, move |db| {
            async move {
                invitations::delete(db, id).await?;
                Ok(Deleted(id.0))
            }
            .boxed()
        });
        deleted.await?;
        Ok(())
    }
}

//! Reads and writes of mappings.

use futures_util::FutureExt;

use super::{Deleted, Error, Page, Repository, Result};
use crate::domain::access::{Action, Resource};
use crate::domain::fields::FieldErrors;
use crate::domain::mappings::{Mapping, MappingDetails, MappingFilter, NewMapping};
use crate::domain::{Caller, MappingId, Visibility};
use crate::repository::mappings;
use crate::repository::mappings::MappingList;

impl Repository {
    /// Assigns a doctor to a patient.
    pub async fn create_mapping(&self, caller: &Caller, mappable: Visibility, new: NewMapping) -> Result<Mapping> {
        let by = caller.clone();
        self.create(caller, Action::Create, Resource::Mappings, move |db| {
            async move { mappings::insert(db, &by, mappable, &new).await }.boxed()
        })
        .await
    }

    /// Returns the matching mappings that the caller may see, newest first.
    pub async fn list_mappings(
        &self,
        caller: &Caller,
        seen: Visibility,
        filter: MappingFilter,
        page: Page,
    ) -> Result<Vec<Mapping>> {
        let list = MappingList { clinic: caller.clinic, seen, filter, page };
        if list.is_quick() {
            let _permit = self.waiting.try_acquire().map_err(|_| Error::Overloaded)?;
            return self.mapping_lists.ask_any(list).await;
        }
        let read = self
            .read(list.clinic, move |db| async move { mappings::read_all(&mut db.grouped(), &[list]).await }.boxed());
        Ok(read.await?.into_iter().flatten().collect())
    }

    /// Returns the mapping, if the caller may see it.
    pub async fn find_mapping(&self, caller: &Caller, id: MappingId, seen: Visibility) -> Result<Mapping> {
        self.read(caller.clinic, move |db| mappings::find(db, id, seen).boxed()).await
    }

    /// Applies `change` to a mapping, if it has the expected version.
    pub async fn update_mapping(
        &self,
        caller: &Caller,
        id: MappingId,
        seen: Visibility,
        expected: Option<i64>,
        change: impl FnOnce(MappingDetails) -> Result<MappingDetails, FieldErrors> + Send + 'static,
    ) -> Result<Mapping> {
        self.write(caller, Action::Update, Resource::Mappings, move |db| {
            mappings::update(db, id, seen, expected, change).boxed()
        })
        .await
    }

    /// Deletes a mapping.
    pub async fn delete_mapping(
        &self,
        caller: &Caller,
        id: MappingId,
        seen: Visibility,
        expected: Option<i64>,
    ) -> Result<()> {
        let deleted = self.write(caller, Action::Delete, Resource::Mappings, move |db| {
            async move {
                mappings::delete(db, id, seen, expected).await?;
                Ok(Deleted(id.0))
            }
            .boxed()
        });
        deleted.await?;
        Ok(())
    }
}

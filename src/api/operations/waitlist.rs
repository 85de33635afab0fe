//! `/api/waitlist`: patients who wait for a slot, and the slots that are held for them.

use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use crate::api::context::{Call, Chapter};
use crate::api::http::body::Body;
use crate::api::http::etag::{Created, Fetched, IfMatch, NoContent};
use crate::api::http::idempotency::IdempotencyKey;
use crate::api::http::page::{Listed, Paging};
use crate::api::http::problem::{Problem, Refused, against};
use crate::api::views::appointments::AppointmentView;
use crate::api::views::waitlist::{EntryInput, EntryView};
use crate::domain::WaitlistEntryId;
use crate::domain::access::{Action, Resource};
use crate::domain::appointments::Appointment;
use crate::domain::waitlist::{Acceptance, Entry};

/// Operations on the waitlist.
pub struct Waitlist;

against!(
    /// The problems of accepting an offer.
    Accepting: NO_OFFER, OFFER_ACCEPTED
);
against!(
    /// The problems of leaving the waitlist.
    Withdrawing: OFFER_ACCEPTED
);

#[OpenApi(prefix_path = "/api/waitlist", tag = "Chapter::Waitlist")]
impl Waitlist {
    /// List waitlist entries
    ///
    /// Lists the entries that the caller may see, newest first.
    #[oai(path = "/", method = "get", operation_id = "listWaitlist")]
    async fn list(&self, call: Call, paging: Paging) -> Result<Listed<EntryView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Waitlist).await?;
        let paging = paging.of(&call.caller)?;
        let rows = call.repository.list_waitlist(&call.caller, seen, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, EntryView::from))
    }

    /// Join the waitlist
    ///
    /// When a matching slot of the doctor, or of any doctor of the specialization, becomes free, it is held for the
    /// entry that has waited longest. `offer` says until when.
    #[oai(path = "/", method = "post", operation_id = "createWaitlistEntry")]
    async fn create(
        &self,
        call: Call,
        _key: IdempotencyKey,
        body: Body<EntryInput>,
    ) -> Result<Created<EntryView>, Problem> {
        let seen = call.admit(Action::Create, Resource::Waitlist).await?;
        let (new, repository) = (body.0.entry()?, call.repository.clone());
        let made = call.once(body.1, move |caller| async move {
            Ok::<Entry, Problem>(repository.create_waitlist_entry(&caller, seen, new).await?)
        });
        Ok(made.await?.created("/api/waitlist", |row| (row.id.0, row.version)))
    }

    /// Get a waitlist entry
    #[oai(path = "/:id", method = "get", operation_id = "getWaitlistEntry")]
    async fn get(
        &self,
        call: Call,
        /// The entry's id.
        id: Path<i64>,
    ) -> Result<Fetched<EntryView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Waitlist).await?;
        let entry = call.repository.find_waitlist_entry(&call.caller, WaitlistEntryId(id.0), seen).await?;
        Ok(Fetched::of(entry.version, entry))
    }

    /// Accept the offered slot
    ///
    /// Books the held slot for the entry's patient, unless a scheduling rule no longer allows it.
    #[oai(path = "/:id/accept", method = "post", operation_id = "acceptWaitlistOffer")]
    async fn accept(
        &self,
        call: Call,
        /// The entry's id.
        id: Path<i64>,
        if_match: IfMatch,
        key: IdempotencyKey,
    ) -> Result<Created<AppointmentView>, Refused<Accepting>> {
        let reach = call.admit(Action::Update, Resource::Waitlist).await?;
        let expected = if_match.version()?;
        let (entry, accepting) = (WaitlistEntryId(id.0), call.services.clone());
        let accepted = call.once(key.0, move |caller| async move {
            let doctor = accepting.repository.find_offer(&caller, entry, reach).await?.doctor;
            let acceptance = Acceptance { caller, entry, doctor, reach, expected };
            Ok::<Appointment, Problem>(accepting.schedules.accept(acceptance).await?)
        });
        Ok(accepted.await?.created("/api/appointments", |row| (row.id.0, row.version)))
    }

    /// Leave the waitlist
    ///
    /// Sets the status to WITHDRAWN. A slot that is held for the entry is offered to the next one.
    #[oai(path = "/:id", method = "delete", operation_id = "deleteWaitlistEntry")]
    async fn delete(
        &self,
        call: Call,
        /// The entry's id.
        id: Path<i64>,
        if_match: IfMatch,
    ) -> Result<NoContent, Refused<Withdrawing>> {
        let reach = call.admit(Action::Delete, Resource::Waitlist).await?;
        let expected = if_match.version()?;
        let id = WaitlistEntryId(id.0);
        call.repository.withdraw_waitlist_entry(&call.caller, id, reach, expected).await?;
        Ok(NoContent::Done)
    }
}

//! `/api/waitlist`: those who wait for a time, and what is held for them.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use poem::{Request, web::Data};
use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Header, Path, Query},
    types::Example,
};

use serde_json::Map;

use super::{
    appointments::AppointmentView,
    body::Body,
    context::{Authenticated, Chapter, Services, to_the_end},
    etag::{Created, Fetched, NoContent, expected_version},
    page::{Listed, Paging},
    problem::Problem,
    refusal::SlotView,
    retry,
    schedules::time_of_day,
};
use crate::domain::{
    DoctorId, PatientId, WaitlistEntryId,
    access::{Action, Resource},
    appointments::Appointment,
    fields::{FieldErrors, NON_FIELD, kept_day, tidy, tidy_optional},
    waitlist::{Acceptance, Entry, EntryStatus, NewEntry, Sought, Wanted},
};

/// Operations on the waitlist.
pub struct Waitlist;

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "WaitlistStatus", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EntryStatusView {
    /// It waits.
    Waiting,
    /// A time is held for it.
    Offered,
    /// It has its appointment.
    Accepted,
    /// It was taken back.
    Withdrawn,
}

impl From<EntryStatus> for EntryStatusView {
    fn from(status: EntryStatus) -> Self {
        match status {
            EntryStatus::Waiting => Self::Waiting,
            EntryStatus::Offered => Self::Offered,
            EntryStatus::Accepted => Self::Accepted,
            EntryStatus::Withdrawn => Self::Withdrawn,
        }
    }
}

/// A time that is held for an entry.
#[derive(Debug, Clone, Object)]
#[oai(rename = "WaitlistOffer")]
pub struct OfferView {
    /// The doctor's id.
    doctor: i64,
    /// The time.
    time: SlotView,
    /// Until when it is held.
    held_until: DateTime<Utc>,
}

/// Somebody who waits for a time.
#[derive(Debug, Clone, Object)]
#[oai(rename = "WaitlistEntry")]
pub struct EntryView {
    /// The entry's id; of two that fit, the lower is offered a time first.
    id: i64,
    /// The patient's id.
    patient: i64,
    /// The doctor's id; null where any of the specialization will do.
    #[oai(nullable)]
    doctor: Option<i64>,
    /// The field of medicine; null where it is one doctor.
    #[oai(nullable)]
    specialization: Option<String>,
    /// The first day that suits.
    first_day: NaiveDate,
    /// The last day that suits.
    last_day: NaiveDate,
    /// The earliest start of a day that suits, on the doctor's clock.
    earliest_time: String,
    /// The latest start of a day that suits, on the doctor's clock.
    latest_time: String,
    /// For how long, in minutes; null for the doctor's slot length.
    #[oai(nullable)]
    duration_minutes: Option<i64>,
    /// Why the patient comes.
    reason: String,
    /// Where it stands.
    status: EntryStatusView,
    /// What is held for it; null where nothing is.
    #[oai(nullable)]
    offer: Option<OfferView>,
    /// The id of the user who entered it.
    created_by: i64,
    /// When it was entered.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl From<Entry> for EntryView {
    fn from(entry: Entry) -> Self {
        let (doctor, specialization) = match entry.sought {
            Sought::Doctor(id) => (Some(id.0), None),
            Sought::Specialization(name) => (None, Some(name)),
        };
        Self {
            id: entry.id.0,
            patient: entry.patient.0,
            doctor,
            specialization,
            first_day: entry.wanted.first_day,
            last_day: entry.wanted.last_day,
            earliest_time: entry.wanted.earliest_time.format("%H:%M").to_string(),
            latest_time: entry.wanted.latest_time.format("%H:%M").to_string(),
            duration_minutes: entry.wanted.length.map(|length| length.num_minutes()),
            reason: entry.reason,
            status: entry.status.into(),
            offer: entry.offer.map(|(held, held_until)| OfferView {
                doctor: held.doctor.0,
                time: held.during.into(),
                held_until,
            }),
            created_by: entry.created_by.0,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
        }
    }
}

/// Somebody to enter.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct EntryInput {
    /// The patient's id.
    #[oai(validator(minimum(value = "1")))]
    patient: i64,
    /// The doctor's id; either this or `specialization`.
    #[oai(nullable, validator(minimum(value = "1")))]
    doctor: Option<i64>,
    /// The field of medicine, for any of its doctors; either this or `doctor`.
    #[oai(nullable, validator(max_length = 100))]
    specialization: Option<String>,
    /// The first day that suits, on the doctor's clock.
    first_day: NaiveDate,
    /// The last day that suits.
    last_day: NaiveDate,
    /// The earliest start of a day: hours and minutes on the doctor's clock; any unless said.
    #[oai(nullable, validator(max_length = 5, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    earliest_time: Option<String>,
    /// The latest start of a day: hours and minutes on the doctor's clock; any unless said.
    #[oai(nullable, validator(max_length = 5, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    latest_time: Option<String>,
    /// For how long, in minutes; the doctor's slot length unless said.
    #[oai(nullable, validator(minimum(value = "5"), maximum(value = "1440")))]
    duration_minutes: Option<i64>,
    /// Why the patient comes.
    #[oai(nullable, validator(max_length = 1000))]
    reason: Option<String>,
}

impl Example for EntryInput {
    fn example() -> Self {
        let day = |text: &str| text.parse().unwrap_or_default();
        Self {
            patient: 1,
            doctor: None,
            specialization: Some("Cardiology".into()),
            first_day: day("2030-01-07"),
            last_day: day("2030-01-18"),
            earliest_time: Some("09:00".into()),
            latest_time: Some("12:00".into()),
            duration_minutes: Some(30),
            reason: Some("Follow-up".into()),
        }
    }
}

impl EntryInput {
    fn entry(self) -> Result<NewEntry, FieldErrors> {
        let mut errors = FieldErrors::default();
        let sought = match (self.doctor, tidy_optional(self.specialization)) {
            (Some(id), None) => Some(Sought::Doctor(DoctorId(id))),
            (None, Some(specialization)) => Some(Sought::Specialization(specialization)),
            _ => {
                errors.add(NON_FIELD, "Send either doctor or specialization.");
                None
            }
        };
        kept_day("first_day", self.first_day)?;
        if self.last_day < self.first_day {
            errors.add("last_day", "Must not be before first_day.");
        }
        let earliest_time = time_of_day("earliest_time", self.earliest_time.as_deref().unwrap_or("00:00"))?;
        let latest_time = time_of_day("latest_time", self.latest_time.as_deref().unwrap_or("23:59"))?;
        if latest_time < earliest_time {
            errors.add("latest_time", "Must not be before earliest_time.");
        }
        let Some(sought) = sought.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        Ok(NewEntry {
            patient: PatientId(self.patient),
            sought,
            wanted: Wanted {
                first_day: self.first_day,
                last_day: self.last_day,
                earliest_time,
                latest_time,
                length: self.duration_minutes.map(TimeDelta::minutes),
            },
            reason: tidy(&self.reason.unwrap_or_default()),
        })
    }
}

#[OpenApi(prefix_path = "/api/waitlist", tag = "Chapter::Waitlist")]
impl Waitlist {
    /// List those who wait
    ///
    /// The entries that the caller may see, newest first.
    #[oai(path = "/", method = "get", operation_id = "listWaitlist")]
    async fn list(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        request: &Request,
        /// How many at most; 50 unless said.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
        /// Where to go on, from the `Link` header of the page before.
        #[oai(validator(max_length = 200))]
        cursor: Query<Option<String>>,
    ) -> Result<Listed<EntryView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Waitlist).await?;
        let paging = Paging::of(request, &caller.0, limit.0, cursor.0.as_ref())?;
        let rows = services.repository.list_waitlist(&caller.0, seen, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, EntryView::from))
    }

    /// Wait for a time
    ///
    /// When a fitting time of the doctor, or of a doctor of the specialization, becomes free, it is held
    /// for the entry that has waited longest; `offer` says until when.
    #[oai(path = "/", method = "post", operation_id = "createWaitlistEntry")]
    async fn create(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The client's name for this request: sent again with the same name within a day, it is not done
        /// again but answered as before.
        #[oai(name = "Idempotency-Key", validator(min_length = 1, max_length = 200))]
        _key: Header<Option<String>>,
        body: Body<EntryInput>,
    ) -> Result<Created<EntryView>, Problem> {
        let seen = services.admit(&caller.0, Action::Create, Resource::Waitlist).await?;
        let (new, repository) = (body.0.entry()?, services.repository.clone());
        let made = services.once(caller.0, body.1, move |caller| async move {
            Ok::<Entry, Problem>(repository.create_waitlist_entry(&caller, seen, new).await?)
        });
        Ok(made.await?.created("/api/waitlist", |row| (row.id.0, row.version)))
    }

    /// Read an entry
    #[oai(path = "/:id", method = "get", operation_id = "getWaitlistEntry")]
    async fn get(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The entry's id.
        id: Path<i64>,
    ) -> Result<Fetched<EntryView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Waitlist).await?;
        let entry = services.repository.find_waitlist_entry(&caller.0, WaitlistEntryId(id.0), seen).await?;
        Ok(Fetched::of(entry.version, entry))
    }

    /// Take the time that is held
    ///
    /// It becomes an appointment of the entry's patient, if no rule stands against it by now.
    #[oai(path = "/:id/accept", method = "post", operation_id = "acceptWaitlistOffer")]
    async fn accept(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The entry's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        /// The client's name for this request: sent again with the same name within a day, it is not done
        /// again but answered as before.
        #[oai(name = "Idempotency-Key", validator(min_length = 1, max_length = 200))]
        _key: Header<Option<String>>,
        request: &Request,
    ) -> Result<Created<AppointmentView>, Problem> {
        let reach = services.admit(&caller.0, Action::Update, Resource::Waitlist).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let retry = retry::named(request, &Map::new())?;
        let (entry, accepting) = (WaitlistEntryId(id.0), services.clone());
        let accepted = services.once(caller.0, retry, move |caller| async move {
            let doctor = accepting.repository.find_offer(&caller, entry, reach).await?.doctor;
            let acceptance = Acceptance { caller, entry, doctor, reach, expected };
            Ok::<Appointment, Problem>(accepting.schedules.accept(acceptance).await?)
        });
        Ok(accepted.await?.created("/api/appointments", |row| (row.id.0, row.version)))
    }

    /// Wait no longer
    ///
    /// The entry stays, as withdrawn; a time that is held for it is free for the next.
    #[oai(path = "/:id", method = "delete", operation_id = "deleteWaitlistEntry")]
    async fn delete(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The entry's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<NoContent, Problem> {
        let reach = services.admit(&caller.0, Action::Delete, Resource::Waitlist).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let (services, id) = (services.clone(), WaitlistEntryId(id.0));
        to_the_end(async move {
            services.repository.withdraw_waitlist_entry(&caller.0, id, reach, expected).await?;
            Ok(NoContent::Done)
        })
        .await
    }
}

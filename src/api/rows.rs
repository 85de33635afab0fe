//! Rows as JSON that is written once, without a tree of values in between.

use std::marker::PhantomData;

use bytes::Bytes;
use poem::{IntoResponse, Response};
use poem_openapi::{
    payload::Payload,
    registry::{MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};

/// A row that an answer shows.
pub trait Row: ToJSON {
    /// Writes the row as JSON.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_json_string().as_bytes());
    }
}

/// Rows that are seldom asked for are written by the framework.
macro_rules! by_the_framework {
    ($($view:path),* $(,)?) => { $(impl Row for $view {})* };
}

by_the_framework!(
    super::appointments::EventView,
    super::auth::Me,
    super::clinic::ChangedClinicView,
    super::clinic::ClinicView,
    super::closures::ClosureView,
    super::closures::EnteredClosureView,
    super::doctors::ChangedDoctorView,
    super::doctors::DoctorView,
    super::invitations::InvitationView,
    super::schedules::ChangedHoursView,
    super::schedules::ChangedSchedulingView,
    super::schedules::EnteredTimeOffView,
    super::schedules::HoursView,
    super::schedules::SchedulingView,
    super::schedules::TimeOffView,
    super::series::BookedSeriesView,
    super::users::UserView,
    super::waitlist::EntryView,
);

/// Rows that are asked for often are written by serde, which is held to the same JSON by a test.
macro_rules! by_serde {
    ($($view:path),* $(,)?) => { $(
        impl Row for $view {
            fn write(&self, out: &mut Vec<u8>) {
                // Writing to memory does not fail.
                let _ = serde_json::to_writer(out, self);
            }
        }
    )* };
}

by_serde!(super::appointments::AppointmentView, super::mappings::MappingView, super::patients::PatientView);

/// An instant as the framework writes it.
pub fn instant<S: serde::Serializer>(at: &chrono::DateTime<chrono::Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&at.to_rfc3339())
}

/// A text with a format as the framework writes it.
pub fn text<T: std::ops::Deref<Target = String>, S: serde::Serializer>(
    text: &Option<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => to.serialize_some(text.as_str()),
        None => to.serialize_none(),
    }
}

/// One row, written.
pub struct One<T>(Vec<u8>, PhantomData<fn() -> T>);

impl<T: Row> One<T> {
    /// Writes a row.
    pub fn of(row: impl Into<T>) -> Self {
        let mut out = Vec::with_capacity(600);
        row.into().write(&mut out);
        Self(out, PhantomData)
    }

    /// As it was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A list's rows, written.
#[derive(Clone)]
pub struct Rows<T>(Bytes, PhantomData<fn() -> T>);

impl<T: Row> Rows<T> {
    /// Writes rows, in their order.
    pub fn of(rows: impl ExactSizeIterator<Item = T>) -> Self {
        let mut out = Vec::with_capacity(2 + 400 * rows.len());
        out.push(b'[');
        for (n, row) in rows.enumerate() {
            if n > 0 {
                out.push(b',');
            }
            row.write(&mut out);
        }
        out.push(b']');
        Self::written(out.into())
    }
}

impl<T> Rows<T> {
    /// Rows that were written before.
    pub fn written(rows: Bytes) -> Self {
        Self(rows, PhantomData)
    }

    /// As they were written.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// JSON that was written before.
macro_rules! json {
    ($payload:ident, $shown:ty) => {
        impl<T: Type> Payload for $payload<T> {
            const CONTENT_TYPE: &'static str = "application/json; charset=utf-8";

            fn schema_ref() -> MetaSchemaRef {
                <$shown>::schema_ref()
            }

            fn register(registry: &mut Registry) {
                <$shown>::register(registry);
            }
        }

        impl<T: Type> IntoResponse for $payload<T> {
            fn into_response(self) -> Response {
                Response::builder().content_type(Self::CONTENT_TYPE).body(self.0)
            }
        }
    };
}

json!(One, T);
json!(Rows, Vec<T>);

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};
    use serde_json::Value;

    use super::*;
    use crate::{
        api::{appointments::AppointmentView, mappings::MappingView, patients::PatientView},
        domain::{
            AccountId, AppointmentId, DoctorId, Interval, MappingId, PatientId, SeriesId,
            appointments::Appointment,
            lifecycle::Status,
            mappings::{MappedDoctor, MappedPatient, Mapping, MappingDetails},
            patients::{BirthDate, Gender, Patient, PatientDetails},
        },
    };

    fn assert_alike(row: &impl Row) {
        let mut out = Vec::new();
        row.write(&mut out);
        let written: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(Some(&written), row.to_json().as_ref());
        assert_eq!(written.to_string(), row.to_json_string(), "in the same order");
    }

    #[test]
    fn serde_writes_patients_as_the_contract_shows_them() {
        let at = Utc.with_ymd_and_hms(2030, 1, 31, 9, 30, 0).unwrap();
        let mut patient = Patient {
            id: PatientId(7),
            details: PatientDetails::default(),
            created_by: AccountId(3),
            created_at: at,
            updated_at: at + chrono::TimeDelta::microseconds(12_345),
            version: 2,
        };
        assert_alike(&PatientView::from(patient.clone()));
        patient.details = PatientDetails {
            first_name: "Maya \"Q\"\n".into(),
            last_name: "Økafor".into(),
            birth: Some(BirthDate { date: "1988-04-12".parse().unwrap(), estimated: true }),
            gender: Gender::Other,
            phone_number: Some("+351".into()),
            email: Some("maya@example.com".into()),
            ..PatientDetails::default()
        };
        assert_alike(&PatientView::from(patient));
    }

    #[test]
    fn serde_writes_appointments_as_the_contract_shows_them() {
        let at = Utc.with_ymd_and_hms(2030, 1, 31, 9, 30, 0).unwrap();
        let statuses = [
            Status::Scheduled,
            Status::Confirmed,
            Status::CheckedIn,
            Status::Completed,
            Status::Cancelled,
            Status::NoShow,
        ];
        for (n, status) in (1..).zip(statuses) {
            assert_alike(&AppointmentView::from(Appointment {
                id: AppointmentId(n),
                doctor: DoctorId(1),
                patient: PatientId(2),
                during: Interval::starting(at, chrono::TimeDelta::minutes(30)).unwrap(),
                status,
                reason: "Check".into(),
                series: (n % 2 == 0).then_some(SeriesId(n)),
                created_by: AccountId(3),
                created_at: at,
                updated_at: at,
                version: 1,
            }));
        }
    }

    #[test]
    fn serde_writes_mappings_as_the_contract_shows_them() {
        let at = Utc.with_ymd_and_hms(2030, 1, 31, 9, 30, 0).unwrap();
        for notes in [None, Some("Prefers \"mornings\"".to_owned())] {
            assert_alike(&MappingView::from(Mapping {
                id: MappingId(7),
                patient: MappedPatient { id: PatientId(1), first_name: "Maya".into(), last_name: "Økafor".into() },
                doctor: MappedDoctor {
                    id: DoctorId(2),
                    first_name: "Ada".into(),
                    last_name: "Lind".into(),
                    specialization: "Cardiology".into(),
                },
                details: MappingDetails { reason_for_visit: notes.clone(), notes, is_active: true },
                assigned_by: AccountId(3),
                assigned_at: at,
                updated_at: at + chrono::TimeDelta::microseconds(12_345),
                version: 2,
            }));
        }
    }
}

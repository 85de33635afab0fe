//! SQL that reads patients of several clinics in one round trip.

use super::context::GroupedDb;
use super::patients::patient;
use super::{Error, Page, Result, context, stored_gender};
use crate::domain::fields::filled;
use crate::domain::patients::{BirthDate, Patient, PatientDetails, PatientFilter};
use crate::domain::{AccountId, ClinicId, DoctorId, PatientId, Visibility};

/// Selects the rows of a function that returns either all columns of a patient or none.
macro_rules! rows {
    ($and:tt, $($argument:tt)+) => {
        sqlx::query!(
            r#"SELECT request AS "request!", clinic_id AS "clinic_id!", date_of_birth, phone_number, email, address,
                 medical_history, emergency_contact_name, emergency_contact_phone,
                 COALESCE(first_name, '') AS "first_name!", COALESCE(last_name, '') AS "last_name!",
                 COALESCE(date_of_birth_estimated, false) AS "date_of_birth_estimated!",
                 COALESCE(gender, '') AS "gender!", COALESCE(email_shared, false) AS "email_shared!",
                 COALESCE(created_by, 0) AS "created_by!", COALESCE(created_at, 'epoch') AS "created_at!",
                 COALESCE(updated_at, 'epoch') AS "updated_at!", COALESCE(version, 0) AS "version!", "#
                + $and,
            $($argument)+
        )
    };
}

/// A request for a patient.
#[derive(Debug, Clone, Copy)]
pub struct PatientRead {
    /// The clinic.
    pub clinic: ClinicId,
    /// The patient's id.
    pub id: PatientId,
    /// The rows that the caller may see.
    pub seen: Visibility,
}

/// Returns the requested patients that their callers may see, in the order of the requests. Reads all in one round
/// trip, by the function `find_patients` of the migrations.
pub async fn find_all(db: &mut GroupedDb<'_>, wanted: &[PatientRead]) -> Result<Vec<Option<Patient>>> {
    let rows = rows!(
        r#"id AS "id!" FROM find_patients($1, $2, $3, $4, $5, $6)"#,
        &db.column(wanted.iter().map(|wanted| wanted.clinic))?,
        &(0..).take(wanted.len()).collect::<Vec<i32>>(),
        &wanted.iter().map(|wanted| wanted.id.0).collect::<Vec<_>>(),
        &wanted.iter().map(|wanted| wanted.seen.whole_clinic).collect::<Vec<_>>(),
        &wanted.iter().map(|wanted| wanted.seen.owner_id()).collect::<Vec<_>>() as &[Option<i64>],
        &wanted.iter().map(|wanted| wanted.seen.doctor_id()).collect::<Vec<_>>() as &[Option<i64>],
    )
    .fetch_all(db)
    .await?;
    let mut found = vec![None; wanted.len()];
    for row in rows {
        let place = usize::try_from(row.request).ok().and_then(|at| Some((found.get_mut(at)?, wanted.get(at)?)));
        let (place, wanted) = place.ok_or_else(|| Error::Corrupt("a patient that was not requested".into()))?;
        context::same(wanted.clinic, row.clinic_id)?;
        *place = Some(patient!(row)?);
    }
    Ok(found)
}

/// A page of patients whose cost is proportional to its rows: of a whole clinic, of one owner, or of one doctor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PatientPage {
    /// The clinic.
    pub clinic: ClinicId,
    /// Only patients of this owner.
    pub owner: Option<AccountId>,
    /// Only patients who are assigned to this doctor.
    pub doctor: Option<DoctorId>,
    /// The page.
    pub page: Page,
}

impl PatientPage {
    /// Returns the page of the matching patients that the caller may see, or `None` if the list is of another kind.
    pub fn of(clinic: ClinicId, seen: Visibility, filter: &PatientFilter, page: Page) -> Option<Self> {
        let PatientFilter { search: None, created_by, doctor } = *filter else { return None };
        let all = Self { clinic, owner: None, doctor: None, page };
        match (created_by, doctor) {
            (None, None) if seen.whole_clinic => Some(all),
            (Some(_), None) if seen.whole_clinic => Some(Self { owner: created_by, ..all }),
            (None, Some(_)) if seen.whole_clinic => Some(Self { doctor, ..all }),
            (None, None) if seen.only_owner().is_some() => Some(Self { owner: seen.only_owner(), ..all }),
            (None, None) if seen.only_doctor().is_some() => Some(Self { doctor: seen.only_doctor(), ..all }),
            _ => None,
        }
    }
}

/// The result of reading a page.
pub enum PageRead {
    /// The page still has the given mark, so its rows are unchanged.
    Unchanged,
    /// The page has these patients, newest first, and this mark.
    Changed(Vec<Patient>, Option<String>),
}

/// Reads pages of patients, each requested with the mark of its cached version, in the order of the requests. Reads all
/// in one round trip, by the function `patient_pages` of the migrations.
pub async fn pages(db: &mut GroupedDb<'_>, asked: &[(PatientPage, Option<String>)]) -> Result<Vec<PageRead>> {
    // An empty or unchanged page has one row without a patient.
    let rows = rows!(
        r#"id AS "id?", mark FROM patient_pages($1, $2, $3, $4, $5, $6, $7)"#,
        &db.column(asked.iter().map(|(asked, _)| asked.clinic))?,
        &(0..).take(asked.len()).collect::<Vec<i32>>(),
        &asked.iter().map(|(asked, _)| asked.owner.map(|id| id.0)).collect::<Vec<_>>() as &[Option<i64>],
        &asked.iter().map(|(asked, _)| asked.doctor.map(|id| id.0)).collect::<Vec<_>>() as &[Option<i64>],
        &asked.iter().map(|(asked, _)| asked.page.before.unwrap_or(i64::MAX)).collect::<Vec<_>>(),
        &asked.iter().map(|(asked, _)| asked.page.limit).collect::<Vec<_>>(),
        &asked.iter().map(|(_, known)| known.clone()).collect::<Vec<_>>() as &[Option<String>],
    )
    .fetch_all(db)
    .await?;
    let mut pages = Vec::with_capacity(asked.len());
    pages.resize_with(asked.len(), || PageRead::Changed(Vec::new(), None));
    for row in rows {
        let place = usize::try_from(row.request).ok().and_then(|at| Some((pages.get_mut(at)?, asked.get(at)?)));
        let (place, (asked, _)) = place.ok_or_else(|| Error::Corrupt("a page that was not requested".into()))?;
        context::same(asked.clinic, row.clinic_id)?;
        match row.id {
            Some(id) => {
                if let PageRead::Changed(patients, mark) = place {
                    patients.push(patient!(row, id)?);
                    *mark = mark.take().or(row.mark);
                }
            }
            // Only a page with patients has a mark, so these are the cached ones.
            None if row.mark.is_some() => *place = PageRead::Unchanged,
            None => {}
        }
    }
    Ok(pages)
}

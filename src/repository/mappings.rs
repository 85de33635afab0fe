//! SQL of mappings. A mapping is `own` for its patient's owner and `assigned` for its doctor's login.

use std::cmp::Reverse;

use super::context::{ClinicDb, GroupedDb};
use super::{Conflict, Error, Page, Result, context, expect_version};
use crate::domain::fields::{FieldErrors, NON_FIELD, filled};
use crate::domain::mappings::{MappedDoctor, MappedPatient, Mapping, MappingDetails, MappingFilter, NewMapping};
use crate::domain::{AccountId, Caller, ClinicId, DoctorId, MappingId, PatientId, Visibility};

/// Reads a mapping from a row that has its columns and the names of its patient and doctor.
macro_rules! mapping {
    ($row:ident) => {
        filled!(Mapping {
            id: MappingId($row.id),
            patient: MappedPatient {
                id: PatientId($row.patient_id),
                first_name: $row.patient_first_name,
                last_name: $row.patient_last_name,
            },
            doctor: MappedDoctor {
                id: DoctorId($row.doctor_id),
                first_name: $row.doctor_first_name,
                last_name: $row.doctor_last_name,
                specialization: $row.specialization,
            },
            details: filled!(MappingDetails {} from $row { reason_for_visit, notes, is_active }),
            assigned_by: AccountId($row.assigned_by),
        } from $row { assigned_at, updated_at, version })
    };
}

/// Assigns a doctor to a patient that the caller may map.
pub async fn insert(db: &mut ClinicDb<'_>, caller: &Caller, mappable: Visibility, new: &NewMapping) -> Result<Mapping> {
    let id = sqlx::query_scalar!(
        "INSERT INTO mappings (
             clinic_id, patient_id, doctor_id, reason_for_visit, notes, is_active, assigned_by
         )
         SELECT p.clinic_id, p.id, d.id, $4, $5, $6, $7
         FROM patients p JOIN doctors d ON d.clinic_id = p.clinic_id AND d.id = $3 AND d.deleted_at IS NULL
         WHERE p.clinic_id = $1
           AND p.id = $2
           AND p.deleted_at IS NULL
           AND ($8 OR p.created_by = $9 OR d.id = $10)
         FOR KEY SHARE OF p, d
         ON CONFLICT ON CONSTRAINT mappings_pair_unique DO NOTHING
         RETURNING id",
        db.clinic().0,
        new.patient.0,
        new.doctor.0,
        new.details.reason_for_visit,
        new.details.notes,
        new.details.is_active,
        db.account_of(caller)?.0,
        mappable.whole_clinic,
        mappable.owner_id(),
        mappable.doctor_id(),
    )
    .fetch_optional(&mut *db)
    .await?;
    match id {
        Some(id) => find(db, MappingId(id), Visibility::WHOLE_CLINIC).await,
        None => Err(refusal(db, mappable, new).await?),
    }
}

/// Returns why [`insert`] created no row.
async fn refusal(db: &mut ClinicDb<'_>, mappable: Visibility, new: &NewMapping) -> Result<Error> {
    let known = sqlx::query!(
        r#"SELECT
             EXISTS (
                 SELECT FROM patients
                 WHERE clinic_id = $1 AND id = $2 AND deleted_at IS NULL AND ($4 OR created_by = $5 OR $6::bigint = $3)
             ) AS "patient!",
             EXISTS (SELECT FROM doctors WHERE clinic_id = $1 AND id = $3 AND deleted_at IS NULL) AS "doctor!""#,
        db.clinic().0,
        new.patient.0,
        new.doctor.0,
        mappable.whole_clinic,
        mappable.owner_id(),
        mappable.doctor_id(),
    )
    .fetch_one(db)
    .await?;
    let mut errors = FieldErrors::default();
    if !known.patient {
        errors.add("patient", "There is no such patient.");
    }
    if !known.doctor {
        errors.add("doctor", "There is no such doctor.");
    }
    Ok(match errors.into_result() {
        Err(errors) => errors.into(),
        Ok(()) => Error::Conflict(Conflict::Taken {
            field: NON_FIELD,
            message: "This doctor is already assigned to this patient.",
        }),
    })
}

/// A request for a list.
#[derive(Debug, Clone)]
pub struct MappingList {
    /// The clinic.
    pub clinic: ClinicId,
    /// The rows that the caller may see.
    pub seen: Visibility,
    /// The filters.
    pub filter: MappingFilter,
    /// The page.
    pub page: Page,
}

/// How a list is read. Each way has its own index, independent of other filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    OfPatient,
    OfDoctor,
    OfOwner,
    Newest,
}

impl MappingList {
    /// Returns the doctor to read by. For a caller who sees only one doctor's rows it is that doctor.
    fn doctor(&self) -> Option<DoctorId> {
        self.filter.doctor.or(self.seen.only_doctor())
    }

    fn way(&self) -> Way {
        match (self.filter.patient, self.doctor(), self.seen.only_owner()) {
            (Some(_), ..) => Way::OfPatient,
            (None, Some(_), _) => Way::OfDoctor,
            (None, None, Some(_)) => Way::OfOwner,
            (None, None, None) => Way::Newest,
        }
    }

    /// Returns whether the list reads few more rows than it returns, in a clinic of any size.
    pub fn is_quick(&self) -> bool {
        let is_filtered = self.filter.is_active.is_some();
        match self.way() {
            Way::OfPatient => true,
            Way::OfDoctor => !is_filtered && (self.seen.whole_clinic || self.seen.only_doctor() == self.doctor()),
            Way::OfOwner => !is_filtered,
            Way::Newest => !is_filtered && self.seen.whole_clinic,
        }
    }
}

/// Returns the mapping, if the caller may see it.
pub async fn find(db: &mut ClinicDb<'_>, id: MappingId, seen: Visibility) -> Result<Mapping> {
    let row = sqlx::query!(
        "SELECT m.id, m.patient_id, p.first_name AS patient_first_name, p.last_name AS patient_last_name,
             m.doctor_id, d.first_name AS doctor_first_name, d.last_name AS doctor_last_name, d.specialization,
             m.reason_for_visit, m.notes, m.is_active, m.assigned_by, m.assigned_at, m.updated_at, m.version
         FROM mappings m
         JOIN patients p ON p.clinic_id = m.clinic_id AND p.id = m.patient_id AND p.deleted_at IS NULL
         JOIN doctors d ON d.clinic_id = m.clinic_id AND d.id = m.doctor_id AND d.deleted_at IS NULL
         WHERE m.clinic_id = $1 AND m.id = $2 AND ($3 OR m.patient_owner = $4 OR m.doctor_id = $5)",
        db.clinic().0,
        id.0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
    )
    .fetch_one(db)
    .await?;
    Ok(mapping!(row))
}

/// Returns the matching mappings that the callers may see, newest first, in the order of the lists. Each [`Way`] has
/// its own statement: a generic plan serves all values, so a condition that selects an index must not be optional.
///
/// Each list is read in the context of its clinic. The planner needs a context too: without one it would expect no
/// rows.
pub async fn read_all(db: &mut GroupedDb<'_>, lists: &[MappingList]) -> Result<Vec<Vec<Mapping>>> {
    let mut found: Vec<Vec<Mapping>> = lists.iter().map(|_| Vec::new()).collect();
    let mut ways: Vec<_> = lists.iter().filter(|list| !list.seen.is_nothing()).map(MappingList::way).collect();
    ways.sort_unstable();
    ways.dedup();
    for way in ways {
        read_by(&mut *db, way, lists, &mut found).await?;
    }
    for list in &mut found {
        list.sort_unstable_by_key(|mapping| Reverse(mapping.id.0));
    }
    Ok(found)
}

/// Reads the lists with this way.
async fn read_by(db: &mut GroupedDb<'_>, way: Way, lists: &[MappingList], found: &mut [Vec<Mapping>]) -> Result<()> {
    let asked = (0..).zip(lists).filter(|(_, list)| !list.seen.is_nothing() && list.way() == way);
    let asked: Vec<(i32, &MappingList)> = asked.collect();
    fn all<T>(asked: &[(i32, &MappingList)], of: impl Fn(&MappingList) -> T) -> Vec<T> {
        asked.iter().map(|(_, list)| of(list)).collect()
    }
    // Each table's `clinic_id` is compared with the list's clinic. A table that is joined by another table's
    // `clinic_id` could be read once for a whole group, in the context of its first list.
    //
    // Reads from the newest row on until there are enough. OFFSET separates the other conditions and the joins: the
    // planner estimates them as so selective that it would sort all rows.
    macro_rules! by {
        ($way:tt) => {{
            let rows = sqlx::query!(
                r#"SELECT q.request AS "request!", m.*
                 FROM unnest(
                     $1::bigint[], $2::integer[], $3::boolean[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::boolean[], $9::bigint[], $10::bigint[]
                 ) AS q (
                     clinic_id, request, sees_all, owner, sees_doctor, patient, doctor, is_active, before, most
                 )
                 CROSS JOIN LATERAL (
                     SELECT set_config('app.clinic_id', q.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
                 ) AS c
                 CROSS JOIN LATERAL (
                     SELECT m.clinic_id, m.id, m.patient_id, p.first_name AS patient_first_name,
                         p.last_name AS patient_last_name, m.doctor_id, d.first_name AS doctor_first_name,
                         d.last_name AS doctor_last_name, d.specialization, m.reason_for_visit, m.notes, m.is_active,
                         m.assigned_by, m.assigned_at, m.updated_at, m.version
                     FROM (
                         SELECT * FROM mappings WHERE clinic_id = c.clinic_id AND id < q.before AND "#
                    + $way
                    + " ORDER BY id DESC OFFSET 0
                     ) AS m
                     CROSS JOIN LATERAL (
                         SELECT * FROM patients
                         WHERE clinic_id = c.clinic_id AND id = m.patient_id AND deleted_at IS NULL
                         OFFSET 0
                     ) AS p
                     CROSS JOIN LATERAL (
                         SELECT * FROM doctors
                         WHERE clinic_id = c.clinic_id AND id = m.doctor_id AND deleted_at IS NULL
                         OFFSET 0
                     ) AS d
                     WHERE (q.sees_all OR m.patient_owner = q.owner OR m.doctor_id = q.sees_doctor)
                       AND (q.patient IS NULL OR m.patient_id = q.patient)
                       AND (q.doctor IS NULL OR m.doctor_id = q.doctor)
                       AND (q.is_active IS NULL OR m.is_active = q.is_active)
                     ORDER BY m.id DESC
                     LIMIT q.most
                 ) AS m",
                &db.column(asked.iter().map(|(_, list)| list.clinic))?,
                &asked.iter().map(|(request, _)| *request).collect::<Vec<_>>(),
                &all(&asked, |list| list.seen.whole_clinic),
                &all(&asked, |list| list.seen.owner_id()) as &[Option<i64>],
                &all(&asked, |list| list.seen.doctor_id()) as &[Option<i64>],
                &all(&asked, |list| list.filter.patient.map(|id| id.0)) as &[Option<i64>],
                &all(&asked, |list| list.doctor().map(|id| id.0)) as &[Option<i64>],
                &all(&asked, |list| list.filter.is_active) as &[Option<bool>],
                &all(&asked, |list| list.page.before.unwrap_or(i64::MAX)),
                &all(&asked, |list| list.page.limit),
            )
            .fetch_all(db)
            .await?;
            for row in rows {
                let request = usize::try_from(row.request).ok();
                let list = request.and_then(|request| Some((lists.get(request)?, found.get_mut(request)?)));
                let (list, found) = list.ok_or_else(|| Error::Corrupt("a mapping of a list that was not requested".into()))?;
                context::same(list.clinic, row.clinic_id)?;
                found.push(mapping!(row));
            }
        }};
    }
    match way {
        Way::OfPatient => by!("patient_id = q.patient"),
        Way::OfDoctor => by!("doctor_id = q.doctor"),
        Way::OfOwner => by!("patient_owner = q.owner"),
        Way::Newest => by!("true"),
    }
    Ok(())
}

/// Locks the row until the transaction ends, and reads it if the caller may see it.
async fn lock(db: &mut ClinicDb<'_>, id: MappingId, seen: Visibility, expected: Option<i64>) -> Result<Mapping> {
    sqlx::query!("SELECT id FROM mappings WHERE clinic_id = $1 AND id = $2 FOR UPDATE", db.clinic().0, id.0)
        .fetch_one(&mut *db)
        .await?;
    let stored = find(db, id, seen).await?;
    expect_version(expected, stored.version)?;
    Ok(stored)
}

/// Applies `change` to a mapping that the caller may see.
pub async fn update(
    db: &mut ClinicDb<'_>,
    id: MappingId,
    seen: Visibility,
    expected: Option<i64>,
    change: impl FnOnce(MappingDetails) -> Result<MappingDetails, FieldErrors>,
) -> Result<Mapping> {
    let stored = lock(db, id, seen, expected).await?;
    let details = change(stored.details)?;
    sqlx::query!(
        "UPDATE mappings
         SET reason_for_visit = $3, notes = $4, is_active = $5, updated_at = now(), version = version + 1
         WHERE clinic_id = $1 AND id = $2",
        db.clinic().0,
        id.0,
        details.reason_for_visit,
        details.notes,
        details.is_active,
    )
    .execute(&mut *db)
    .await?;
    find(db, id, seen).await
}

/// Deletes a mapping.
pub async fn delete(db: &mut ClinicDb<'_>, id: MappingId, seen: Visibility, expected: Option<i64>) -> Result<()> {
    lock(db, id, seen, expected).await?;
    sqlx::query!("DELETE FROM mappings WHERE clinic_id = $1 AND id = $2", db.clinic().0, id.0).execute(db).await?;
    Ok(())
}

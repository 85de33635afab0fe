//! The tests' databases refuse a transaction that changes a calendar without a stamp (`support/stamps.sql`). So every
//! other test also proves that the program stamps its changes.

use crate::support::{Session, TestApp, waiting};

/// A clinic with all rows that a calendar depends on, and placeholders for their ids.
struct Clinic {
    app: TestApp,
    places: Vec<(&'static str, i64)>,
}

/// Increases the version of the doctor's calendar.
const CALENDAR: &str = "UPDATE calendar_versions SET version = version + 1 WHERE doctor_id = :doctor;";

/// Increases the version of the doctor's rules.
const RULES: &str =
    "UPDATE calendar_versions SET version = version + 1, rules_version = version + 1 WHERE doctor_id = :doctor;";

/// Increases the version of the rules that apply to all doctors of the clinic.
const WHOLE: &str = "UPDATE clinic_versions SET version = version + 1 WHERE clinic_id = :clinic;";

/// Selects the version of the doctor's calendar.
const STAMP: &str = "(SELECT version FROM calendar_versions WHERE doctor_id = :doctor)";

/// Returns a statement that takes a time of the doctor, with this stamp.
fn booking(stamp: &str) -> String {
    format!(
        "INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, created_by, calendar_version)
         VALUES (:clinic, gen_random_uuid(), :doctor, :patient, '[2031-03-05 15:00Z, 2031-03-05 15:30Z)', :account,
                 {stamp});"
    )
}

/// Returns a statement that changes the appointment, with this stamp.
fn change(set: &str, stamp: &str) -> String {
    format!("UPDATE appointments SET {set}, calendar_version = {stamp} WHERE id = :appointment;")
}

impl Clinic {
    async fn new() -> Self {
        let app = TestApp::start().await;
        let admin = app.founder("ada").await;
        let (doctor, other, patient) = (admin.new_doctor().await, admin.new_doctor().await, admin.new_patient().await);
        let appointment = admin.new_appointment(doctor, patient, "10:00").await;
        let entry = entry(&admin, doctor).await;
        let places = vec![
            (":clinic", admin.clinic),
            (":account", admin.id),
            (":doctor", doctor),
            (":other", other),
            (":patient", patient),
            (":appointment", appointment),
            (":entry", entry),
        ];
        Self { app, places }
    }

    /// Returns the result of a transaction of these statements.
    async fn run(&self, statements: &str) -> sqlx::Result<()> {
        let fill = |statements: String, place: &(&str, i64)| statements.replace(place.0, &place.1.to_string());
        let statements = self.places.iter().fold(statements.to_owned(), fill);
        let mut db = self.app.database.connect().await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut db).await.map(|_| ())
    }

    async fn refuses(&self, statements: &str) {
        let refused = self.run(statements).await.expect_err(statements).to_string();
        assert!(refused.contains("no stamp: "), "{statements}: {refused}");
    }

    async fn takes(&self, statements: &str) {
        self.run(statements).await.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }
}

async fn entry(admin: &Session, doctor: i64) -> i64 {
    admin.post("/api/waitlist", waiting(doctor, admin.new_patient().await)).await.expect(201).id()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_calendar_without_a_stamp_is_refused() {
    let clinic = Clinic::new().await;
    let later = "during = '[2031-03-05 11:00Z, 2031-03-05 11:30Z)'";
    let held = "waitlist_entry_id = :entry, held_until = now() + interval '1 hour'";
    for set in [later, "status = 'CANCELLED'", "status = 'NO_SHOW'", held] {
        // Without a new version; with a new version and an old stamp; with a stamp that no version has.
        clinic.refuses(&change(set, STAMP)).await;
        clinic.refuses(&format!("{CALENDAR} {}", change(set, "calendar_version"))).await;
        clinic.refuses(&format!("{CALENDAR} {}", change(set, &format!("{STAMP} + 1")))).await;
    }
    clinic.refuses(&booking(STAMP)).await;
    clinic.refuses(&format!("{CALENDAR} {}", booking(&format!("{STAMP} - 1")))).await;
    clinic.refuses(&format!("{CALENDAR} {}", booking(&format!("{STAMP} + 1")))).await;
    // A deleted row has no stamp, so the calendar must be read in full.
    let delete = "DELETE FROM appointments WHERE id = :appointment;";
    clinic.refuses(delete).await;
    clinic.refuses(&format!("{CALENDAR} {delete}")).await;
    let give_away = "UPDATE calendar_versions SET version = 9 WHERE doctor_id = :other;
                     UPDATE appointments SET doctor_id = :other, calendar_version = 9 WHERE id = :appointment;";
    clinic.refuses(give_away).await;
    clinic.refuses(&format!("{CALENDAR} {give_away}")).await;
    clinic.takes(&format!("{RULES} {give_away}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_doctors_rules_without_a_stamp_is_refused() {
    let clinic = Clinic::new().await;
    let doctor = |set| format!("UPDATE doctors SET {set} WHERE id = :doctor;");
    let changes = [
        doctor("slot_minutes = 20"),
        doctor("buffer_before_minutes = 5"),
        doctor("buffer_after_minutes = 5"),
        doctor("max_appointments_per_day = 3"),
        doctor("min_notice_minutes = 60"),
        doctor("max_horizon_days = 90"),
        doctor("time_zone = 'Europe/Berlin'"),
        doctor("is_active = false"),
        doctor("deleted_at = now()"),
        "INSERT INTO working_hours VALUES (:clinic, :doctor, '2031-01-01', '[]');".to_owned(),
        "UPDATE working_hours SET windows = NULL WHERE doctor_id = :doctor;".to_owned(),
        "DELETE FROM working_hours WHERE doctor_id = :doctor;".to_owned(),
        "INSERT INTO time_off (clinic_id, doctor_id, during, created_by)
         VALUES (:clinic, :doctor, '[2031-04-01 00:00Z, 2031-04-02 00:00Z)', :account);"
            .to_owned(),
        "DELETE FROM time_off WHERE doctor_id = :doctor;".to_owned(),
    ];
    for change in changes {
        clinic.refuses(&change).await;
        clinic.refuses(&format!("{CALENDAR} {change}")).await;
        clinic.refuses(&format!("{WHOLE} {change}")).await;
        clinic.takes(&format!("{change} {RULES}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_clinics_rules_without_a_stamp_is_refused() {
    let clinic = Clinic::new().await;
    for change in [
        "INSERT INTO clinic_closures (clinic_id, first_day, last_day, created_by)
         VALUES (:clinic, '2031-12-24', '2031-12-26', :account);",
        "UPDATE clinic_closures SET last_day = '2031-12-27';",
        "DELETE FROM clinic_closures;",
        "UPDATE clinics SET time_zone = 'Asia/Tokyo';",
    ] {
        clinic.refuses(change).await;
        clinic.refuses(&format!("{RULES} {change}")).await;
        clinic.takes(&format!("{change} {WHOLE}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_never_decreases() {
    let clinic = Clinic::new().await;
    clinic.refuses("UPDATE calendar_versions SET version = version - 1 WHERE doctor_id = :doctor;").await;
    clinic.refuses("UPDATE calendar_versions SET rules_version = version + 1 WHERE doctor_id = :doctor;").await;
    clinic.refuses("UPDATE clinic_versions SET version = version WHERE clinic_id = :clinic;").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_calendar_with_a_stamp_passes() {
    let clinic = Clinic::new().await;
    clinic.takes(&format!("{CALENDAR} {}", booking(STAMP))).await;
    clinic.takes(&format!("{CALENDAR} {}", change("status = 'CANCELLED'", STAMP))).await;
    // The first stamp of a transaction that increased the version twice.
    clinic.takes(&format!("{CALENDAR} {} {CALENDAR}", change("status = 'SCHEDULED'", STAMP))).await;
    clinic.takes(&format!("{RULES} DELETE FROM appointments WHERE id = :appointment;")).await;
    // A doctor who is inserted together with an appointment.
    let enters = "WITH entered AS (
            INSERT INTO doctors (clinic_id, first_name, last_name, specialization, license_number, email)
            VALUES (:clinic, 'New', 'Here', 'Cardiology', 'N-1', 'new@example.com') RETURNING clinic_id, id
        ) INSERT INTO working_hours SELECT clinic_id, id, '2031-01-01', '[]' FROM entered;
        INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, created_by, calendar_version)
        SELECT :clinic, gen_random_uuid(), max(id), :patient, '[2031-03-05 17:00Z, 2031-03-05 17:30Z)', :account, 1
        FROM doctors;";
    clinic.takes(enters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_outside_the_calendar_needs_no_stamp() {
    let clinic = Clinic::new().await;
    clinic.takes("UPDATE appointments SET status = 'CONFIRMED', reason = 'pain' WHERE id = :appointment;").await;
    clinic.takes("UPDATE doctors SET last_name = 'Other', version = version + 1 WHERE id = :doctor;").await;
    clinic.takes("UPDATE clinics SET name = 'Other', version = version + 1;").await;
    // An expired hold: copies know when it ends.
    let ended = "status = 'SCHEDULED', waitlist_entry_id = :entry, held_until = now() - interval '1 second'";
    clinic.takes(&format!("{CALENDAR} {}", change(ended, STAMP))).await;
    clinic.takes("UPDATE appointments SET status = 'CANCELLED' WHERE id = :appointment;").await;
    clinic.refuses("UPDATE appointments SET status = 'SCHEDULED', held_until = NULL WHERE id = :appointment;").await;
}

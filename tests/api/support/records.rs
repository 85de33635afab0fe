//! Rows that tests start with.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::{PASSWORD, Session};

/// Returns a number that no other row of this test program has.
pub fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Creates a clinic at a node and returns its administrator. `name` is used for the e-mail address.
pub async fn founder(address: SocketAddr, name: &str) -> Session {
    let body = json!({
        "email": format!("{name}@example.com"),
        "password": PASSWORD,
        "clinic_name": format!("{name}'s clinic"),
    });
    let registered = Session::anonymous(address).post("/api/auth/register", body).await.expect(201);
    Session::of(address, &registered.body)
}

/// Returns the body of a patient.
pub fn patient() -> Value {
    let n = unique();
    json!({ "first_name": "Maya", "last_name": "Okafor", "email": format!("maya.{n}@example.com"), "gender": "F" })
}

/// Returns the body of a doctor.
pub fn doctor() -> Value {
    let n = unique();
    json!({
        "first_name": "Elena",
        "last_name": "Marsh",
        "specialization": "Cardiology",
        "license_number": format!("MD-{n}"),
        "email": format!("elena.{n}@example.com"),
    })
}

/// Returns the body of a booking at this time of a day far in the future.
pub fn booking(doctor: i64, patient: i64, time: &str) -> Value {
    json!({ "doctor": doctor, "patient": patient, "appointment_datetime": format!("2031-03-05T{time}:00Z") })
}

/// Returns the body of a move to this time of the same day.
pub fn moved(time: &str) -> Value {
    json!({ "appointment_datetime": format!("2031-03-05T{time}:00Z") })
}

/// Returns the body of a waitlist entry for any time of the same day with this doctor.
pub fn waiting(doctor: i64, patient: i64) -> Value {
    json!({ "doctor": doctor, "patient": patient, "first_day": "2031-03-05", "last_day": "2031-03-05" })
}

impl Session {
    /// Creates a patient and returns the id.
    pub async fn new_patient(&self) -> i64 {
        self.post("/api/patients", patient()).await.expect(201).id()
    }

    /// Creates a doctor and returns the id.
    pub async fn new_doctor(&self) -> i64 {
        self.post("/api/doctors", doctor()).await.expect(201).id()
    }

    /// Creates a doctor linked to this user, and returns the id.
    pub async fn new_doctor_login(&self, user: i64) -> i64 {
        let mut body = doctor();
        body["user"] = user.into();
        self.post("/api/doctors", body).await.expect(201).id()
    }

    /// Assigns a doctor to a patient and returns the mapping's id.
    pub async fn new_mapping(&self, patient: i64, doctor: i64) -> i64 {
        let body = json!({ "patient": patient, "doctor": doctor });
        self.post("/api/mappings", body).await.expect(201).id()
    }

    /// Books and returns the appointment's id.
    pub async fn new_appointment(&self, doctor: i64, patient: i64, time: &str) -> i64 {
        self.post("/api/appointments", booking(doctor, patient, time)).await.expect(201).id()
    }
}

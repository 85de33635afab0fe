//! Every operation of the contract, and how to call it with the ids of a clinic's rows.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Session, TestApp, doctor, patient};

/// How to call an operation with the ids of a clinic's rows.
pub struct Call {
    pub operation: &'static str,
    pub method: Method,
    pub path: &'static str,
    pub body: fn(&Rows) -> Option<Value>,
    /// The answer to another clinic's administrator.
    pub to_strangers: Strangers,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strangers {
    /// The answer for an id that does not exist.
    NoSuchRow,
    /// The error of a body with an id that does not exist.
    NoSuchField,
    /// The operation concerns only the caller's own clinic.
    OwnOnly,
    /// The operation is open to everybody or concerns only the caller. It involves no row of a clinic.
    NotOfAClinic,
}
use Strangers::{NoSuchField, NoSuchRow, NotOfAClinic, OwnOnly};

/// The ids of one clinic's rows.
#[derive(Clone, Copy)]
pub struct Rows {
    pub user: i64,
    pub invitation: i64,
    pub patient: i64,
    pub doctor: i64,
    pub mapping: i64,
    pub appointment: i64,
    pub time_off: i64,
    pub closure: i64,
    pub series: i64,
    pub entry: i64,
}

/// Ids that do not exist.
pub const NOWHERE: Rows = Rows {
    user: 900_001,
    invitation: 900_002,
    patient: 900_003,
    doctor: 900_004,
    mapping: 900_005,
    appointment: 900_006,
    time_off: 900_007,
    closure: 900_008,
    series: 900_009,
    entry: 900_010,
};

fn none(_: &Rows) -> Option<Value> {
    None
}

fn new_user() -> Value {
    let email = format!("user.{}@example.com", crate::support::unique());
    json!({ "email": email, "password": PASSWORD, "role": "staff" })
}

fn call(
    operation: &'static str,
    method: Method,
    path: &'static str,
    body: fn(&Rows) -> Option<Value>,
    to_strangers: Strangers,
) -> Call {
    Call { operation, method, path, body, to_strangers }
}

/// Returns one row for each operation of the contract.
pub fn table() -> Vec<Call> {
    use Method as M;
    let refresh = |_: &Rows| Some(json!({ "refresh": "unknown" }));
    let login = |_: &Rows| Some(json!({ "email": "nobody@example.com", "password": PASSWORD }));
    let mut table = vec![
        call("register", M::POST, "/api/auth/register", |_| Some(json!({ "email": "x" })), NotOfAClinic),
        call("login", M::POST, "/api/auth/login", login, NotOfAClinic),
        call("createToken", M::POST, "/api/token", login, NotOfAClinic),
        call("refreshToken", M::POST, "/api/auth/token/refresh", refresh, NotOfAClinic),
        call("renewToken", M::POST, "/api/token/refresh", refresh, NotOfAClinic),
        call("logout", M::POST, "/api/auth/logout", refresh, NotOfAClinic),
        call("getMe", M::GET, "/api/auth/me", none, NotOfAClinic),
        call("updateMe", M::PATCH, "/api/auth/me", |_| Some(json!({})), NotOfAClinic),
        call("switchClinic", M::POST, "/api/auth/switch", |_| Some(json!({ "clinic": 900_000 })), NotOfAClinic),
        call("listPermissions", M::GET, "/api/auth/permissions", none, NotOfAClinic),
        call("getHealth", M::GET, "/healthz", none, NotOfAClinic),
        call("getReadiness", M::GET, "/readyz", none, NotOfAClinic),
        call("getClinic", M::GET, "/api/clinic", none, OwnOnly),
        call("updateClinic", M::PATCH, "/api/clinic", |_| Some(json!({ "name": "Mine" })), OwnOnly),
        call("listUsers", M::GET, "/api/users", none, OwnOnly),
        call("createUser", M::POST, "/api/users", |_| Some(new_user()), OwnOnly),
        call("getUser", M::GET, "/api/users/{user}", none, NoSuchRow),
        call("updateUser", M::PATCH, "/api/users/{user}", |_| Some(json!({ "is_active": false })), NoSuchRow),
        call("deleteUser", M::DELETE, "/api/users/{user}", none, NoSuchRow),
        call("listInvitations", M::GET, "/api/invitations", none, OwnOnly),
        call("createInvitation", M::POST, "/api/invitations", |_| Some(json!({ "role": "staff" })), OwnOnly),
        call("deleteInvitation", M::DELETE, "/api/invitations/{invitation}", none, NoSuchRow),
        call("listPatients", M::GET, "/api/patients", none, OwnOnly),
        call("createPatient", M::POST, "/api/patients", |_| Some(patient()), OwnOnly),
        call("getPatient", M::GET, "/api/patients/{patient}", none, NoSuchRow),
        call("replacePatient", M::PUT, "/api/patients/{patient}", |_| Some(patient()), NoSuchRow),
        call("updatePatient", M::PATCH, "/api/patients/{patient}", |_| Some(json!({ "first_name": "X" })), NoSuchRow),
        call("deletePatient", M::DELETE, "/api/patients/{patient}?cancel_appointments=true", none, NoSuchRow),
        call(
            "transferPatient",
            M::POST,
            "/api/patients/{patient}/transfer",
            |rows| Some(json!({ "user": rows.user })),
            NoSuchRow,
        ),
        call("listPatientDoctors", M::GET, "/api/patients/{patient}/doctors", none, NoSuchRow),
        call("listPatientAppointments", M::GET, "/api/patients/{patient}/appointments", none, NoSuchRow),
        call("listDoctors", M::GET, "/api/doctors", none, OwnOnly),
        call("createDoctor", M::POST, "/api/doctors", |_| Some(doctor()), OwnOnly),
        call("getDoctor", M::GET, "/api/doctors/{doctor}", none, NoSuchRow),
        call("replaceDoctor", M::PUT, "/api/doctors/{doctor}", |_| Some(doctor()), NoSuchRow),
        call("updateDoctor", M::PATCH, "/api/doctors/{doctor}", |_| Some(json!({ "is_active": false })), NoSuchRow),
        call("deleteDoctor", M::DELETE, "/api/doctors/{doctor}?cancel_appointments=true", none, NoSuchRow),
        call("listDoctorPatients", M::GET, "/api/doctors/{doctor}/patients", none, NoSuchRow),
        call("listMappings", M::GET, "/api/mappings", none, OwnOnly),
        call(
            "createMapping",
            M::POST,
            "/api/mappings",
            |rows| Some(json!({ "patient": rows.patient, "doctor": rows.doctor })),
            NoSuchField,
        ),
        call("getMapping", M::GET, "/api/mappings/{mapping}", none, NoSuchRow),
        call("updateMapping", M::PATCH, "/api/mappings/{mapping}", |_| Some(json!({ "notes": "X" })), NoSuchRow),
        call("deleteMapping", M::DELETE, "/api/mappings/{mapping}", none, NoSuchRow),
        call("getMappingsByPatient", M::GET, "/api/mappings/by-patient/{patient}", none, NoSuchRow),
        call("getMappingsOfPatient", M::GET, "/api/mappings/patient/{patient}", none, NoSuchRow),
        call("listAppointments", M::GET, "/api/appointments", none, OwnOnly),
        call(
            "createAppointment",
            M::POST,
            "/api/appointments",
            |rows| Some(crate::support::booking(rows.doctor, rows.patient, "15:00")),
            NoSuchField,
        ),
        call("getAppointment", M::GET, "/api/appointments/{appointment}", none, NoSuchRow),
        call(
            "updateAppointment",
            M::PATCH,
            "/api/appointments/{appointment}",
            |_| Some(json!({ "status": "CONFIRMED", "reason": "X" })),
            NoSuchRow,
        ),
        call("cancelAppointment", M::DELETE, "/api/appointments/{appointment}", none, NoSuchRow),
    ];
    table.extend(scheduling_table());
    table
}

/// Returns the rows of schedules, appointment steps, series and the waitlist.
fn scheduling_table() -> Vec<Call> {
    use Method as M;
    let moved = |_: &Rows| Some(json!({ "appointment_datetime": "2031-03-06T10:00:00Z" }));
    let away = |_: &Rows| Some(json!({ "starts_at": "2032-01-01T00:00:00Z", "ends_at": "2032-01-02T00:00:00Z" }));
    let day = |_: &Rows| Some(json!({ "first_day": "2032-01-01" }));
    let hours = |_: &Rows| Some(json!({ "windows": null }));
    let slots = "/api/doctors/{doctor}/slots?from=2031-03-05T00:00:00Z&to=2031-03-05T01:00:00Z";
    let step = |operation, path| call(operation, M::POST, path, none, NoSuchRow);
    vec![
        call("getWorkingHours", M::GET, "/api/doctors/{doctor}/working-hours", none, NoSuchRow),
        call("setWorkingHours", M::PUT, "/api/doctors/{doctor}/working-hours", hours, NoSuchRow),
        call("listTimeOff", M::GET, "/api/doctors/{doctor}/time-off", none, NoSuchRow),
        call("createTimeOff", M::POST, "/api/doctors/{doctor}/time-off", away, NoSuchRow),
        call("deleteTimeOff", M::DELETE, "/api/doctors/{doctor}/time-off/{time_off}", none, NoSuchRow),
        call("getScheduling", M::GET, "/api/doctors/{doctor}/scheduling", none, NoSuchRow),
        call("updateScheduling", M::PATCH, "/api/doctors/{doctor}/scheduling", |_| Some(json!({})), NoSuchRow),
        call("listDoctorSlots", M::GET, slots, none, NoSuchRow),
        call(
            "explainDoctorSlot",
            M::GET,
            "/api/doctors/{doctor}/slots/explain?at=2031-03-05T00:00:00Z",
            none,
            NoSuchRow,
        ),
        call("listSlots", M::GET, "/api/slots", none, OwnOnly),
        call("listClosures", M::GET, "/api/clinic/closures", none, OwnOnly),
        call("createClosure", M::POST, "/api/clinic/closures", day, OwnOnly),
        call("deleteClosure", M::DELETE, "/api/clinic/closures/{closure}", none, NoSuchRow),
        call(
            "checkBooking",
            M::POST,
            "/api/appointments/check",
            |rows| Some(crate::support::booking(rows.doctor, rows.patient, "15:00")),
            OwnOnly,
        ),
        step("confirmAppointment", "/api/appointments/{appointment}/confirm"),
        step("checkInAppointment", "/api/appointments/{appointment}/check-in"),
        step("completeAppointment", "/api/appointments/{appointment}/complete"),
        step("markAppointmentNoShow", "/api/appointments/{appointment}/no-show"),
        step("callOffAppointment", "/api/appointments/{appointment}/cancel?scope=this_and_following"),
        call("rescheduleAppointment", M::POST, "/api/appointments/{appointment}/reschedule", moved, NoSuchRow),
        call("listAppointmentHistory", M::GET, "/api/appointments/{appointment}/history", none, NoSuchRow),
        call(
            "createAppointmentSeries",
            M::POST,
            "/api/appointment-series",
            |rows| {
                let mut body = crate::support::booking(rows.doctor, rows.patient, "16:00");
                body["rrule"] = "FREQ=DAILY;COUNT=2".into();
                Some(body)
            },
            NoSuchField,
        ),
        call("getAppointmentSeries", M::GET, "/api/appointment-series/{series}", none, NoSuchRow),
        call("listWaitlist", M::GET, "/api/waitlist", none, OwnOnly),
        call(
            "createWaitlistEntry",
            M::POST,
            "/api/waitlist",
            |rows| Some(crate::support::waiting(rows.doctor, rows.patient)),
            NoSuchField,
        ),
        call("getWaitlistEntry", M::GET, "/api/waitlist/{entry}", none, NoSuchRow),
        step("acceptWaitlistOffer", "/api/waitlist/{entry}/accept"),
        call("deleteWaitlistEntry", M::DELETE, "/api/waitlist/{entry}", none, NoSuchRow),
    ]
}

impl Call {
    pub async fn by(&self, session: &Session, rows: &Rows) -> Answer {
        let path = self
            .path
            .replace("{user}", &rows.user.to_string())
            .replace("{invitation}", &rows.invitation.to_string())
            .replace("{patient}", &rows.patient.to_string())
            .replace("{doctor}", &rows.doctor.to_string())
            .replace("{mapping}", &rows.mapping.to_string())
            .replace("{appointment}", &rows.appointment.to_string())
            .replace("{time_off}", &rows.time_off.to_string())
            .replace("{closure}", &rows.closure.to_string())
            .replace("{series}", &rows.series.to_string())
            .replace("{entry}", &rows.entry.to_string());
        session.send(self.method.clone(), &path, (self.body)(rows), &[]).await
    }
}

/// Creates one row of each kind as an administrator, and returns their ids.
pub async fn rows(app: &TestApp, admin: &Session) -> Rows {
    let user = app.user(admin, "sam", "staff").await.id;
    let (patient, doctor) = (admin.new_patient().await, admin.new_doctor().await);
    let away = json!({ "starts_at": "2031-04-01T00:00:00Z", "ends_at": "2031-04-02T00:00:00Z" });
    let time_off = admin.post(&format!("/api/doctors/{doctor}/time-off"), away).await.expect(201).id();
    let mut series = crate::support::booking(doctor, patient, "12:00");
    series["rrule"] = "FREQ=DAILY;COUNT=2".into();
    Rows {
        user,
        time_off,
        closure: admin.post("/api/clinic/closures", json!({ "first_day": "2031-04-03" })).await.expect(201).id(),
        series: admin.post("/api/appointment-series", series).await.expect(201).id(),
        entry: admin.post("/api/waitlist", crate::support::waiting(doctor, patient)).await.expect(201).id(),
        invitation: admin.post("/api/invitations", json!({ "role": "staff" })).await.expect(201).id(),
        patient,
        doctor,
        mapping: admin.new_mapping(patient, doctor).await,
        appointment: admin.new_appointment(doctor, patient, "10:00").await,
    }
}

//! The main job with the generated client: register, a doctor, a patient, a mapping, a booking, the same booking again,
//! and one of the alternative times. `CLINICD_URL` is the server's URL.

use std::num::NonZeroU64;

use chrono::{TimeZone, Utc};
use clinicd_client::{Client, Error, types};
use futures_util::TryStreamExt;

/// Converts a row's id for an input: by the contract it is at least 1.
fn id(of_row: i64) -> NonZeroU64 {
    u64::try_from(of_row).ok().and_then(NonZeroU64::new).expect("an id")
}

#[tokio::test]
async fn the_main_job() {
    let url = std::env::var("CLINICD_URL").expect("CLINICD_URL");
    let anonymous = Client::new(&url);
    let email = format!("rs.{}@clients.example", Utc::now().timestamp_micros());
    let body = types::RegisterInput::builder().email(email.as_str()).password("seven quiet lanterns").clinic_name(Some("Rusty".parse().unwrap()));
    let tokens = anonymous.register().body(body).send().await.expect("tokens").into_inner();

    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {}", tokens.access).parse().expect("a header"));
    let http = reqwest::Client::builder().default_headers(headers).build().expect("a client");
    let client = Client::new_with_client(&url, http);

    let body = types::DoctorInput::builder()
        .first_name("Elena")
        .last_name("Marsh")
        .specialization("Cardiology")
        .license_number("RS-1")
        .email("elena@clients.example");
    let doctor = client.create_doctor().body(body).send().await.expect("a doctor").into_inner();
    let body = types::PatientInput::builder().first_name("Maya").last_name("Okafor");
    let patient = client.create_patient().body(body).send().await.expect("a patient").into_inner();
    let (doctor, patient) = (id(doctor.id), id(patient.id));
    let body = types::MappingInput::builder().doctor(doctor).patient(patient);
    client.create_mapping().body(body).send().await.expect("a mapping");

    let wish = |at: chrono::DateTime<Utc>| {
        types::AppointmentInput::builder().doctor(doctor).patient(patient).appointment_datetime(at).duration_minutes(Some(30))
    };
    let at = Utc.with_ymd_and_hms(2031, 3, 5, 10, 0, 0).unwrap();
    let booked = client.create_appointment().idempotency_key(email.as_str()).body(wish(at)).send().await;
    let appointment = booked.expect("an appointment").into_inner();
    assert_eq!(appointment.status, types::AppointmentStatus::Scheduled);

    let refused = client.create_appointment().body(wish(at)).send().await;
    let Err(Error::ErrorResponse(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.status(), 409);
    // The generator decodes bodies of application/json, but not of application/problem+json.
    let body: Vec<_> = refused.into_inner_stream().try_collect().await.expect("a body");
    let problem: types::Problem = serde_json::from_slice(&body.concat()).expect("a problem");
    assert_eq!(problem.type_, "/problems/slot-taken");
    let next = &problem.next_slots;
    assert_eq!(next.len(), 3);
    let second = client.create_appointment().body(wish(next[0].start)).send().await.expect("the next time").into_inner();
    assert_eq!(second.appointment_datetime, next[0].start);

    client.cancel_appointment().id(appointment.id).send().await.expect("a cancellation");
    let listed = client.list_appointments().status(types::AppointmentStatus::Cancelled).send().await.expect("a list");
    assert_eq!(listed.into_inner().iter().map(|row| row.id).collect::<Vec<_>>(), [appointment.id]);
}

//! Booking and changing appointments.

use serde_json::json;

use crate::support::{TestApp, booking};

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_goes_through_every_layer() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);

    let booked = admin.post("/api/appointments", booking(doctor, patient, "10:00")).await.expect(201);
    assert_eq!(booked.header("location"), format!("/api/appointments/{}", booked.id()));
    assert_eq!(booked.header("etag"), "\"1\"");
    assert_eq!(booked.body["ends_at"], json!("2031-03-05T10:30:00+00:00"));

    let read = admin.get(&format!("/api/appointments/{}", booked.id())).await.expect(200);
    assert_eq!(read.body, booked.body);
}

//! The kinds of problems. Clients distinguish them by name, and each has its own page.

use poem::http::StatusCode;

use crate::domain::calendar::Violation;
use crate::domain::fields::NON_FIELD;

/// A kind of problem: its name, status and title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The name at the end of `type`.
    pub name: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// A short description that is the same for each occurrence.
    pub title: &'static str,
    /// What the client can do.
    pub advice: &'static str,
}

macro_rules! kinds {
    ($($constant:ident = $name:literal, $status:ident, $title:literal, $advice:literal;)*) => {
        $(
            #[doc = $title]
            pub const $constant: &Kind = &Kind {
                name: $name,
                status: StatusCode::$status,
                title: $title,
                advice: $advice,
            };
        )*

        /// Every kind of problem.
        pub const KINDS: &[&Kind] = &[$($constant),*];
    };
}

kinds! {
    MALFORMED = "malformed", BAD_REQUEST, "The request cannot be read",
        "Send a body that is JSON in UTF-8, nested at most 64 deep, with numbers that a double can hold.";
    UNAUTHENTICATED = "unauthenticated", UNAUTHORIZED, "The request has no valid access token",
        "Send `Authorization: Bearer` with an access token that has not expired; log in or refresh to get one.";
    FORBIDDEN = "forbidden", FORBIDDEN, "The role may not do this",
        "GET /api/auth/permissions lists what the token's role may do.";
    NOT_FOUND = "not-found", NOT_FOUND, "Not found",
        "Check the id and the path. Rows that the caller may not see are also answered with 404.";
    METHOD_NOT_ALLOWED = "method-not-allowed", METHOD_NOT_ALLOWED, "The path does not support this method",
        "The contract at /openapi.json lists each path with its methods.";
    NOT_ACCEPTABLE = "not-acceptable", NOT_ACCEPTABLE, "The server cannot produce the requested format",
        "Send `Accept: application/json`, `*/*`, or none.";
    TIMEOUT = "timeout", REQUEST_TIMEOUT, "The request took too long to arrive",
        "Send the whole body within ten seconds.";
    TAKEN = "taken", CONFLICT, "Another row already has this value",
        "`errors` names the field; choose another value, or change the row that has it.";
    SLOT_TAKEN = "slot-taken", CONFLICT, "The doctor has another appointment at this time",
        "`conflicts` lists the overlapping times, and `next_slots` the next bookable slots.";
    PATIENT_BUSY = "patient-busy", CONFLICT, "The patient has another appointment at this time",
        "`conflicts` lists the overlapping times, and `next_slots` the next bookable slots.";
    DOCTOR_INACTIVE = "doctor-inactive", CONFLICT, "The doctor is not active",
        "Choose another doctor, or set this doctor's `is_active` to true.";
    CLINIC_CLOSED = "clinic-closed", CONFLICT, "The clinic is closed on this day",
        "`next_slots` lists the next bookable slots; GET /api/clinic/closures lists the closed days.";
    TIME_OFF = "time-off", CONFLICT, "The doctor has time off at this time",
        "`next_slots` lists the next bookable slots.";
    OUTSIDE_HOURS = "outside-working-hours", CONFLICT, "The doctor does not work at this time",
        "`next_slots` lists the next bookable slots; GET /api/doctors/{id}/working-hours returns the doctor's hours.";
    TOO_CLOSE = "too-close", CONFLICT, "The time is inside the buffer of another appointment",
        "`conflicts` lists those appointments, and `next_slots` the next bookable slots.";
    DAY_FULL = "day-full", CONFLICT, "The doctor has no capacity left on this day",
        "`next_slots` lists the next bookable slots.";
    SERIES_CONFLICT = "series-conflict", CONFLICT, "Some times of the series cannot be booked",
        "`occurrences` lists them with the rules that they break. Change the rule, or send `skip_conflicts`: true.";
    NO_OFFER = "no-offer", CONFLICT, "The entry has no offer",
        "An offer expires after a limited time. The entry keeps waiting for the next one, unless it is withdrawn.";
    OFFER_ACCEPTED = "offer-accepted", CONFLICT, "The offer has already been accepted",
        "Cancel the appointment instead.";
    NOT_IN_SERIES = "not-in-series", CONFLICT, "The appointment is not part of a series",
        "Leave out `scope` to cancel this appointment only.";
    KEY_IN_USE = "idempotency-key-in-use", CONFLICT, "A request with this key is in progress",
        "Send it again in a moment. It then gets the first request's response.";
    INVALID_TRANSITION = "invalid-transition", CONFLICT, "The status does not allow this change",
        "`detail` lists the allowed next statuses.";
    HAS_FUTURE_APPOINTMENTS = "has-future-appointments", CONFLICT, "There are upcoming appointments",
        "Cancel them first, or send `cancel_appointments=true` to cancel them in the same transaction.";
    LAST_ADMINISTRATOR = "last-administrator", CONFLICT, "The clinic needs an administrator",
        "Make another active user an administrator first.";
    ALREADY_ACCEPTED = "already-accepted", CONFLICT, "The invitation has already been accepted",
        "Update or remove the user instead.";
    STALE = "stale", PRECONDITION_FAILED, "The row has changed",
        "Read the row again, and repeat the change with the new ETag in `If-Match`.";
    TOO_LARGE = "too-large", PAYLOAD_TOO_LARGE, "The body is too large",
        "A body is at most 1 MiB.";
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body is not JSON",
        "Send `Content-Type: application/json`.";
    INVALID = "invalid", UNPROCESSABLE_ENTITY, "Some fields are invalid",
        "`errors` lists what is wrong, by field.";
    KEY_OF_ANOTHER = "idempotency-key-reused", UNPROCESSABLE_ENTITY, "The key was used for a different request",
        "Choose a new `Idempotency-Key` for each request. Reuse it only to send the same request again.";
    IN_THE_PAST = "in-the-past", UNPROCESSABLE_ENTITY, "The time is in the past",
        "Choose a time in the future. `next_slots` lists the next bookable slots.";
    TOO_SOON = "too-soon", UNPROCESSABLE_ENTITY, "The time is sooner than the doctor's minimum notice",
        "`next_slots` lists the next bookable slots.";
    TOO_FAR = "too-far", UNPROCESSABLE_ENTITY, "The time is beyond the doctor's booking horizon",
        "`next_slots` lists the next bookable slots.";
    INTERNAL = "internal", INTERNAL_SERVER_ERROR, "Internal error",
        "Report the request id in `instance`. The server's log has it.";
    UNAVAILABLE = "unavailable", SERVICE_UNAVAILABLE, "The service is temporarily unavailable; nothing was done",
        "Try again after `Retry-After` seconds.";
    OUTCOME_UNKNOWN = "outcome-unknown", SERVICE_UNAVAILABLE, "The outcome is unknown",
        "The change may or may not have been made. Read the data before you try again.";
}

/// How a broken rule is reported.
pub struct Told {
    /// The kind of the problem, if this rule is the first broken one.
    pub kind: &'static Kind,
    /// The field of the booking.
    pub field: &'static str,
    /// The message.
    pub detail: &'static str,
}

/// Returns how a broken rule is reported.
pub fn told(violation: Violation) -> Told {
    let (kind, field, detail) = match violation {
        Violation::InThePast => (IN_THE_PAST, "appointment_datetime", "The appointment must start in the future."),
        Violation::TooSoon => (
            TOO_SOON,
            "appointment_datetime",
            "The appointment starts sooner than this doctor's minimum notice allows.",
        ),
        Violation::TooFar => {
            (TOO_FAR, "appointment_datetime", "The appointment is beyond this doctor's booking horizon.")
        }
        Violation::DoctorInactive => (DOCTOR_INACTIVE, "doctor", "This doctor is not active."),
        Violation::ClinicClosed => (CLINIC_CLOSED, "appointment_datetime", "The clinic is closed on this day."),
        Violation::TimeOff => (TIME_OFF, "appointment_datetime", "Doctor has time off at this time."),
        Violation::OutsideHours => {
            (OUTSIDE_HOURS, "appointment_datetime", "The appointment is outside the doctor's working hours.")
        }
        Violation::SlotTaken => (SLOT_TAKEN, NON_FIELD, "Doctor already has an appointment at this time."),
        Violation::TooClose => {
            (TOO_CLOSE, NON_FIELD, "The appointment is inside the buffer of the previous or next one.")
        }
        Violation::DayFull => (DAY_FULL, NON_FIELD, "Doctor has no capacity left on this day."),
        Violation::PatientBusy => (PATIENT_BUSY, NON_FIELD, "Patient already has an appointment at this time."),
        Violation::NoSuchDoctor => (INVALID, "doctor", "There is no such doctor."),
        Violation::NoSuchPatient => (INVALID, "patient", "There is no such patient."),
    };
    Told { kind, field, detail }
}

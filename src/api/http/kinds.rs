//! The kinds of problems: each has a page of its own, and a name that clients go by.

use poem::http::StatusCode;

use crate::domain::{calendar::Violation, fields::NON_FIELD};

/// A kind of problem: its name, status and title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The name at the end of `type`.
    pub name: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// What it is, in words that do not depend on the occurrence.
    pub title: &'static str,
    /// What a client can do about it.
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
    UNAUTHENTICATED = "unauthenticated", UNAUTHORIZED, "Who is calling is not known",
        "Send `Authorization: Bearer` with an access token that has not expired; log in or refresh to get one.";
    FORBIDDEN = "forbidden", FORBIDDEN, "The role may not do this",
        "GET /api/auth/permissions lists what the token's role may do.";
    NOT_FOUND = "not-found", NOT_FOUND, "There is nothing here",
        "Check the id and the path; rows that the caller may not know of are answered like this too.";
    METHOD_NOT_ALLOWED = "method-not-allowed", METHOD_NOT_ALLOWED, "This path does not know the method",
        "The contract at /openapi.json lists each path with its methods.";
    NOT_ACCEPTABLE = "not-acceptable", NOT_ACCEPTABLE, "The answer cannot be had in that form",
        "Send `Accept: application/json`, `*/*`, or none.";
    TIMEOUT = "timeout", REQUEST_TIMEOUT, "The request took too long to arrive",
        "Send the whole body within ten seconds.";
    TAKEN = "taken", CONFLICT, "Something else has this value already",
        "`errors` names the field; choose another value, or change the row that has it.";
    SLOT_TAKEN = "slot-taken", CONFLICT, "The doctor is busy at this time",
        "`conflicts` lists the times in the way and `next_slots` the next times that can be booked.";
    PATIENT_BUSY = "patient-busy", CONFLICT, "The patient has another appointment at this time",
        "`conflicts` lists the times in the way and `next_slots` the next times that can be booked.";
    DOCTOR_INACTIVE = "doctor-inactive", CONFLICT, "The doctor takes no bookings",
        "Choose another doctor, or set `is_active` of this one.";
    CLINIC_CLOSED = "clinic-closed", CONFLICT, "The clinic is closed on this day",
        "`next_slots` lists the next times that can be booked; GET /api/clinic/closures lists the closed days.";
    TIME_OFF = "time-off", CONFLICT, "The doctor is away at this time",
        "`next_slots` lists the next times that can be booked.";
    OUTSIDE_HOURS = "outside-working-hours", CONFLICT, "The doctor does not work at this time",
        "`next_slots` lists the next times that can be booked; the doctor's working-hours say when they work.";
    TOO_CLOSE = "too-close", CONFLICT, "It is too close to another appointment of the doctor",
        "`conflicts` lists the appointments that are too near and `next_slots` the next times that can be booked.";
    DAY_FULL = "day-full", CONFLICT, "The doctor takes no more appointments on this day",
        "`next_slots` lists the next times that can be booked.";
    SERIES_CONFLICT = "series-conflict", CONFLICT, "Some times of the series cannot be booked",
        "`occurrences` lists them with the rules that they break; change the rule, or send `skip_conflicts`: true.";
    NO_OFFER = "no-offer", CONFLICT, "Nothing is held for this entry",
        "An offer is held for a limited time; the entry waits for the next, unless it is withdrawn.";
    OFFER_ACCEPTED = "offer-accepted", CONFLICT, "The entry has its appointment",
        "Cancel the appointment instead.";
    NOT_IN_SERIES = "not-in-series", CONFLICT, "The appointment belongs to no series",
        "Leave `scope` out to cancel this appointment alone.";
    KEY_IN_USE = "idempotency-key-in-use", CONFLICT, "The same request is under way",
        "Send it again in a moment: it is then answered by what it has brought about.";
    INVALID_TRANSITION = "invalid-transition", CONFLICT, "The appointment cannot take this step",
        "`detail` names the statuses that may follow the present one.";
    HAS_FUTURE_APPOINTMENTS = "has-future-appointments", CONFLICT, "There are appointments to come",
        "Cancel them, or send `cancel_appointments=true` to cancel them in the same step.";
    LAST_ADMINISTRATOR = "last-administrator", CONFLICT, "A clinic keeps an administrator",
        "Give another active user an administering role first.";
    ALREADY_ACCEPTED = "already-accepted", CONFLICT, "The invitation has been accepted",
        "Change or remove the user instead.";
    STALE = "stale", PRECONDITION_FAILED, "The row has been changed meanwhile",
        "Read it again and repeat the change with the new ETag in `If-Match`.";
    TOO_LARGE = "too-large", PAYLOAD_TOO_LARGE, "The body is too large",
        "A body is at most 1 MiB.";
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body is not of a kind that is read here",
        "Send `Content-Type: application/json`.";
    INVALID = "invalid", UNPROCESSABLE_ENTITY, "Some fields are not valid",
        "`errors` says what is wrong with which field.";
    KEY_OF_ANOTHER = "idempotency-key-reused", UNPROCESSABLE_ENTITY, "The key was used for another request",
        "Choose a new `Idempotency-Key` for each request, and keep it only to send the very same one again.";
    IN_THE_PAST = "in-the-past", UNPROCESSABLE_ENTITY, "The time has passed",
        "Choose a time in the future; `next_slots` offers some.";
    TOO_SOON = "too-soon", UNPROCESSABLE_ENTITY, "It is sooner than the doctor's notice allows",
        "`next_slots` offers times that are not.";
    TOO_FAR = "too-far", UNPROCESSABLE_ENTITY, "It is further ahead than the doctor can be booked",
        "`next_slots` offers times that are not.";
    INTERNAL = "internal", INTERNAL_SERVER_ERROR, "Something went wrong here",
        "Report the request id in `instance`; it is in the server's log.";
    UNAVAILABLE = "unavailable", SERVICE_UNAVAILABLE, "Not possible just now; nothing was done",
        "Try again after the seconds in `Retry-After`.";
    OUTCOME_UNKNOWN = "outcome-unknown", SERVICE_UNAVAILABLE, "The outcome is not known",
        "The change may have been made or not: read before you try again.";
}

/// How a broken rule is told.
pub struct Told {
    /// As which problem, where it is the first.
    pub kind: &'static Kind,
    /// By which field of the booking.
    pub field: &'static str,
    /// In which words.
    pub detail: &'static str,
}

/// How a broken rule is told.
pub fn told(violation: Violation) -> Told {
    let (kind, field, detail) = match violation {
        Violation::InThePast => (IN_THE_PAST, "appointment_datetime", "The appointment must start in the future."),
        Violation::TooSoon => {
            (TOO_SOON, "appointment_datetime", "The appointment starts sooner than this doctor's notice allows.")
        }
        Violation::TooFar => {
            (TOO_FAR, "appointment_datetime", "The appointment is further ahead than this doctor can be booked.")
        }
        Violation::DoctorInactive => (DOCTOR_INACTIVE, "doctor", "This doctor takes no bookings at present."),
        Violation::ClinicClosed => (CLINIC_CLOSED, "appointment_datetime", "The clinic is closed on this day."),
        Violation::TimeOff => (TIME_OFF, "appointment_datetime", "Doctor is away at this time."),
        Violation::OutsideHours => {
            (OUTSIDE_HOURS, "appointment_datetime", "The appointment is not within the doctor's working hours.")
        }
        Violation::SlotTaken => (SLOT_TAKEN, NON_FIELD, "Doctor already has an appointment at this time."),
        Violation::TooClose => {
            (TOO_CLOSE, NON_FIELD, "It leaves less than the doctor's buffer to the appointment before or after.")
        }
        Violation::DayFull => (DAY_FULL, NON_FIELD, "Doctor takes no more appointments on this day."),
        Violation::PatientBusy => (PATIENT_BUSY, NON_FIELD, "Patient already has an appointment at this time."),
        Violation::NoSuchDoctor => (INVALID, "doctor", "There is no such doctor."),
        Violation::NoSuchPatient => (INVALID, "patient", "There is no such patient."),
    };
    Told { kind, field, detail }
}

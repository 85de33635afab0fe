-- The appointments of an owner or of a doctor that match a filter are found by the index alone. Lists never show held ones.
DROP INDEX appointments_of_owner, appointments_of_doctor;
CREATE INDEX appointments_of_owner ON appointments (clinic_id, patient_owner, id DESC)
    INCLUDE (status, starts_at, ends_at, doctor_id) WHERE held_until IS NULL;
CREATE INDEX appointments_of_doctor ON appointments (clinic_id, doctor_id, id DESC)
    INCLUDE (status, starts_at, ends_at, patient_owner) WHERE held_until IS NULL;

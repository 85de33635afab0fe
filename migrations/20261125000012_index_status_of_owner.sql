-- An owner's appointments of a status are found by the index alone. What is held is in no list.
DROP INDEX appointments_of_owner;
CREATE INDEX appointments_of_owner ON appointments (clinic_id, patient_owner, id DESC) INCLUDE (status)
    WHERE held_until IS NULL;

-- Indexes for lists: each begins with what binds the list and ends with its order, but for days, which are sorted.

-- Whose patient it is, so that an owner's appointments and mappings are found without a look at every patient. The key
-- holds it true: a patient who gets another owner takes them along.
ALTER TABLE patients NO FORCE ROW LEVEL SECURITY;
ALTER TABLE appointments NO FORCE ROW LEVEL SECURITY;
ALTER TABLE mappings NO FORCE ROW LEVEL SECURITY;
ALTER TABLE patients ADD CONSTRAINT patients_owned UNIQUE (clinic_id, id, created_by);
ALTER TABLE appointments ADD COLUMN patient_owner bigint;
UPDATE appointments a SET patient_owner = p.created_by
FROM patients p
WHERE p.clinic_id = a.clinic_id AND p.id = a.patient_id;
ALTER TABLE appointments
    ALTER COLUMN patient_owner SET NOT NULL,
    DROP CONSTRAINT appointments_clinic_id_patient_id_fkey,
    ADD CONSTRAINT appointments_of_owned_patient
        FOREIGN KEY (clinic_id, patient_id, patient_owner) REFERENCES patients (clinic_id, id, created_by)
        ON UPDATE CASCADE;
ALTER TABLE mappings ADD COLUMN patient_owner bigint;
UPDATE mappings m SET patient_owner = p.created_by
FROM patients p
WHERE p.clinic_id = m.clinic_id AND p.id = m.patient_id;
ALTER TABLE mappings
    ALTER COLUMN patient_owner SET NOT NULL,
    DROP CONSTRAINT mappings_clinic_id_patient_id_fkey,
    ADD CONSTRAINT mappings_of_owned_patient
        FOREIGN KEY (clinic_id, patient_id, patient_owner) REFERENCES patients (clinic_id, id, created_by)
        ON UPDATE CASCADE;
ALTER TABLE patients FORCE ROW LEVEL SECURITY;
ALTER TABLE appointments FORCE ROW LEVEL SECURITY;
ALTER TABLE mappings FORCE ROW LEVEL SECURITY;

CREATE FUNCTION find_patient_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT p.created_by INTO NEW.patient_owner
    FROM patients p
    WHERE p.clinic_id = NEW.clinic_id AND p.id = NEW.patient_id;
    RETURN NEW;
END
$$;
CREATE TRIGGER appointments_have_owners BEFORE INSERT ON appointments
    FOR EACH ROW WHEN (NEW.patient_owner IS NULL) EXECUTE FUNCTION find_patient_owner();
CREATE TRIGGER mappings_have_owners BEFORE INSERT ON mappings
    FOR EACH ROW WHEN (NEW.patient_owner IS NULL) EXECUTE FUNCTION find_patient_owner();

CREATE INDEX appointments_of_owner ON appointments (clinic_id, patient_owner, id DESC);
CREATE INDEX appointments_by_start ON appointments (clinic_id, starts_at);
CREATE INDEX appointments_by_status ON appointments (clinic_id, status, id DESC);
CREATE INDEX mappings_of_doctor_by_id ON mappings (clinic_id, doctor_id, id DESC);
CREATE INDEX mappings_of_owner ON mappings (clinic_id, patient_owner, id DESC);

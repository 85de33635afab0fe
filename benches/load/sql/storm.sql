\set n :i * 32 + :client_id
\set i :i + 1
\set patient :first_patient + :n % :patients
\set at :from + 28800 + :n % 8 * 1800
BEGIN;
SELECT set_config('app.clinic_id', :first_clinic::text, true);
INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, created_by, calendar_version) VALUES (:first_clinic, gen_random_uuid(), :first_doctor, :patient, tstzrange(to_timestamp(:at::bigint), to_timestamp(:at::bigint + 1800)), :first_account, 1) ON CONFLICT DO NOTHING;
COMMIT;

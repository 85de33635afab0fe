\set n :i * 32 + :client_id
\set i :i + 1
\set doctor :first_doctor + :n % 4
\set patient :first_patient + :n % :patients
\set s (:n / 4 * 48271 + 11) % 100003
\set at :from + :s / 120 * 86400 + 28800 + :s % 120 * 300
BEGIN;
SELECT set_config('app.clinic_id', :first_clinic::text, true);
INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, created_by, calendar_version) VALUES (:first_clinic, gen_random_uuid(), :doctor, :patient, tstzrange(to_timestamp(:at::bigint), to_timestamp(:at::bigint + 300)), :first_account, 1) ON CONFLICT DO NOTHING;
INSERT INTO audit_events (clinic_id, account_id, role, action, resource, outcome, request_id) VALUES (:first_clinic, :first_account, 'admin', 'create', 'appointments', 'done', gen_random_uuid());
COMMIT;

\set n :i * 32 + :client_id
\set i :i + 1
\set all :clinics * :doctors
\set nth :n % :all
\set k :n / :all
\set c :nth % :clinics
\set clinic :first_clinic + :c
\set account :first_account + :c
\set doctor :first_doctor + :c * :doctors + :nth / :clinics
\set patient :first_patient + :c * :patients + (:n / :clinics) % :patients
\set s (:k * 48271 + 11) % 20011
\set at :from + :s / 20 * 86400 + 28800 + :s % 20 * 1800
BEGIN;
SELECT set_config('app.clinic_id', :clinic::text, true);
INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, created_by, calendar_version) VALUES (:clinic, gen_random_uuid(), :doctor, :patient, tstzrange(to_timestamp(:at::bigint), to_timestamp(:at::bigint + 1800)), :account, 1) ON CONFLICT DO NOTHING;
INSERT INTO audit_events (clinic_id, account_id, role, action, resource, outcome, request_id) VALUES (:clinic, :account, 'admin', 'create', 'appointments', 'done', gen_random_uuid());
COMMIT;

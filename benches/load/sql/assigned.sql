\set n :i * 32 + :client_id
\set i :i + 1
\set k :n % :clinics
\set clinic :first_clinic + :k
\set doctor :first_doctor + :k * :doctors
BEGIN;
SELECT set_config('app.clinic_id', :clinic::text, true);
SELECT p.* FROM mappings m JOIN patients p ON p.clinic_id = m.clinic_id AND p.id = m.patient_id WHERE m.clinic_id = :clinic AND m.doctor_id = :doctor AND m.is_active AND p.deleted_at IS NULL ORDER BY m.patient_id DESC LIMIT 50;
COMMIT;

\set n :i * 32 + :client_id
\set i :i + 1
\set c :n % :clinics
\set clinic :first_clinic + :c
\set patient :first_patient + :c * :patients + ((:n * 48271 + 11) % 9973) % :patients
BEGIN;
SELECT set_config('app.clinic_id', :clinic::text, true);
SELECT * FROM patients WHERE clinic_id = :clinic AND id = :patient AND deleted_at IS NULL;
COMMIT;

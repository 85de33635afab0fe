\set n :i * 32 + :client_id
\set i :i + 1
\set k :n % :clinics
\set clinic :first_clinic + :k
\set s (:n * 48271 + 11) % 9973
\set patient :first_patient + :k * :patients + :s % :patients
BEGIN;
SELECT set_config('app.clinic_id', :clinic::text, true);
SELECT * FROM appointments WHERE clinic_id = :clinic AND patient_id = :patient AND held_until IS NULL ORDER BY id DESC LIMIT 50;
COMMIT;

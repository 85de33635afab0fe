\set n :i * 32 + :client_id
\set i :i + 1
\set k :n % :clinics
\set clinic :first_clinic + :k
\set staff :first_staff + :k
BEGIN;
SELECT set_config('app.clinic_id', :clinic::text, true);
SELECT * FROM appointments WHERE clinic_id = :clinic AND patient_owner = :staff AND held_until IS NULL ORDER BY id DESC LIMIT 50;
COMMIT;

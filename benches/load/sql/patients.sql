\set n :i * 32 + :client_id
\set i :i + 1
\set clinic :first_clinic + :n % :clinics
BEGIN;
SELECT set_config('app.clinic_id', :clinic::text, true);
SELECT * FROM patients WHERE clinic_id = :clinic AND deleted_at IS NULL ORDER BY id DESC LIMIT 50;
COMMIT;

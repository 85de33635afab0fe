\set n :i * 32 + :client_id
\set i :i + 1
\set k :n % :clinics
\set clinic :first_clinic + :k
\set s (:n * 48271 + 11) % 9973
\set doctor :first_doctor + :k * :doctors + :s % :doctors
BEGIN;
SELECT set_config('app.clinic_id', :clinic::text, true);
SELECT * FROM appointments WHERE clinic_id = :clinic AND doctor_id = :doctor AND starts_at >= to_timestamp(:booked_from::bigint) AND starts_at < to_timestamp(:booked_from::bigint + 86400) AND held_until IS NULL ORDER BY id DESC LIMIT 50;
COMMIT;

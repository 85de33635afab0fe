\set n :i * 32 + :client_id
\set i :i + 1
\set k :n % :clinics
\set clinic :first_clinic + :k
\set s (:n * 48271 + 11) % 9973
\set patient :first_patient + :k * :patients + :s % :patients
BEGIN;
SELECT set_config('app.clinic_id', :clinic::text, true);
SELECT m.*, p.first_name, p.last_name, d.first_name, d.last_name, d.specialization FROM mappings m JOIN patients p ON p.clinic_id = m.clinic_id AND p.id = m.patient_id AND p.deleted_at IS NULL JOIN doctors d ON d.clinic_id = m.clinic_id AND d.id = m.doctor_id AND d.deleted_at IS NULL WHERE m.clinic_id = :clinic AND m.patient_id = :patient ORDER BY m.id DESC LIMIT 50;
COMMIT;

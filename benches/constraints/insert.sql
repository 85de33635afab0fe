\set first :i * 128 + :client_id * 64
\set i :i + 1
INSERT INTO forms (clinic_id, doctor_id, patient_id, during)
SELECT 1 + n % :doctors::bigint % 10, n % :doctors::bigint, n * 37 % 10000 * 10 + n % :doctors::bigint % 10,
    tstzrange(slot.start, slot.start + interval '30 minutes')
FROM generate_series(:first::bigint, :first + 63) n
CROSS JOIN LATERAL (SELECT n / :doctors::bigint AS k) nth
CROSS JOIN LATERAL (
    SELECT '2030-01-01 08:00+00'::timestamptz + interval '1 day' * (k / 20) + interval '30 minutes' * (k % 20) AS start
) slot
ON CONFLICT DO NOTHING;

-- Row-level security lets an index serve only conditions that cannot leak: comparisons of plain columns, but no operator of
-- ranges and no lower(during). So the ends of an appointment are columns too, and its times have indexes that lists can use.
ALTER TABLE appointments
    ADD COLUMN starts_at timestamptz NOT NULL GENERATED ALWAYS AS (lower(during)) STORED,
    ADD COLUMN ends_at timestamptz NOT NULL GENERATED ALWAYS AS (upper(during)) STORED;
CREATE INDEX appointments_of_doctor_by_start ON appointments (clinic_id, doctor_id, starts_at);
CREATE INDEX appointments_of_patient_by_start ON appointments (clinic_id, patient_id, starts_at);

-- What calendars have become since the versions that are known of them, and what patients stand against bookings, in one
-- look: each row is of one moment. A calendar whose rules changed is told to be read whole. For each question: whether
-- its caller may book the patient, and when that patient is busy from then on, as far as other times are offered.
CREATE OR REPLACE FUNCTION read_calendars(
    clinics bigint[], doctors bigint[], known bigint[], known_of_clinic bigint[],
    of_clinics bigint[], of_doctors bigint[], patients bigint[], times tstzrange[], whole_clinic boolean[],
    owners bigint[], own_doctors bigint[], ignored bigint[]
) RETURNS TABLE (
    calendar integer, question integer, clinic_id bigint, version bigint, clinic_version bigint, is_whole boolean,
    is_known boolean, ids bigint[], during tstzrange[], is_active boolean[], held_until timestamptz[]
)
    LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    -- A variable, so that the index of the exclusion constraint does not fit: it would be read for all times.
    active CONSTANT text[] := ARRAY['SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED'];
BEGIN
    RETURN QUERY
    SELECT q.nth::integer, NULL::integer, v.clinic_id, v.version, v.clinic_version,
        v.rules_version > q.known OR v.version < q.known OR v.clinic_version <> q.known_of_clinic, NULL::boolean,
        changed.ids, changed.during, changed.is_active, changed.held_until
    FROM unnest(clinics, doctors, known, known_of_clinic)
        WITH ORDINALITY AS q (clinic_id, doctor_id, known, known_of_clinic, nth)
    CROSS JOIN LATERAL (
        SELECT set_config('app.clinic_id', q.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
    ) AS context
    CROSS JOIN LATERAL (
        SELECT v.clinic_id, v.version, v.rules_version, c.version AS clinic_version
        FROM calendar_versions v
        JOIN clinic_versions c ON c.clinic_id = v.clinic_id
        WHERE v.clinic_id = context.clinic_id AND v.doctor_id = q.doctor_id
        OFFSET 0
    ) AS v
    CROSS JOIN LATERAL (
        SELECT array_agg(a.id ORDER BY a.id) AS ids, array_agg(a.during ORDER BY a.id) AS during,
            array_agg(a.status = ANY (active) ORDER BY a.id) AS is_active,
            array_agg(a.held_until ORDER BY a.id) AS held_until
        FROM appointments a
        WHERE v.version > q.known AND a.clinic_id = context.clinic_id AND a.doctor_id = q.doctor_id
          AND a.calendar_version > q.known
    ) AS changed
    UNION ALL
    SELECT NULL::integer, q.nth::integer, context.clinic_id, NULL::bigint, NULL::bigint, NULL::boolean,
        p.id IS NOT NULL, NULL::bigint[], busy.during, NULL::boolean[], NULL::timestamptz[]
    FROM unnest(of_clinics, of_doctors, patients, times, whole_clinic, owners, own_doctors, ignored)
        WITH ORDINALITY AS q (clinic_id, doctor_id, patient_id, during, whole, owner, own_doctor, ignored, nth)
    CROSS JOIN LATERAL (
        SELECT set_config('app.clinic_id', q.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
    ) AS context
    LEFT JOIN LATERAL (
        SELECT p.id
        FROM patients p
        WHERE p.clinic_id = context.clinic_id AND p.id = q.patient_id AND p.deleted_at IS NULL
          AND (q.whole OR p.created_by = q.owner OR q.doctor_id = q.own_doctor)
        OFFSET 0
    ) AS p ON true
    CROSS JOIN LATERAL (
        SELECT array_agg(a.during ORDER BY a.during) AS during
        FROM appointments a
        -- Of a patient whom the caller may not see, nothing is told.
        WHERE a.clinic_id = context.clinic_id AND a.patient_id = p.id
          AND a.status = ANY (active)
          -- No appointment is longer than a day.
          AND a.starts_at > lower(q.during) - interval '24 hours' AND a.ends_at > lower(q.during)
          AND a.starts_at < GREATEST(upper(q.during), now()) + interval '62 days'
          AND (a.held_until IS NULL OR a.held_until > now())
          AND a.id <> q.ignored
    ) AS busy;
END
$$;

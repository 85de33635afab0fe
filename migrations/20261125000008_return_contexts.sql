-- A function that works on rows of several clinics takes each row's context back at its end: the transaction is in the
-- context again in which the function was entered. And each of its rows says of which clinic it is. That is read from the
-- row that was found, not from what was asked, so that who asked can compare the two.

DROP FUNCTION find_patients;
CREATE FUNCTION find_patients(
    clinics bigint[], requests integer[], ids bigint[], whole_clinic boolean[], owners bigint[], own_doctors bigint[]
) RETURNS TABLE (
    request integer, id bigint, first_name text, last_name text, date_of_birth date, date_of_birth_estimated boolean,
    gender text, phone_number text, email text, email_shared boolean, address text, medical_history text,
    emergency_contact_name text, emergency_contact_phone text, created_by bigint, created_at timestamptz,
    updated_at timestamptz, version bigint, clinic_id bigint
)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    entered_in CONSTANT text := COALESCE(current_setting('app.clinic_id', true), '');
BEGIN
    RETURN QUERY
    SELECT q.request, p.id, p.first_name, p.last_name, p.date_of_birth, p.date_of_birth_estimated, p.gender,
        p.phone_number, p.email, p.email_shared, p.address, p.medical_history, p.emergency_contact_name,
        p.emergency_contact_phone, p.created_by, p.created_at, p.updated_at, p.version, p.clinic_id
    FROM unnest(clinics, requests, ids, whole_clinic, owners, own_doctors)
        AS q (clinic_id, request, id, whole, owner, own_doctor)
    CROSS JOIN LATERAL (
        SELECT set_config('app.clinic_id', q.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
    ) AS context
    CROSS JOIN LATERAL (
        SELECT *
        FROM patients p
        WHERE p.clinic_id = context.clinic_id AND p.id = q.id AND p.deleted_at IS NULL
          AND (q.whole OR p.created_by = q.owner OR EXISTS (
              SELECT FROM mappings m
              WHERE m.clinic_id = context.clinic_id AND m.doctor_id = q.own_doctor AND m.patient_id = q.id
                AND m.is_active
          ))
        OFFSET 0
    ) AS p;
    PERFORM set_config('app.clinic_id', entered_in, true);
END
$$;

-- The clinic is that of the appointment that was written, else of the calendar that is held, else the one asked for.
CREATE OR REPLACE FUNCTION book(
    clinics bigint[], doctors bigint[], known bigint[], known_of_clinic bigint[], by_rules boolean[],
    calendars integer[], refs uuid[], patients bigint[], times tstzrange[], reasons text[], accounts bigint[],
    whole_clinic boolean[], owners bigint[], own_doctors bigint[], series bigint[], entries bigint[], holds interval[],
    roles text[], requests uuid[], keys text[], claims uuid[]
) RETURNS TABLE (
    booking integer, calendar integer, version bigint, has_patient boolean, has_key boolean, clinic_id bigint,
    id bigint, made_at timestamptz, held_until timestamptz
)
    LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    entered_in CONSTANT text := COALESCE(current_setting('app.clinic_id', true), '');
BEGIN
    RETURN QUERY
    WITH taken AS MATERIALIZED (
        SELECT q.nth, q.clinic_id, v.clinic_id AS found_in, q.doctor_id, v.version + 1 AS version,
            CASE
                WHEN v.version IS NULL OR c.version IS NULL THEN 2
                WHEN c.version <> q.known_of_clinic THEN 1
                WHEN v.version = q.known OR q.by_rules AND v.version > q.known AND v.rules_version <= q.known THEN 0
                ELSE 1
            END AS state
        FROM unnest(clinics, doctors, known, known_of_clinic, by_rules)
            WITH ORDINALITY AS q (clinic_id, doctor_id, known, known_of_clinic, by_rules, nth)
        CROSS JOIN LATERAL (
            SELECT set_config('app.clinic_id', q.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
        ) AS context
        LEFT JOIN LATERAL (
            SELECT c.version
            FROM clinic_versions c
            WHERE c.clinic_id = context.clinic_id
            FOR SHARE SKIP LOCKED
        ) AS c ON true
        LEFT JOIN LATERAL (
            SELECT v.clinic_id, v.version, v.rules_version
            FROM calendar_versions v
            WHERE v.clinic_id = context.clinic_id AND v.doctor_id = q.doctor_id AND c.version IS NOT NULL
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS v ON true
    ), advanced AS (
        -- Always an update of a row that is there. As an insert it works row by row, each under its clinic's context;
        -- the plan of an update may scan its own table first.
        INSERT INTO calendar_versions (clinic_id, doctor_id, version)
        SELECT context.clinic_id, t.doctor_id, t.version
        FROM taken t
        CROSS JOIN LATERAL (
            SELECT set_config('app.clinic_id', t.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
        ) AS context
        WHERE t.state = 0
        ON CONFLICT (clinic_id, doctor_id) DO UPDATE SET version = excluded.version
        RETURNING doctor_id
    ), asked AS MATERIALIZED (
        SELECT *
        FROM unnest(
            calendars, refs, patients, times, reasons, accounts, whole_clinic, owners, own_doctors, series, entries,
            holds, roles, requests, keys, claims
        ) WITH ORDINALITY AS b (
            calendar, reference, patient_id, during, reason, created_by, whole, owner, own_doctor, series_id, entry_id,
            hold, role, request_id, key, claim, nth
        )
    ), admitted AS MATERIALIZED (
        SELECT b.*, t.clinic_id, t.doctor_id, t.version, p.id AS patient, b.key IS NULL OR k.key IS NOT NULL AS has_key
        FROM asked b
        JOIN taken t ON t.nth = b.calendar AND t.state = 0
        CROSS JOIN LATERAL (
            SELECT set_config('app.clinic_id', t.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
        ) AS context
        LEFT JOIN LATERAL (
            SELECT k.key
            FROM idempotency_keys k
            WHERE b.key IS NOT NULL
              AND k.clinic_id = context.clinic_id AND k.account_id = b.created_by AND k.key = b.key AND k.claim = b.claim
              AND k.outcome IS NULL
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS k ON true
        LEFT JOIN LATERAL (
            SELECT p.id
            FROM patients p
            WHERE p.clinic_id = context.clinic_id AND p.id = b.patient_id AND p.deleted_at IS NULL
              AND (b.whole OR p.created_by = b.owner OR t.doctor_id = b.own_doctor)
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS p ON true
    ), booked AS (
        INSERT INTO appointments (
            clinic_id, reference, doctor_id, patient_id, during, reason, created_by, series_id, waitlist_entry_id,
            held_until, calendar_version
        )
        SELECT context.clinic_id, a.reference, a.doctor_id, a.patient, a.during, a.reason, a.created_by, a.series_id,
            a.entry_id, LEAST(now() + a.hold, CASE WHEN a.hold IS NOT NULL THEN lower(a.during) END), a.version
        FROM admitted a
        CROSS JOIN LATERAL (
            SELECT set_config('app.clinic_id', a.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
        ) AS context
        WHERE a.patient IS NOT NULL AND a.has_key
        ON CONFLICT DO NOTHING
        RETURNING *
    ), audited AS (
        INSERT INTO audit_events (clinic_id, account_id, role, action, resource, resource_id, outcome, request_id)
        SELECT context.clinic_id, a.created_by, a.role, 'create', 'appointments', made.id, 'done', a.request_id
        FROM booked made
        JOIN asked a ON a.reference = made.reference
        CROSS JOIN LATERAL (
            SELECT set_config('app.clinic_id', made.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
        ) AS context
    )
    SELECT b.nth::integer, t.state, COALESCE(t.version, 0), a.patient IS NOT NULL, COALESCE(a.has_key, false),
        COALESCE(made.clinic_id, t.found_in, t.clinic_id), made.id, made.created_at, made.held_until
    FROM asked b
    JOIN taken t ON t.nth = b.calendar
    LEFT JOIN admitted a ON a.nth = b.nth
    LEFT JOIN booked made ON made.reference = b.reference
    WHERE (SELECT count(*) FROM advanced) = (SELECT count(*) FROM taken WHERE taken.state = 0);
    PERFORM set_config('app.clinic_id', entered_in, true);
END
$$;

-- The clinic is that of the calendar or of the patient; where there is no such patient, the one asked for.
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
    entered_in CONSTANT text := COALESCE(current_setting('app.clinic_id', true), '');
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
    SELECT NULL::integer, q.nth::integer, COALESCE(p.clinic_id, context.clinic_id), NULL::bigint, NULL::bigint, NULL::boolean,
        p.id IS NOT NULL, NULL::bigint[], busy.during, NULL::boolean[], NULL::timestamptz[]
    FROM unnest(of_clinics, of_doctors, patients, times, whole_clinic, owners, own_doctors, ignored)
        WITH ORDINALITY AS q (clinic_id, doctor_id, patient_id, during, whole, owner, own_doctor, ignored, nth)
    CROSS JOIN LATERAL (
        SELECT set_config('app.clinic_id', q.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
    ) AS context
    LEFT JOIN LATERAL (
        SELECT p.clinic_id, p.id
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
    PERFORM set_config('app.clinic_id', entered_in, true);
END
$$;

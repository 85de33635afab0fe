-- Versioned calendars. A doctor's calendar is all that decides whether a time can be booked: active appointments, holds,
-- rules, hours, time off. Each calendar has a version, and each clinic one for what binds all its doctors (closures,
-- time zone). A transaction that changes a calendar locks its row here, adds to the version, and stamps the appointments
-- that it changes with it. A copy of a calendar that has the version has the calendar.
--
-- Lock order: clinic_versions, calendar_versions by clinic and doctor, idempotency_keys, patients, everything else.

-- Narrow rows, with room in each page, so that an update stays in its page and touches no index.
CREATE TABLE clinic_versions (
    clinic_id bigint NOT NULL,
    version   bigint NOT NULL DEFAULT 1,
    CONSTRAINT clinic_versions_pkey PRIMARY KEY (clinic_id),
    CONSTRAINT clinic_versions_of_clinic FOREIGN KEY (clinic_id) REFERENCES clinics (clinic_id)
) WITH (fillfactor = 40);

CREATE TABLE calendar_versions (
    clinic_id     bigint NOT NULL,
    doctor_id     bigint NOT NULL,
    version       bigint NOT NULL DEFAULT 1,
    -- The version of the last change of rules, hours or time off: the ETag of the working hours.
    rules_version bigint NOT NULL DEFAULT 1,
    CONSTRAINT calendar_versions_pkey PRIMARY KEY (clinic_id, doctor_id),
    CONSTRAINT calendar_versions_of_doctor FOREIGN KEY (clinic_id, doctor_id) REFERENCES doctors (clinic_id, id)
) WITH (fillfactor = 40);

-- An owner who is no superuser sees no row of a table whose row-level security is forced, and neither do its constraints.
ALTER TABLE clinics NO FORCE ROW LEVEL SECURITY;
ALTER TABLE doctors NO FORCE ROW LEVEL SECURITY;
ALTER TABLE appointments NO FORCE ROW LEVEL SECURITY;
INSERT INTO clinic_versions (clinic_id) SELECT clinic_id FROM clinics;
INSERT INTO calendar_versions (clinic_id, doctor_id, version, rules_version)
    SELECT clinic_id, id, rules_revision, rules_revision FROM doctors;
ALTER TABLE doctors DROP COLUMN rules_revision;

-- Clinics and doctors have versions from the moment when they are there, whoever enters them.
CREATE FUNCTION begin_clinic_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO clinic_versions (clinic_id) VALUES (NEW.clinic_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER clinics_have_versions AFTER INSERT ON clinics
    FOR EACH ROW EXECUTE FUNCTION begin_clinic_version();
CREATE FUNCTION begin_calendar_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO calendar_versions (clinic_id, doctor_id) VALUES (NEW.clinic_id, NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER doctors_have_versions AFTER INSERT ON doctors
    FOR EACH ROW EXECUTE FUNCTION begin_calendar_version();

-- The version of the doctor's calendar at which the row last changed what that calendar shows. It has no default: who
-- writes an appointment must have thought of it.
ALTER TABLE appointments ADD COLUMN calendar_version bigint NOT NULL DEFAULT 1;
ALTER TABLE appointments ALTER COLUMN calendar_version DROP DEFAULT;
CREATE INDEX appointments_by_calendar_version ON appointments (clinic_id, doctor_id, calendar_version);

-- An appointment is of a calendar, which is of a doctor, who is of a clinic: one key holds all three, on a row that who
-- books has locked anyway. The keys to clinics took a share of the clinic's row for each booking, and made every booking
-- wait for whoever locks that row; an audit event's clinic is held by its policy, as is every row's.
ALTER TABLE appointments
    DROP CONSTRAINT appointments_clinic_id_fkey,
    DROP CONSTRAINT appointments_clinic_id_doctor_id_fkey,
    ADD CONSTRAINT appointments_of_calendar
        FOREIGN KEY (clinic_id, doctor_id) REFERENCES calendar_versions (clinic_id, doctor_id);
ALTER TABLE audit_events DROP CONSTRAINT audit_events_clinic_id_fkey;
ALTER TABLE clinics FORCE ROW LEVEL SECURITY;
ALTER TABLE doctors FORCE ROW LEVEL SECURITY;
ALTER TABLE appointments FORCE ROW LEVEL SECURITY;

-- Names the change that an event tells of, so that an outcome that was lost with its connection can be read back.
ALTER TABLE appointment_events ADD COLUMN reference uuid;

-- Who works for a key claims it first. A claim that has run out can be taken over; the work of the earlier claim then
-- fails, because it keeps its outcome by the claim in its own transaction.
ALTER TABLE idempotency_keys
    ALTER COLUMN outcome DROP NOT NULL,
    ADD COLUMN claim uuid,
    ADD COLUMN claimed_until timestamptz;

ALTER TABLE clinic_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE clinic_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY own_clinic ON clinic_versions
    USING (clinic_id = current_clinic()) WITH CHECK (clinic_id = current_clinic());
ALTER TABLE calendar_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE calendar_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY own_clinic ON calendar_versions
    USING (clinic_id = current_clinic()) WITH CHECK (clinic_id = current_clinic());
GRANT SELECT, INSERT, UPDATE ON clinic_versions, calendar_versions TO clinicd_app;
GRANT UPDATE ON idempotency_keys, waitlist_alarms TO clinicd_app;

DROP FUNCTION book;

-- Writes bookings of several calendars, also of several clinics, each with its audit event. A calendar comes with the
-- versions by which its bookings were decided; those of a calendar that cannot be taken are not written. A booking is
-- also not written if its patient is unknown to its caller or locked by somebody, if its key is not claimed by it any
-- more, or if a constraint stands against it. The arrays of the calendars run in parallel, and so do those of the bookings.
--
-- Where nothing but an overlap can stand against bookings (`by_rules`), their calendar may have a later version than the
-- one known, as long as its rules have not: the exclusion constraint sees to overlaps.
--
-- A calendar's state: 0, taken, and its version is one more; 1, held by this transaction, in another state than the one
-- known; 2, held by somebody else, or its clinic's version is, or there is none.
--
-- Each row is worked on under the context of its own clinic, which is set as the row is read: what follows is nested in
-- it, as the settings of the planner see to.
CREATE FUNCTION book(
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
BEGIN
    RETURN QUERY
    WITH taken AS MATERIALIZED (
        SELECT q.nth, q.clinic_id, q.doctor_id, v.version + 1 AS version,
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
            SELECT v.version, v.rules_version
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
        t.clinic_id, made.id, made.created_at, made.held_until
    FROM asked b
    JOIN taken t ON t.nth = b.calendar
    LEFT JOIN admitted a ON a.nth = b.nth
    LEFT JOIN booked made ON made.reference = b.reference
    WHERE (SELECT count(*) FROM advanced) = (SELECT count(*) FROM taken WHERE taken.state = 0);
END
$$;

-- What calendars have become since the versions that are known of them, and what patients stand against bookings, in one
-- look: each row is of one moment. A calendar whose rules changed is told to be read whole. For each question: whether
-- its caller may book the patient, and when that patient is busy from then on, as far as other times are offered.
CREATE FUNCTION read_calendars(
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
            array_agg(a.status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED') ORDER BY a.id) AS is_active,
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
          AND a.status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
          AND a.during && tstzrange(lower(q.during), GREATEST(upper(q.during), now()) + interval '62 days')
          AND (a.held_until IS NULL OR a.held_until > now())
          AND a.id <> q.ignored
    ) AS busy;
END
$$;

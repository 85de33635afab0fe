-- Work on rows of several clinics in one round trip and one statement, whose plan plpgsql keeps. Each row is worked on under the context of its
-- own clinic: the context is set as the row is read, and what follows depends on it, so that row-level security holds
-- for each row as it does for a statement of one clinic. The arrays run in parallel.

-- Inserts those bookings whose doctor and patient exist and are free, and whose doctor's rules are those that the
-- time was found free by, each with its audit event. What does not come back was refused.
--
-- The shares of the doctors' and patients' rows keep them from being deleted, and the doctors' rules from being
-- changed, before the commit. A subquery that locks is not merged into the outer one: it runs for each row, after
-- the row's context has been set.
CREATE FUNCTION book(
    clinics bigint[], refs uuid[], doctors bigint[], patients bigint[], times tstzrange[], reasons text[],
    accounts bigint[], whole_clinic boolean[], owners bigint[], own_doctors bigint[], revisions bigint[],
    series bigint[], entries bigint[], holds timestamptz[], roles text[], requests uuid[]
) RETURNS SETOF appointments
    LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT *
        FROM unnest(
            clinics, refs, doctors, patients, times, reasons, accounts, whole_clinic, owners, own_doctors, revisions,
            series, entries, holds, roles, requests
        ) AS b (
            clinic_id, reference, doctor_id, patient_id, during, reason, created_by, whole, owner, own_doctor,
            revision, series_id, entry_id, held_until, role, request_id
        )
    ), booked AS (
        INSERT INTO appointments (
            clinic_id, reference, doctor_id, patient_id, during, reason, created_by, series_id, waitlist_entry_id,
            held_until
        )
        SELECT b.clinic_id, b.reference, d.id, p.id, b.during, b.reason, b.created_by, b.series_id, b.entry_id,
            b.held_until
        FROM asked b
        CROSS JOIN LATERAL (
            SELECT set_config('app.clinic_id', b.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
        ) AS context
        CROSS JOIN LATERAL (
            SELECT d.id
            FROM doctors d
            WHERE d.clinic_id = context.clinic_id AND d.id = b.doctor_id AND d.deleted_at IS NULL AND d.is_active
              AND d.rules_revision = b.revision
            FOR SHARE
        ) AS d
        CROSS JOIN LATERAL (
            SELECT p.id
            FROM patients p
            WHERE p.clinic_id = context.clinic_id AND p.id = b.patient_id AND p.deleted_at IS NULL
              AND (b.whole OR p.created_by = b.owner OR b.doctor_id = b.own_doctor)
            FOR KEY SHARE
        ) AS p
        ON CONFLICT DO NOTHING
        RETURNING *
    ), audited AS (
        INSERT INTO audit_events (clinic_id, account_id, role, action, resource, resource_id, outcome, request_id)
        SELECT context.clinic_id, b.created_by, b.role, 'create', 'appointments', made.id, 'done', b.request_id
        FROM booked made
        JOIN asked b ON b.reference = made.reference
        CROSS JOIN LATERAL (
            SELECT set_config('app.clinic_id', made.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
        ) AS context
    )
    SELECT * FROM booked;
END
$$;

-- The patients that are asked for by clinic and id and that each caller may see; which request found it stands
-- before the row.
CREATE FUNCTION find_patients(
    clinics bigint[], requests integer[], ids bigint[], whole_clinic boolean[], owners bigint[], own_doctors bigint[]
) RETURNS TABLE (
    request integer, id bigint, first_name text, last_name text, date_of_birth date, date_of_birth_estimated boolean,
    gender text, phone_number text, email text, email_shared boolean, address text, medical_history text,
    emergency_contact_name text, emergency_contact_phone text, created_by bigint, created_at timestamptz,
    updated_at timestamptz, version bigint
)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT q.request, p.id, p.first_name, p.last_name, p.date_of_birth, p.date_of_birth_estimated, p.gender,
        p.phone_number, p.email, p.email_shared, p.address, p.medical_history, p.emergency_contact_name,
        p.emergency_contact_phone, p.created_by, p.created_at, p.updated_at, p.version
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
END
$$;

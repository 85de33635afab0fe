-- Pages of patients, also those of one owner or of one doctor, several in one round trip and one statement. Each is read
-- under the context of its own clinic; the transaction is left in the context in which it was found. A page's mark changes
-- whenever one of its rows does, whoever changed it: it is made of the rows' ids and of the transactions that wrote them. Who knows a
-- page by its mark gets the mark alone.
DROP FUNCTION patient_pages(bigint[], integer[], bigint[], bigint[], text[]);
CREATE FUNCTION patient_pages(
    clinics bigint[], requests integer[], owners bigint[], doctors bigint[], befores bigint[], limits bigint[], known text[]
) RETURNS TABLE (
    request integer, mark text, clinic_id bigint, id bigint, first_name text, last_name text, date_of_birth date,
    date_of_birth_estimated boolean, gender text, phone_number text, email text, email_shared boolean, address text,
    medical_history text, emergency_contact_name text, emergency_contact_phone text, created_by bigint,
    created_at timestamptz, updated_at timestamptz, version bigint
)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    entered_in CONSTANT text := COALESCE(current_setting('app.clinic_id', true), '');
BEGIN
    -- For the planner: without any clinic it would expect no rows.
    PERFORM set_config('app.clinic_id', clinics[1]::text, true);
    RETURN QUERY
    SELECT q.request, m.mark, COALESCE(p.clinic_id, m.clinic_id, context.clinic_id), p.id, p.first_name, p.last_name, p.date_of_birth, p.date_of_birth_estimated,
        p.gender, p.phone_number, p.email, p.email_shared, p.address, p.medical_history, p.emergency_contact_name,
        p.emergency_contact_phone, p.created_by, p.created_at, p.updated_at, p.version
    FROM unnest(clinics, requests, owners, doctors, befores, limits, known)
        AS q (clinic_id, request, owner, doctor, before, most, known)
    CROSS JOIN LATERAL (
        SELECT set_config('app.clinic_id', q.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
    ) AS context
    CROSS JOIN LATERAL (
        SELECT min(p.clinic_id) AS clinic_id, array_agg(p.id) AS ids, array_agg(p.id)::text || array_agg(p.written_by)::text AS mark
        FROM (
            (
                SELECT clinic_id, id, xmin AS written_by
                FROM patients
                WHERE clinic_id = context.clinic_id AND deleted_at IS NULL AND id < q.before
                  AND q.owner IS NULL AND q.doctor IS NULL
                ORDER BY id DESC
                LIMIT q.most
            ) UNION ALL (
                SELECT clinic_id, id, xmin AS written_by
                FROM patients
                WHERE clinic_id = context.clinic_id AND created_by = q.owner AND deleted_at IS NULL AND id < q.before
                  AND q.owner IS NOT NULL
                ORDER BY id DESC
                LIMIT q.most
            ) UNION ALL (
                SELECT p.clinic_id, p.id, p.xmin AS written_by
                FROM mappings m
                JOIN patients p ON p.clinic_id = context.clinic_id AND p.id = m.patient_id
                WHERE m.clinic_id = context.clinic_id AND m.doctor_id = q.doctor AND m.is_active
                  AND m.patient_id < q.before AND p.deleted_at IS NULL AND q.doctor IS NOT NULL
                ORDER BY m.patient_id DESC
                LIMIT q.most
            )
        ) AS p
    ) AS m
    LEFT JOIN LATERAL (
        SELECT *
        FROM patients
        WHERE clinic_id = context.clinic_id AND id = ANY (m.ids) AND m.mark IS DISTINCT FROM q.known
        ORDER BY id DESC
    ) AS p ON true;
    PERFORM set_config('app.clinic_id', entered_in, true);
END
$$;

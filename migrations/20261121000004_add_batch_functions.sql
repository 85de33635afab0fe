-- Work on rows of several clinics in one round trip: each clinic's under its own context, so that row-level
-- security holds as it does for a single statement. The arrays run in parallel, and are sorted by clinic.

-- Inserts those bookings whose doctor and patient exist and are free, and whose doctor's rules are those that the
-- time was found free by, each with its audit event. What does not come back was refused.
--
-- The shares of the doctors' and patients' rows keep them from being deleted, and the doctors' rules from being
-- changed, before the commit.
CREATE FUNCTION book(
    clinics bigint[], refs uuid[], doctors bigint[], patients bigint[], times tstzrange[], reasons text[],
    accounts bigint[], whole_clinic boolean[], owners bigint[], own_doctors bigint[], revisions bigint[],
    series bigint[], entries bigint[], holds timestamptz[], roles text[], requests uuid[]
) RETURNS SETOF appointments
    LANGUAGE plpgsql
    -- A handful of rows is looked up by key, whatever the size of the clinic.
    SET enable_hashjoin = off SET enable_mergejoin = off
    AS $$
DECLARE
    a integer := 1;
    z integer;
BEGIN
    WHILE a <= cardinality(clinics) LOOP
        z := a;
        WHILE clinics[z + 1] = clinics[a] LOOP
            z := z + 1;
        END LOOP;
        PERFORM set_config('app.clinic_id', clinics[a]::text, true);
        RETURN QUERY
        WITH asked AS (
            SELECT *
            FROM unnest(
                refs[a:z], doctors[a:z], patients[a:z], times[a:z], reasons[a:z], accounts[a:z], whole_clinic[a:z],
                owners[a:z], own_doctors[a:z], revisions[a:z], series[a:z], entries[a:z], holds[a:z], roles[a:z],
                requests[a:z]
            ) AS b (
                reference, doctor_id, patient_id, during, reason, created_by, whole, owner, own_doctor, revision,
                series_id, entry_id, held_until, role, request_id
            )
        ), booked AS (
            INSERT INTO appointments AS made (
                clinic_id, reference, doctor_id, patient_id, during, reason, created_by, series_id, waitlist_entry_id,
                held_until
            )
            SELECT clinics[a], b.reference, b.doctor_id, b.patient_id, b.during, b.reason, b.created_by, b.series_id,
                b.entry_id, b.held_until
            FROM asked b
            JOIN doctors d ON d.clinic_id = clinics[a] AND d.id = b.doctor_id AND d.deleted_at IS NULL AND d.is_active
                AND d.rules_revision = b.revision
            JOIN patients p ON p.clinic_id = clinics[a] AND p.id = b.patient_id AND p.deleted_at IS NULL
                AND (b.whole OR p.created_by = b.owner OR b.doctor_id = b.own_doctor)
            FOR SHARE OF d FOR KEY SHARE OF p
            ON CONFLICT DO NOTHING
            RETURNING made.*
        ), audited AS (
            INSERT INTO audit_events (
                clinic_id, account_id, role, action, resource, resource_id, outcome, request_id
            )
            SELECT clinics[a], b.created_by, b.role, 'create', 'appointments', made.id, 'done', b.request_id
            FROM booked made
            JOIN asked b ON b.reference = made.reference
        )
        SELECT made.* FROM booked made;
        a := z + 1;
    END LOOP;
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
DECLARE
    a integer := 1;
    z integer;
BEGIN
    WHILE a <= cardinality(clinics) LOOP
        z := a;
        WHILE clinics[z + 1] = clinics[a] LOOP
            z := z + 1;
        END LOOP;
        PERFORM set_config('app.clinic_id', clinics[a]::text, true);
        RETURN QUERY
        SELECT q.request, p.id, p.first_name, p.last_name, p.date_of_birth, p.date_of_birth_estimated, p.gender,
            p.phone_number, p.email, p.email_shared, p.address, p.medical_history, p.emergency_contact_name,
            p.emergency_contact_phone, p.created_by, p.created_at, p.updated_at, p.version
        FROM unnest(requests[a:z], ids[a:z], whole_clinic[a:z], owners[a:z], own_doctors[a:z])
            AS q (request, id, whole, owner, own_doctor)
        JOIN patients p ON p.clinic_id = clinics[a] AND p.id = q.id AND p.deleted_at IS NULL
            AND (q.whole OR p.created_by = q.owner OR EXISTS (
                SELECT FROM mappings m
                WHERE m.clinic_id = clinics[a] AND m.doctor_id = q.own_doctor AND m.patient_id = q.id AND m.is_active
            ));
        a := z + 1;
    END LOOP;
END
$$;

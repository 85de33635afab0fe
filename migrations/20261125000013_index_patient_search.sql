-- Patients are found by words and parts of words, in a clinic of any size. Under row-level security no index can serve LIKE,
-- because LIKE is not leakproof. So a function finds the ids. Its owner bypasses row-level security for the searched columns,
-- and the function returns ids of the context's clinic only. The caller then reads the rows under row-level security.

-- The searched text, in lower case, with a space before each word: name, e-mail address, phone number, and the digits of
-- the phone number.
CREATE FUNCTION searched_text(first_name text, last_name text, email text, phone_number text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN lower(
        ' ' || first_name || ' ' || last_name || COALESCE(' ' || email, '')
        || COALESCE(' ' || phone_number || ' ' || regexp_replace(phone_number, '[^0-9]', '', 'g'), '')
    );

-- The searched words in lower case. A space before a word of one or two characters makes it match the start of a word.
CREATE FUNCTION searched_words(words text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN ARRAY(
        SELECT CASE WHEN length(lower(word)) < 3 THEN ' ' ELSE '' END || lower(word) FROM unnest(words) AS word
    );

-- A LIKE pattern for each of the `searched_words`.
CREATE FUNCTION searched_patterns(words text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN ARRAY(SELECT '%' || regexp_replace(word, '([\\%_])', '\\\1', 'g') || '%' FROM unnest(words) AS word);

-- The index entries of a text: every three characters of a word, and a word's first one and two characters with the space
-- before them. They are hashed with the clinic, so that a search reads no entries of other clinics.
CREATE FUNCTION searched_parts(clinic_id bigint, searched text) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN ARRAY(
        SELECT hashtextextended(substr(searched, at, 3) COLLATE "C", clinic_id)
        FROM generate_series(1, length(searched) - 2) AS at
        WHERE strpos(substr(searched, at + 1, 2), ' ') = 0
        UNION ALL
        SELECT hashtextextended(first[1] COLLATE "C", clinic_id)
        FROM regexp_matches(searched, ' [^ ]', 'g') AS first
    );

ALTER TABLE patients
    ADD COLUMN searched text NOT NULL GENERATED ALWAYS AS (searched_text(first_name, last_name, email, phone_number)) STORED;
-- Without fastupdate, because each search would read the list of pending entries.
CREATE INDEX patients_searched ON patients USING gin (searched_parts(clinic_id, searched)) WITH (fastupdate = off);

DO $$
BEGIN
    CREATE ROLE clinicd_search NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
EXCEPTION
    -- Roles belong to the whole server: another database of it may have made this one.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT clinicd_search TO %I', current_user);
    END IF;
END
$$;
GRANT USAGE ON SCHEMA public TO clinicd_search;
GRANT SELECT (clinic_id, id, created_by, deleted_at, searched) ON patients TO clinicd_search;
GRANT SELECT (clinic_id, doctor_id, patient_id, is_active) ON mappings TO clinicd_search;
CREATE POLICY searching ON patients FOR SELECT TO clinicd_search USING (true);

-- Returns the ids of the newest patients below `before` that match all words, at most `most`: those of the owner and of the
-- doctor if they are given, and only those that the caller may see. Frequent words are found among the newest patients,
-- which are read in blocks of 300 as long as one in thirty matches. Rare words are found by the index.
CREATE FUNCTION search_patients(
    words text[], whole_clinic boolean, seen_owner bigint, seen_doctor bigint, owner bigint, doctor bigint, before bigint,
    most bigint
) RETURNS bigint[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
DECLARE
    clinic CONSTANT bigint := current_clinic();
    wanted CONSTANT text[] := searched_words(words);
    patterns CONSTANT text[] := searched_patterns(wanted);
    at_once CONSTANT bigint := 300;
    parts bigint[];
    met bigint;
    walked bigint := 0;
    lowest bigint := before;
    found bigint[] := '{}';
BEGIN
    LOOP
        SELECT count(*), min(w.id),
            found || COALESCE(array_agg(w.id ORDER BY w.id DESC) FILTER (
                WHERE w.is_there AND w.searched LIKE ALL (patterns)
                  AND (owner IS NULL OR w.created_by = owner)
                  AND (whole_clinic OR w.created_by = seen_owner OR COALESCE((
                      SELECT m.is_active FROM mappings m
                      WHERE m.clinic_id = clinic AND m.patient_id = w.id AND m.doctor_id = seen_doctor
                  ), false))
            ), '{}')
        INTO met, lowest, found
        FROM (
            (
                SELECT p.id, p.created_by, p.searched, p.deleted_at IS NULL AS is_there
                FROM patients p
                WHERE p.clinic_id = clinic AND p.id < lowest AND owner IS NULL AND doctor IS NULL
                ORDER BY p.id DESC
                LIMIT at_once
            ) UNION ALL (
                SELECT p.id, p.created_by, p.searched, p.deleted_at IS NULL
                FROM patients p
                WHERE p.clinic_id = clinic AND p.created_by = owner AND p.id < lowest AND owner IS NOT NULL AND doctor IS NULL
                ORDER BY p.id DESC
                LIMIT at_once
            ) UNION ALL (
                SELECT m.patient_id, p.created_by, p.searched, p.deleted_at IS NULL AND m.is_active
                FROM (
                    SELECT m.patient_id, m.is_active
                    FROM mappings m
                    WHERE m.clinic_id = clinic AND m.doctor_id = doctor AND m.patient_id < lowest AND doctor IS NOT NULL
                    ORDER BY m.patient_id DESC
                    LIMIT at_once
                ) AS m
                JOIN patients p ON p.clinic_id = clinic AND p.id = m.patient_id
            )
        ) AS w;
        IF met < at_once OR cardinality(found) >= most THEN
            RETURN found[:most];
        END IF;
        walked := walked + met;
        EXIT WHEN walked > 30 * cardinality(found);
    END LOOP;
    parts := ARRAY(SELECT DISTINCT part FROM unnest(wanted) AS word, unnest(searched_parts(clinic, word)) AS part);
    RETURN found || ARRAY(
        WITH indexed AS MATERIALIZED (
            SELECT p.clinic_id, p.id, p.created_by
            FROM patients p
            WHERE searched_parts(p.clinic_id, p.searched) @> parts AND p.searched LIKE ALL (patterns)
              AND p.deleted_at IS NULL
        )
        SELECT i.id
        FROM (
            SELECT i.id, i.created_by
            FROM indexed i
            WHERE i.clinic_id = clinic AND i.id < lowest AND (owner IS NULL OR i.created_by = owner)
            ORDER BY i.id DESC
            OFFSET 0
        ) AS i
        WHERE (doctor IS NULL OR COALESCE((
                  SELECT m.is_active FROM mappings m
                  WHERE m.clinic_id = clinic AND m.patient_id = i.id AND m.doctor_id = doctor
              ), false))
          AND (whole_clinic OR i.created_by = seen_owner OR COALESCE((
              SELECT m.is_active FROM mappings m
              WHERE m.clinic_id = clinic AND m.patient_id = i.id AND m.doctor_id = seen_doctor
          ), false))
        ORDER BY i.id DESC
        LIMIT most - cardinality(found)
    );
END
$$;
REVOKE ALL ON FUNCTION search_patients FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_patients TO clinicd_app;
GRANT CREATE ON SCHEMA public TO clinicd_search;
ALTER FUNCTION search_patients OWNER TO clinicd_search;
REVOKE CREATE ON SCHEMA public FROM clinicd_search;
-- The policy `searching` would bind a member too: the owner of the tables must not see the patients of all clinics.
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('REVOKE clinicd_search FROM %I', current_user);
    END IF;
END
$$;

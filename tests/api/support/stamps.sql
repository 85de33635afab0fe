-- Makes a test's database refuse a transaction that changes a calendar without a stamp, so that every test also proves
-- that rule (docs/ARCHITECTURE.md, "Versioned calendars"). A superuser runs it after the migrations, only in the
-- template of the tests' databases, in its own schema. A session with `clinicd.unstamped` set to `on` is not checked.

CREATE SCHEMA stamps;

-- The changes of a version by each transaction. The doctor 0 stands for the clinic.
CREATE UNLOGGED TABLE stamps.advances (
    transaction    xid8   NOT NULL,
    clinic_id      bigint NOT NULL,
    doctor_id      bigint NOT NULL,
    version_before bigint NOT NULL,
    version        bigint NOT NULL,
    rules_version  bigint NOT NULL,
    PRIMARY KEY (transaction, clinic_id, doctor_id)
);

CREATE FUNCTION stamps.note(clinic bigint, doctor bigint, version_before bigint, version bigint, rules_version bigint)
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = stamps, pg_catalog AS $$
BEGIN
    IF version <= version_before OR rules_version > version THEN
        RAISE EXCEPTION 'no stamp: the version of doctor % went from % to %, its rules to %',
            doctor, version_before, version, rules_version;
    END IF;
    INSERT INTO advances VALUES (pg_current_xact_id(), clinic, doctor, version_before, version, rules_version)
        ON CONFLICT (transaction, clinic_id, doctor_id)
        DO UPDATE SET version = excluded.version, rules_version = excluded.rules_version;
END
$$;

-- The first version of a new row counts as an increase.
CREATE FUNCTION stamps.note_calendar() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = stamps, pg_catalog AS $$
BEGIN
    PERFORM note(NEW.clinic_id, NEW.doctor_id, COALESCE(OLD.version, 0), NEW.version, NEW.rules_version);
    RETURN NULL;
END
$$;
CREATE TRIGGER stamps_noted AFTER INSERT OR UPDATE ON public.calendar_versions
    FOR EACH ROW EXECUTE FUNCTION stamps.note_calendar();

CREATE FUNCTION stamps.note_clinic() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = stamps, pg_catalog AS $$
BEGIN
    PERFORM note(NEW.clinic_id, 0, COALESCE(OLD.version, 0), NEW.version, NEW.version);
    RETURN NULL;
END
$$;
CREATE TRIGGER stamps_noted AFTER INSERT OR UPDATE ON public.clinic_versions
    FOR EACH ROW EXECUTE FUNCTION stamps.note_clinic();

-- Refuses unless this transaction increased the version of a doctor's rules, or with doctor 0 the clinic's.
CREATE FUNCTION stamps.require_rules(clinic bigint, doctor bigint, because text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = stamps, pg_catalog AS $$
BEGIN
    IF COALESCE(current_setting('clinicd.unstamped', true), '') <> 'on' AND NOT EXISTS (
        SELECT FROM advances a
        WHERE a.transaction = pg_current_xact_id() AND a.clinic_id = clinic AND a.doctor_id = doctor
          AND a.rules_version > a.version_before
    ) THEN
        RAISE EXCEPTION 'no stamp: % without a new version of %', because,
            CASE doctor WHEN 0 THEN format('clinic %s', clinic) ELSE format('the rules of doctor %s', doctor) END;
    END IF;
END
$$;

-- Returns whether a calendar shows an appointment. It does not show an expired hold: copies know when it ends.
CREATE FUNCTION stamps.is_shown(status text, held_until timestamptz) RETURNS boolean LANGUAGE sql STABLE
    RETURN status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
        AND (held_until IS NULL OR held_until > now());

-- A copy finds a change by its stamp, which is above the version that the transaction found. It cannot find a deleted
-- row or one of another doctor. Then the calendar must be read in full.
CREATE FUNCTION stamps.check_appointment() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = stamps, pg_catalog AS $$
DECLARE
    made advances;
BEGIN
    IF current_setting('clinicd.unstamped', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND (OLD.clinic_id, OLD.doctor_id) <> (NEW.clinic_id, NEW.doctor_id) THEN
        PERFORM require_rules(OLD.clinic_id, OLD.doctor_id, format('appointment %s was taken away', OLD.id));
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN NULL;
    END IF;
    SELECT * INTO made FROM advances a
    WHERE a.transaction = pg_current_xact_id() AND a.clinic_id = NEW.clinic_id AND a.doctor_id = NEW.doctor_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no stamp: appointment % was changed without a new version of the calendar of doctor %',
            NEW.id, NEW.doctor_id;
    ELSIF NEW.calendar_version <= made.version_before OR NEW.calendar_version > made.version THEN
        RAISE EXCEPTION 'no stamp: appointment % has % where the calendar of doctor % went from % to %',
            NEW.id, NEW.calendar_version, NEW.doctor_id, made.version_before, made.version;
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER stamps_of_new AFTER INSERT ON public.appointments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION stamps.check_appointment();
CREATE CONSTRAINT TRIGGER stamps_of_changed AFTER UPDATE ON public.appointments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (
        (stamps.is_shown(OLD.status, OLD.held_until) OR stamps.is_shown(NEW.status, NEW.held_until))
        AND (OLD.clinic_id, OLD.doctor_id, OLD.during, OLD.held_until, stamps.is_shown(OLD.status, OLD.held_until))
            IS DISTINCT FROM
            (NEW.clinic_id, NEW.doctor_id, NEW.during, NEW.held_until, stamps.is_shown(NEW.status, NEW.held_until))
    ) EXECUTE FUNCTION stamps.check_appointment();
CREATE CONSTRAINT TRIGGER stamps_of_deleted AFTER DELETE ON public.appointments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (stamps.is_shown(OLD.status, OLD.held_until)) EXECUTE FUNCTION stamps.check_appointment();

-- Rows that contain rules of a doctor or of a whole clinic. The argument names the doctor's column; a table of the
-- clinic has none.
CREATE FUNCTION stamps.check_rules() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = stamps, pg_catalog AS $$
DECLARE
    changed jsonb;
BEGIN
    FOR changed IN SELECT r FROM unnest(ARRAY[to_jsonb(OLD), to_jsonb(NEW)]) AS r WHERE r IS NOT NULL LOOP
        PERFORM require_rules(
            (changed ->> 'clinic_id')::bigint, COALESCE((changed ->> TG_ARGV[0])::bigint, 0),
            format('%s was changed', TG_TABLE_NAME)
        );
    END LOOP;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER stamps_of_hours AFTER INSERT OR UPDATE OR DELETE ON public.working_hours
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stamps.check_rules('doctor_id');
CREATE CONSTRAINT TRIGGER stamps_of_time_off AFTER INSERT OR UPDATE OR DELETE ON public.time_off
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stamps.check_rules('doctor_id');
CREATE CONSTRAINT TRIGGER stamps_of_closures AFTER INSERT OR UPDATE OR DELETE ON public.clinic_closures
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stamps.check_rules('none');
CREATE CONSTRAINT TRIGGER stamps_of_zone AFTER UPDATE ON public.clinics DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.time_zone <> NEW.time_zone) EXECUTE FUNCTION stamps.check_rules('none');

-- Every column of a doctor is a rule, except the columns listed here.
CREATE FUNCTION stamps.rules_of(doctor public.doctors) RETURNS jsonb LANGUAGE sql STABLE
    RETURN to_jsonb(doctor) - ARRAY[
        'account_id', 'first_name', 'last_name', 'specialization', 'license_number', 'email', 'phone_number', 'gender',
        'years_of_experience', 'office_address', 'created_at', 'updated_at', 'version'
    ];
CREATE CONSTRAINT TRIGGER stamps_of_doctors AFTER UPDATE ON public.doctors DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (stamps.rules_of(OLD) <> stamps.rules_of(NEW)) EXECUTE FUNCTION stamps.check_rules('id');

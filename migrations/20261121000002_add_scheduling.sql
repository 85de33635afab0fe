-- When a doctor works, what an appointment keeps to, series, and who waits for a time.

-- rules_revision counts every change of what a doctor's schedule is bound by: a booking that was
-- decided by an earlier revision is not written.
ALTER TABLE doctors
    ADD COLUMN buffer_before_minutes integer NOT NULL DEFAULT 0 CHECK (buffer_before_minutes BETWEEN 0 AND 240),
    ADD COLUMN buffer_after_minutes  integer NOT NULL DEFAULT 0 CHECK (buffer_after_minutes BETWEEN 0 AND 240),
    ADD COLUMN min_notice_minutes    integer NOT NULL DEFAULT 0 CHECK (min_notice_minutes BETWEEN 0 AND 525600),
    ADD COLUMN max_horizon_days      integer CHECK (max_horizon_days BETWEEN 1 AND 3650),
    ADD COLUMN rules_revision        bigint  NOT NULL DEFAULT 1;

-- The hours that hold from a day on. windows: [{"weekday": 1 (Monday) to 7, "start": "09:00", "end": "12:30"}];
-- an end that is not after its start is on the next day. NULL: no hours are set from then on.
CREATE TABLE working_hours (
    clinic_id      bigint NOT NULL REFERENCES clinics (clinic_id),
    doctor_id      bigint NOT NULL,
    effective_from date   NOT NULL CHECK (effective_from BETWEEN '1900-01-01' AND '2200-12-31'),
    windows        jsonb CHECK (jsonb_typeof(windows) = 'array'),
    PRIMARY KEY (clinic_id, doctor_id, effective_from),
    FOREIGN KEY (clinic_id, doctor_id) REFERENCES doctors (clinic_id, id)
);

CREATE TABLE time_off (
    clinic_id  bigint      NOT NULL REFERENCES clinics (clinic_id),
    id         bigint GENERATED ALWAYS AS IDENTITY,
    doctor_id  bigint      NOT NULL,
    during     tstzrange   NOT NULL,
    reason     text        NOT NULL DEFAULT '',
    created_by bigint      NOT NULL REFERENCES accounts (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (clinic_id, id),
    FOREIGN KEY (clinic_id, doctor_id) REFERENCES doctors (clinic_id, id),
    CONSTRAINT time_off_during_bounded CHECK (
        NOT isempty(during)
        AND lower_inc(during) AND NOT upper_inc(during)
        AND lower(during) >= '1900-01-01 00:00+00' AND upper(during) < '2201-01-01 00:00+00'
    )
);
CREATE INDEX time_off_of_doctor ON time_off (clinic_id, doctor_id, id DESC);

-- Days on which the whole clinic is closed, each doctor's day in the doctor's zone.
CREATE TABLE clinic_closures (
    clinic_id  bigint      NOT NULL REFERENCES clinics (clinic_id),
    id         bigint GENERATED ALWAYS AS IDENTITY,
    first_day  date        NOT NULL CHECK (first_day BETWEEN '1900-01-01' AND '2200-12-31'),
    last_day   date        NOT NULL CHECK (last_day BETWEEN first_day AND '2200-12-31'),
    reason     text        NOT NULL DEFAULT '',
    created_by bigint      NOT NULL REFERENCES accounts (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (clinic_id, id)
);

-- A repeat (RFC 5545) of appointments at one wall-clock time.
CREATE TABLE appointment_series (
    clinic_id        bigint      NOT NULL REFERENCES clinics (clinic_id),
    id               bigint GENERATED ALWAYS AS IDENTITY,
    reference        uuid        NOT NULL,
    doctor_id        bigint      NOT NULL,
    patient_id       bigint      NOT NULL,
    rrule            text        NOT NULL,
    first_start      timestamptz NOT NULL,
    duration_minutes integer     NOT NULL CHECK (duration_minutes BETWEEN 5 AND 1440),
    reason           text        NOT NULL DEFAULT '',
    created_by       bigint      NOT NULL REFERENCES accounts (id),
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (clinic_id, id),
    CONSTRAINT appointment_series_reference_unique UNIQUE (clinic_id, reference),
    FOREIGN KEY (clinic_id, doctor_id) REFERENCES doctors (clinic_id, id),
    FOREIGN KEY (clinic_id, patient_id) REFERENCES patients (clinic_id, id)
);

-- Who waits for a time: with one doctor, or with any of a specialization, in local days and times of day.
CREATE TABLE waitlist_entries (
    clinic_id        bigint      NOT NULL REFERENCES clinics (clinic_id),
    id               bigint GENERATED ALWAYS AS IDENTITY,
    patient_id       bigint      NOT NULL,
    doctor_id        bigint,
    specialization   text,
    first_day        date        NOT NULL CHECK (first_day BETWEEN '1900-01-01' AND '2200-12-31'),
    last_day         date        NOT NULL CHECK (last_day BETWEEN first_day AND '2200-12-31'),
    earliest_time    time        NOT NULL DEFAULT '00:00',
    latest_time      time        NOT NULL DEFAULT '23:59:59',
    duration_minutes integer CHECK (duration_minutes BETWEEN 5 AND 1440),
    reason           text        NOT NULL DEFAULT '',
    status           text        NOT NULL DEFAULT 'WAITING' CHECK (status IN ('WAITING', 'ACCEPTED', 'WITHDRAWN')),
    created_by       bigint      NOT NULL REFERENCES accounts (id),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    version          bigint      NOT NULL DEFAULT 1,
    PRIMARY KEY (clinic_id, id),
    FOREIGN KEY (clinic_id, patient_id) REFERENCES patients (clinic_id, id),
    FOREIGN KEY (clinic_id, doctor_id) REFERENCES doctors (clinic_id, id),
    CONSTRAINT waitlist_doctor_or_specialization CHECK ((doctor_id IS NULL) <> (specialization IS NULL))
);
CREATE INDEX waitlist_waiting ON waitlist_entries (clinic_id, id) WHERE status = 'WAITING';

-- A hold is an active appointment that nobody sees yet: it occupies its time by the same constraints.
-- held_until stays on a hold that lapsed, so that it is never seen; accepting clears it.
ALTER TABLE appointments
    ADD COLUMN series_id bigint,
    ADD COLUMN waitlist_entry_id bigint,
    ADD COLUMN held_until timestamptz,
    ADD FOREIGN KEY (clinic_id, series_id) REFERENCES appointment_series (clinic_id, id),
    ADD FOREIGN KEY (clinic_id, waitlist_entry_id) REFERENCES waitlist_entries (clinic_id, id),
    ADD CONSTRAINT appointments_hold_is_of_an_entry CHECK (
        held_until IS NULL OR (waitlist_entry_id IS NOT NULL AND status IN ('SCHEDULED', 'CANCELLED'))
    );
CREATE INDEX appointments_of_series ON appointments (clinic_id, series_id) WHERE series_id IS NOT NULL;
CREATE INDEX appointments_of_entry ON appointments (clinic_id, waitlist_entry_id) WHERE waitlist_entry_id IS NOT NULL;
-- An entry is offered one time at a time.
CREATE UNIQUE INDEX appointments_one_hold_an_entry ON appointments (clinic_id, waitlist_entry_id)
    WHERE held_until IS NOT NULL AND status = 'SCHEDULED';

-- A time that those who wait are to be offered once it is due: at once where it was freed, or when
-- the hold on it expires. Written with the change that frees or holds it.
CREATE TABLE waitlist_alarms (
    clinic_id bigint      NOT NULL REFERENCES clinics (clinic_id),
    id        bigint GENERATED ALWAYS AS IDENTITY,
    doctor_id bigint      NOT NULL,
    during    tstzrange   NOT NULL,
    due_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (clinic_id, id),
    FOREIGN KEY (clinic_id, doctor_id) REFERENCES doctors (clinic_id, id)
);
CREATE INDEX waitlist_alarms_due ON waitlist_alarms (due_at);

-- Who did what to an appointment after it was booked, and when.
CREATE TABLE appointment_events (
    clinic_id      bigint      NOT NULL REFERENCES clinics (clinic_id),
    id             bigint GENERATED ALWAYS AS IDENTITY,
    appointment_id bigint      NOT NULL,
    at             timestamptz NOT NULL DEFAULT now(),
    account_id     bigint      NOT NULL REFERENCES accounts (id),
    from_status    text        NOT NULL,
    to_status      text        NOT NULL,
    from_during    tstzrange   NOT NULL,
    to_during      tstzrange   NOT NULL,
    PRIMARY KEY (clinic_id, id),
    FOREIGN KEY (clinic_id, appointment_id) REFERENCES appointments (clinic_id, id)
);
CREATE INDEX appointment_events_of_appointment ON appointment_events (clinic_id, appointment_id, id DESC);

DO $$
DECLARE
    clinic_table text;
BEGIN
    FOREACH clinic_table IN ARRAY ARRAY[
        'working_hours', 'time_off', 'clinic_closures', 'appointment_series', 'waitlist_entries', 'waitlist_alarms',
        'appointment_events'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', clinic_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', clinic_table);
        EXECUTE format(
            'CREATE POLICY own_clinic ON %I USING (clinic_id = current_clinic()) WITH CHECK (clinic_id = current_clinic())',
            clinic_table
        );
    END LOOP;
END
$$;
-- Outside any clinic the program may see what is due where: ids and times, nobody's data.
CREATE POLICY due_anywhere ON waitlist_alarms FOR SELECT USING (current_clinic() IS NULL);

GRANT SELECT, INSERT, UPDATE, DELETE ON working_hours TO clinicd_app;
GRANT SELECT, INSERT, DELETE ON time_off, clinic_closures, waitlist_alarms TO clinicd_app;
GRANT SELECT, INSERT ON appointment_series, appointment_events TO clinicd_app;
GRANT SELECT, INSERT, UPDATE ON waitlist_entries TO clinicd_app;

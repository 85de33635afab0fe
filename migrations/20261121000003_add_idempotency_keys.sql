-- What a request with an Idempotency-Key brought about: written in the transaction of the change itself, so
-- that the same request sent again is answered by it, whatever became of the first answer.

CREATE TABLE idempotency_keys (
    clinic_id   bigint      NOT NULL REFERENCES clinics (clinic_id),
    account_id  bigint      NOT NULL REFERENCES accounts (id),
    key         text        NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    -- Of the method, the path and the body.
    fingerprint bytea       NOT NULL,
    outcome     jsonb       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_once PRIMARY KEY (clinic_id, account_id, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (clinic_id, account_id, created_at);

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY own_clinic ON idempotency_keys
    USING (clinic_id = current_clinic()) WITH CHECK (clinic_id = current_clinic());
GRANT SELECT, INSERT, DELETE ON idempotency_keys TO clinicd_app;

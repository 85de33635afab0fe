-- The program's role has no rights of its own on logins, sessions and keys. It calls procedures, each of which does one
-- thing and nothing else. A SELECT cannot call a procedure: a statement that was injected into another reaches no hash of
-- a password, no hash of a token and no key.

DO $$
BEGIN
    CREATE ROLE clinicd_authn NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
EXCEPTION
    -- Roles belong to the whole server: another database of it may have made this one.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT clinicd_authn TO %I', current_user);
    END IF;
    -- Everybody may otherwise make temporary tables, and in databases of before version 15 others too.
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
END
$$;
GRANT USAGE ON SCHEMA public TO clinicd_authn;

-- Whether the private key is encrypted with CLINICD_KEY_SECRET.
ALTER TABLE signing_keys ADD COLUMN is_wrapped boolean NOT NULL DEFAULT false;

REVOKE ALL ON accounts, sessions, refresh_tokens, signing_keys FROM clinicd_app;
GRANT SELECT, INSERT (email, username, first_name, last_name, password_hash) ON accounts TO clinicd_authn;
GRANT SELECT, INSERT (id, account_id, clinic_id), UPDATE (revoked_at), DELETE ON sessions TO clinicd_authn;
GRANT SELECT, INSERT (token_hash, session_id, expires_at), UPDATE (consumed_at), DELETE ON refresh_tokens
    TO clinicd_authn;
GRANT SELECT, INSERT (kid, pkcs8, public_key, is_wrapped) ON signing_keys TO clinicd_authn;

-- Of accounts the program reads what a clinic's users show: of its members, and of the account that it acts for. It
-- changes the names of that account alone.
GRANT SELECT (id, email, username, first_name, last_name, created_at, updated_at, version) ON accounts TO clinicd_app;
GRANT UPDATE (first_name, last_name, updated_at, version) ON accounts TO clinicd_app;
ALTER TABLE accounts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_account ON accounts FOR SELECT TO clinicd_app USING (id = current_account());
CREATE POLICY own_names ON accounts FOR UPDATE TO clinicd_app USING (id = current_account());
CREATE POLICY members_of_clinic ON accounts FOR SELECT TO clinicd_app USING (
    EXISTS (
        SELECT FROM memberships
        WHERE memberships.clinic_id = current_clinic() AND memberships.account_id = accounts.id
    )
);
CREATE POLICY signing_in ON accounts TO clinicd_authn USING (true) WITH CHECK (true);

-- What a clinic, a membership and an invitation are of, and what they were made with, stays.
REVOKE INSERT, UPDATE ON clinics, memberships, invitations FROM clinicd_app;
GRANT INSERT (clinic_id, name, time_zone), UPDATE (name, time_zone, updated_at, version) ON clinics TO clinicd_app;
GRANT INSERT (clinic_id, account_id, role), UPDATE (role, is_active, updated_at, version) ON memberships TO clinicd_app;
GRANT INSERT (clinic_id, email, role, token_hash, created_by, expires_at), UPDATE (accepted_at, accepted_by)
    ON invitations TO clinicd_app;

-- The account with that e-mail address or, failing that, that user name, with what checks its password; NULL for none.
CREATE PROCEDURE find_login(
    login text, OUT id bigint, OUT email text, OUT username text, OUT first_name text, OUT last_name text,
    OUT password_hash text, OUT created_at timestamptz, OUT updated_at timestamptz, OUT version bigint
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    SELECT a.id, a.email, a.username, a.first_name, a.last_name, a.password_hash, a.created_at, a.updated_at, a.version
    INTO id, email, username, first_name, last_name, password_hash, created_at, updated_at, version
    FROM accounts a
    WHERE a.email = login OR a.username = login
    ORDER BY (a.email = login) DESC
    LIMIT 1;
END
$$;

CREATE PROCEDURE enter_account(
    email text, username text, first_name text, last_name text, password_hash text,
    OUT id bigint, OUT created_at timestamptz, OUT updated_at timestamptz, OUT version bigint
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO accounts AS a (email, username, first_name, last_name, password_hash)
    VALUES (enter_account.email, enter_account.username, enter_account.first_name, enter_account.last_name,
        enter_account.password_hash)
    RETURNING a.id, a.created_at, a.updated_at, a.version
    INTO enter_account.id, enter_account.created_at, enter_account.updated_at, enter_account.version;
END
$$;

-- Whether anybody has signed up.
CREATE PROCEDURE any_account(OUT has_any boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    has_any := EXISTS (SELECT FROM accounts);
END
$$;

CREATE PROCEDURE begin_session(session uuid, account bigint, clinic bigint, token bytea, ends timestamptz)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO sessions (id, account_id, clinic_id) VALUES (session, account, clinic);
    INSERT INTO refresh_tokens (token_hash, session_id, expires_at) VALUES (token, session, ends);
END
$$;

-- Consumes a refresh token and stores its successor; answers whose it is, NULL where it is unknown or over. A token that
-- was consumed more than five seconds ago ends its whole session; until then its client may have lost the answer.
CREATE PROCEDURE continue_session(
    token bytea, successor bytea, successor_ends timestamptz, OUT account bigint, OUT clinic bigint, OUT was_reused boolean
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    session uuid;
BEGIN
    SELECT s.id, s.account_id, s.clinic_id, COALESCE(t.consumed_at < now() - interval '5 seconds', false)
    INTO session, account, clinic, was_reused
    FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id
    WHERE t.token_hash = token AND t.expires_at > now() AND s.revoked_at IS NULL
    FOR UPDATE;
    IF was_reused THEN
        UPDATE sessions SET revoked_at = now() WHERE id = session;
    ELSIF session IS NOT NULL THEN
        UPDATE refresh_tokens SET consumed_at = COALESCE(consumed_at, now()) WHERE token_hash = token;
        INSERT INTO refresh_tokens (token_hash, session_id, expires_at) VALUES (successor, session, successor_ends);
    END IF;
END
$$;

-- Ends the session of a refresh token, if the token is the account's.
CREATE PROCEDURE end_session(account bigint, token bytea)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE sessions SET revoked_at = now()
    WHERE revoked_at IS NULL
      AND account_id = account
      AND id = (SELECT session_id FROM refresh_tokens WHERE token_hash = token);
END
$$;

-- Ends every session of an account in a clinic.
CREATE PROCEDURE end_sessions(account bigint, clinic bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE sessions SET revoked_at = now() WHERE account_id = account AND clinic_id = clinic AND revoked_at IS NULL;
END
$$;

-- Removes at most so many refresh tokens that ended more than a day ago, and the sessions whose last token went with them.
CREATE PROCEDURE remove_ended_sessions(most bigint, OUT tokens bigint, OUT without_tokens bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    ended uuid[];
BEGIN
    WITH piece AS MATERIALIZED (
        SELECT token_hash FROM refresh_tokens
        WHERE expires_at < now() - interval '1 day'
        ORDER BY expires_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ), removed AS (
        DELETE FROM refresh_tokens WHERE token_hash IN (SELECT token_hash FROM piece) RETURNING session_id
    )
    SELECT array_agg(session_id), count(*) INTO ended, tokens FROM removed;
    DELETE FROM sessions s
    WHERE s.id = ANY (ended) AND NOT EXISTS (SELECT FROM refresh_tokens t WHERE t.session_id = s.id);
    GET DIAGNOSTICS without_tokens = ROW_COUNT;
END
$$;

-- Answers all signing keys, the newest first. One is kept if there is none yet, whichever of several programs comes first.
CREATE PROCEDURE signing_keys(
    kid text, pkcs8 bytea, public_key bytea, is_wrapped boolean,
    OUT kids text[], OUT pkcs8s bytea[], OUT public_keys bytea[], OUT are_wrapped boolean[]
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('clinicd signing keys'));
    INSERT INTO signing_keys (kid, pkcs8, public_key, is_wrapped)
    SELECT signing_keys.kid, signing_keys.pkcs8, signing_keys.public_key, signing_keys.is_wrapped
    WHERE NOT EXISTS (SELECT FROM signing_keys);
    SELECT array_agg(k.kid), array_agg(k.pkcs8), array_agg(k.public_key), array_agg(k.is_wrapped)
    INTO kids, pkcs8s, public_keys, are_wrapped
    FROM (SELECT * FROM signing_keys ORDER BY created_at DESC, kid) AS k;
END
$$;

-- Their owner has the rights that they need, and nobody may call them but the program.
GRANT CREATE ON SCHEMA public TO clinicd_authn;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'find_login', 'enter_account', 'any_account', 'begin_session', 'continue_session', 'end_session', 'end_sessions',
        'remove_ended_sessions', 'signing_keys'
    ] LOOP
        EXECUTE format('REVOKE ALL ON PROCEDURE %I FROM PUBLIC', name);
        EXECUTE format('GRANT EXECUTE ON PROCEDURE %I TO clinicd_app', name);
        EXECUTE format('ALTER PROCEDURE %I OWNER TO clinicd_authn', name);
    END LOOP;
END
$$;
REVOKE CREATE ON SCHEMA public FROM clinicd_authn;

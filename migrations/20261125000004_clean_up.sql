-- What is over is removed: refresh tokens and their sessions, and the outcomes that keys were kept for. Keys are of clinics:
-- who acts for none, and for no account, may see and
-- remove those that nobody can use any more, and no others.
GRANT DELETE ON sessions, refresh_tokens TO clinicd_app;
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);
CREATE INDEX idempotency_keys_by_end ON idempotency_keys (created_at);
CREATE POLICY over_anywhere ON idempotency_keys FOR SELECT
    USING (current_clinic() IS NULL AND current_account() IS NULL AND created_at < now() - interval '2 days');
CREATE POLICY removed_anywhere ON idempotency_keys FOR DELETE
    USING (current_clinic() IS NULL AND current_account() IS NULL AND created_at < now() - interval '2 days');

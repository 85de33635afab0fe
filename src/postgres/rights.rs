//! The rights of a login beyond the program's role. An injected statement could use them after `SET ROLE NONE`.

use sqlx::PgConnection;

/// Returns the first right that a login has but does not need, or needs but lacks; NULL if there is none.
///
/// - A login that may create roles can grant them to itself.
/// - The right to connect to this database is allowed.
/// - Large objects are ignored: the program has none, and any login can create one, so they must not prevent the start.
/// - Before version 16, a member may always SET ROLE.
const EXCESS: &str = "
    SELECT r.rolname::text, CASE
        WHEN r.rolsuper THEN 'is a superuser'
        WHEN r.rolbypassrls THEN 'bypasses row-level security'
        WHEN r.rolreplication THEN 'may replicate'
        WHEN r.rolcreaterole THEN 'may create roles'
        WHEN r.rolcreatedb THEN 'may create databases'
        WHEN owned.thing IS NOT NULL THEN 'owns ' || owned.thing
        WHEN other.name IS NOT NULL THEN 'may become ' || other.name
        WHEN NOT pg_has_role(r.oid, app.oid, 'MEMBER') THEN 'was not granted clinicd_app'
        WHEN pg_has_role(r.oid, app.oid, 'MEMBER WITH ADMIN OPTION') THEN 'may grant clinicd_app to others'
        WHEN granted.thing IS NOT NULL THEN 'has rights of its own on ' || granted.thing
        WHEN current_setting('server_version_num')::integer >= 160000
            THEN CASE WHEN NOT pg_has_role(r.oid, app.oid, 'SET') THEN 'was granted clinicd_app without SET' END
    END
    FROM pg_roles r
    CROSS JOIN pg_database d
    CROSS JOIN to_regrole('clinicd_app') AS app (oid)
    LEFT JOIN LATERAL (
        SELECT pg_describe_object(classid, objid, objsubid) AS thing
        FROM pg_shdepend
        WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid AND deptype = 'o'
          AND classid <> 'pg_largeobject'::regclass
          AND (dbid = d.oid OR classid = 'pg_database'::regclass AND objid = d.oid)
        ORDER BY classid = 'pg_class'::regclass DESC, objid
        LIMIT 1
    ) AS owned ON true
    LEFT JOIN LATERAL (
        SELECT pg_describe_object(classid, objid, objsubid) AS thing
        FROM pg_shdepend
        WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid AND deptype = 'a'
          AND classid <> 'pg_largeobject'::regclass
          AND CASE
              WHEN classid = 'pg_database'::regclass THEN objid = d.oid AND EXISTS (
                  SELECT FROM aclexplode(d.datacl) AS entry
                  WHERE entry.grantee = r.oid AND (entry.privilege_type <> 'CONNECT' OR entry.is_grantable)
              )
              ELSE dbid IN (0, d.oid)
          END
        ORDER BY classid = 'pg_class'::regclass DESC, objid, objsubid
        LIMIT 1
    ) AS granted ON true
    LEFT JOIN LATERAL (
        SELECT o.rolname::text AS name
        FROM pg_roles o
        WHERE o.oid <> r.oid AND o.rolname <> 'clinicd_app' AND pg_has_role(r.oid, o.oid, 'MEMBER')
        ORDER BY o.oid DESC
        LIMIT 1
    ) AS other ON true
    WHERE r.rolname = session_user AND d.datname = current_database()";

/// A login that may do more than the program needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the login {login} {excess}; in production, DATABASE_URL must have a login that owns nothing \
     (CREATE ROLE clinicd_login LOGIN PASSWORD '…' IN ROLE clinicd_app), and CLINICD_MIGRATE_URL the owner"
)]
pub struct ExcessRights {
    /// The login's name.
    pub login: String,
    /// The right, as the predicate of a sentence.
    pub excess: String,
}

/// Returns the first right that the login of this connection has beyond the program's role, or lacks of it.
pub(super) async fn excess(db: &mut PgConnection) -> sqlx::Result<Option<ExcessRights>> {
    let (login, excess): (String, Option<String>) = sqlx::query_as(EXCESS).fetch_one(db).await?;
    Ok(excess.map(|excess| ExcessRights { login, excess }))
}

-- What the program's login $1 and the owners of its procedures may do, one right a line.
WITH roles (name, role) AS (
    VALUES ('login', $1::text), ('clinicd_authn', 'clinicd_authn'), ('clinicd_search', 'clinicd_search')
), relations AS (
    SELECT c.oid, c.relkind, c.relname::text AS name
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
), rights AS (
    SELECT name, 'is ' || attribute AS may
    FROM roles
    JOIN pg_roles r ON r.rolname = role
    CROSS JOIN LATERAL (VALUES
        (r.rolsuper, 'a superuser'), (r.rolinherit, 'an heir of its roles'), (r.rolcreaterole, 'a maker of roles'),
        (r.rolcreatedb, 'a maker of databases'), (r.rolcanlogin, 'a login'), (r.rolreplication, 'a replica'),
        (r.rolbypassrls, 'past row-level security')
    ) AS attributes (has, attribute)
    WHERE has
    UNION ALL
    SELECT roles.name, 'is ' || r.rolname
    FROM roles JOIN pg_roles r ON r.rolname <> role AND pg_has_role(role, r.oid, 'MEMBER')
    UNION ALL
    SELECT roles.name, 'owns ' || pg_describe_object(classid, objid, objsubid)
    FROM roles JOIN pg_shdepend ON refobjid = role::regrole AND deptype = 'o'
    WHERE dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    UNION ALL
    SELECT name, p || ' ON DATABASE'
    FROM roles, unnest(ARRAY['CONNECT', 'CREATE', 'TEMPORARY']) AS p
    WHERE has_database_privilege(role, current_database(), p)
    UNION ALL
    SELECT name, p || ' ON SCHEMA ' || nspname
    FROM roles, pg_namespace, unnest(ARRAY['CREATE', 'USAGE']) AS p
    WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND has_schema_privilege(role, oid, p)
    UNION ALL
    SELECT roles.name, p || ' ON ' || r.name
    FROM roles, relations r,
        unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
    WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f') AND has_table_privilege(role, r.oid, p)
    UNION ALL
    SELECT roles.name, p || ' (' || a.attname || ') ON ' || r.name
    FROM roles, relations r, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p, pg_attribute a
    WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
      AND NOT has_table_privilege(role, r.oid, p) AND has_column_privilege(role, r.oid, a.attnum, p)
    UNION ALL
    SELECT roles.name, p || ' ON SEQUENCE ' || r.name
    FROM roles, relations r, unnest(ARRAY['SELECT', 'USAGE', 'UPDATE']) AS p
    WHERE r.relkind = 'S' AND has_sequence_privilege(role, r.oid, p)
    UNION ALL
    -- A function runs with the rights of its caller or of its owner.
    SELECT roles.name, 'EXECUTE ON ' || CASE p.prokind WHEN 'p' THEN 'PROCEDURE ' ELSE 'FUNCTION ' END || p.proname
        || CASE WHEN p.prosecdef THEN ' AS ' || pg_get_userbyid(p.proowner) ELSE '' END
    FROM roles, pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    WHERE has_function_privilege(role, p.oid, 'EXECUTE')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
)
SELECT DISTINCT (name || ': ' || may) COLLATE "C" FROM rights ORDER BY 1

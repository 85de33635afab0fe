//! Restrictions of the database itself, for any statement of the program: row-level security and the rights of the
//! program's role.

use crate::support::{TestApp, TestDatabase};

/// Returns the result of a statement by the program's role, in the context of a clinic or in none.
async fn as_program(database: &TestDatabase, clinic: Option<i64>, statement: &'static str) -> sqlx::Result<i64> {
    let mut db = database.connect().await;
    sqlx::raw_sql("SET ROLE clinicd_app").execute(&mut db).await?;
    let clinic = clinic.map_or_else(String::new, |clinic| clinic.to_string());
    sqlx::query("SELECT set_config('app.clinic_id', $1, false)").bind(clinic).execute(&mut db).await?;
    sqlx::query_scalar(statement).fetch_one(&mut db).await
}

#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_alone_keeps_clinics_apart() {
    let app = TestApp::start().await;
    let (admin, stranger) = (app.founder("ada").await, app.founder("eve").await);
    admin.new_patient().await;
    admin.new_patient().await;
    stranger.new_patient().await;
    let count = "SELECT count(*) FROM patients";
    assert_eq!(as_program(&app.database, Some(admin.clinic), count).await.unwrap(), 2);
    assert_eq!(as_program(&app.database, Some(stranger.clinic), count).await.unwrap(), 1);
    assert_eq!(as_program(&app.database, None, count).await.unwrap(), 0);
    let smuggle = "INSERT INTO patients (clinic_id, first_name, last_name, created_by)
                   VALUES (1, 'X', 'Y', 1) RETURNING id";
    let other = if admin.clinic == 1 { stranger.clinic } else { admin.clinic };
    let refused = as_program(&app.database, Some(other), smuggle).await.unwrap_err();
    assert!(refused.to_string().contains("row-level security"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_only_patients_of_the_contexts_clinic() {
    let app = TestApp::start().await;
    let (admin, stranger) = (app.founder("ada").await, app.founder("eve").await);
    let id = admin.new_patient().await;
    let search = "SELECT COALESCE(sum(id), 0)::bigint
                  FROM unnest(search_patients('{okafor}', true, NULL, NULL, NULL, NULL, 9223372036854775807, 50)) AS id";
    assert_eq!(as_program(&app.database, Some(admin.clinic), search).await.unwrap(), id);
    assert_eq!(as_program(&app.database, Some(stranger.clinic), search).await.unwrap(), 0);
    assert_eq!(as_program(&app.database, None, search).await.unwrap(), 0);
    // Its owner reads what is searched, and nothing else. Nobody may log in as it or become it.
    let owner = "SELECT count(*) FROM pg_proc
                 WHERE proname = 'search_patients' AND prosecdef AND proowner = 'clinicd_search'::regrole";
    assert_eq!(app.database.count(owner).await, 1);
    let logins = "SELECT count(*) FROM pg_roles
                  WHERE rolname = 'clinicd_search' AND (rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole)
                     OR rolname = 'clinicd_app' AND pg_has_role(oid, 'clinicd_search'::regrole, 'MEMBER')";
    assert_eq!(app.database.count(logins).await, 0);
    let mut db = app.database.connect().await;
    sqlx::raw_sql("SET ROLE clinicd_search").execute(&mut db).await.unwrap();
    let read = "SELECT medical_history FROM patients";
    let refused = sqlx::raw_sql(read).execute(&mut db).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied"), "{refused}");
    sqlx::raw_sql("RESET ROLE; SET ROLE clinicd_authn").execute(&mut db).await.unwrap();
    let refused = sqlx::raw_sql(search).execute(&mut db).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_role_may_do_no_more_than_it_needs() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    for statement in [
        "WITH d AS (DELETE FROM audit_events RETURNING 1) SELECT count(*) FROM d",
        "WITH u AS (UPDATE audit_events SET outcome = 'done' RETURNING 1) SELECT count(*) FROM u",
        "WITH d AS (DELETE FROM patients RETURNING 1) SELECT count(*) FROM d",
        "WITH d AS (DELETE FROM appointments RETURNING 1) SELECT count(*) FROM d",
        "WITH d AS (DELETE FROM accounts RETURNING 1) SELECT count(*) FROM d",
    ] {
        let refused = as_program(&app.database, Some(admin.clinic), statement).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
    }
    let rights = "SELECT count(*) FROM pg_roles
                  WHERE rolname = 'clinicd_app' AND NOT rolsuper AND NOT rolbypassrls AND NOT rolcreaterole
                    AND NOT rolcreatedb";
    assert_eq!(app.database.count(rights).await, 1);
    let owned = "SELECT count(*) FROM pg_class WHERE relowner = 'clinicd_app'::regrole";
    assert_eq!(app.database.count(owned).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_forces_row_security_and_keys_begin_with_clinic() {
    let database = TestDatabase::create().await;
    // `sessions` is a global table of authn that contains the clinic of each session.
    let clinic_tables = "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
         WHERE c.relkind = 'r' AND c.relname <> 'sessions'
           AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'clinic_id')";
    let mut db = database.connect().await;
    let mut names = async |condition: &str| -> Vec<String> {
        let statement = format!("SELECT c.relname::text {clinic_tables} AND {condition} ORDER BY 1");
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_all(&mut db).await.unwrap()
    };
    let all = names("true").await;
    assert_eq!(
        all,
        [
            "appointment_events",
            "appointment_series",
            "appointments",
            "audit_events",
            "calendar_versions",
            "clinic_closures",
            "clinic_versions",
            "clinics",
            "doctors",
            "idempotency_keys",
            "invitations",
            "mappings",
            "memberships",
            "patients",
            "time_off",
            "waitlist_alarms",
            "waitlist_entries",
            "working_hours",
        ]
    );
    assert_eq!(names("NOT (c.relrowsecurity AND c.relforcerowsecurity)").await, [""; 0]);
    let unguarded = "NOT EXISTS (
        SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polcmd = '*'
          AND pg_get_expr(p.polqual, p.polrelid) LIKE '%clinic_id = current_clinic()%'
          AND pg_get_expr(p.polwithcheck, p.polrelid) LIKE '%clinic_id = current_clinic()%'
    )";
    assert_eq!(names(unguarded).await, [""; 0]);
    // Primary and unique keys, including those of indexes, have clinic_id first.
    let keys = "EXISTS (
        SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'clinic_id'
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indkey[0] <> a.attnum
    )";
    assert_eq!(names(keys).await, [""; 0]);
    // So do foreign keys between clinic tables.
    let foreign = "EXISTS (
        SELECT FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype = 'f'
          AND EXISTS (SELECT FROM pg_attribute f WHERE f.attrelid = k.confrelid AND f.attname = 'clinic_id')
          AND NOT EXISTS (
              SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'clinic_id' AND a.attnum = ANY (k.conkey)
          )
    )";
    assert_eq!(names(foreign).await, [""; 0]);
}

//! Plans: every statement can use an index instead of reading a whole clinic table, with any parameters. Lists read few
//! more rows than they return.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clinicd::postgres::Database;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::support::TestDatabase;

/// Returns every statement that is checked at compile time, with the number of its parameters.
fn statements() -> BTreeMap<String, usize> {
    let entries = fs::read_dir(".sqlx").expect("the statements").map(|entry| entry.expect("an entry").path());
    let statements = entries.map(|path| {
        let stored: Value = serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON");
        let parameters = stored["describe"]["parameters"]["Left"].as_array().expect("parameters").len();
        (stored["query"].as_str().expect("a statement").to_owned(), parameters)
    });
    statements.collect()
}

/// Returns the statement of each function on clinic rows as a prepared statement. Its parameters are the arrays that
/// the function unnests.
async fn statements_of_functions(db: &mut PgConnection) -> BTreeMap<String, usize> {
    let functions: Vec<(String, String, Vec<String>, Vec<String>)> = sqlx::query_as(
        "SELECT p.proname::text, p.prosrc, array(SELECT t::regtype::text FROM unnest(p.proargtypes) AS t),
             p.proargnames[:p.pronargs]
         FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
         WHERE p.pronamespace = 'public'::regnamespace AND l.lanname = 'plpgsql' AND p.proretset",
    )
    .fetch_all(db)
    .await
    .unwrap();
    let names: BTreeSet<_> = functions.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["book", "find_patients", "patient_pages", "read_calendars"]));
    let statement = |(_, body, types, names): (String, String, Vec<String>, Vec<String>)| {
        // A declared constant is replaced by its value.
        let constant = body.split_once("CONSTANT").map(|(before, after)| {
            let name = before.split_whitespace().last().expect("a name");
            let value = after.split_once(":=").and_then(|(_, value)| value.split_once(';')).expect("a value").0;
            (format!("({name})"), format!("({value})"))
        });
        let (name, value) = constant.unwrap_or_default();
        let body = if name.is_empty() { body } else { body.replace(&name, &value) };
        let statement =
            body.split_once("RETURN QUERY").and_then(|(_, rest)| rest.split_once(";\n    PERFORM set_config"));
        let mut parts = statement.expect("RETURN QUERY …; PERFORM set_config").0.split("unnest(");
        let mut prepared = parts.next().expect("what comes before").to_owned();
        for part in parts {
            let (arguments, after) = part.split_once(')').expect("its arguments");
            let parameter = |argument: &str| {
                let n = names.iter().position(|name| name == argument.trim()).expect("a parameter");
                format!("${}::{}", n + 1, types[n])
            };
            let arguments: Vec<_> = arguments.split(',').map(parameter).collect();
            prepared += &format!("unnest({}){after}", arguments.join(", "));
        }
        (prepared, types.len())
    };
    functions.into_iter().map(statement).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_scans_a_clinic_table_sequentially() {
    let database = TestDatabase::create().await;
    let mut db = database.connect().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT table_name::text FROM information_schema.columns
         WHERE table_schema = 'public' AND column_name = 'clinic_id' AND table_name <> 'sessions'",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    // On empty tables every plan is cheap. With enable_seqscan off, a sequential scan means that no index fits.
    let planner = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET ROLE clinicd_app";
    sqlx::raw_sql(planner).execute(&mut db).await.unwrap();
    let mut statements = statements();
    assert!(statements.len() > 80, "the statements are found");
    statements.extend(statements_of_functions(&mut db).await);
    // Procedures have no rights on clinic tables, and only their owner changes keys.
    statements.retain(|statement, _| !statement.starts_with("CALL ") && !statement.contains("signing_keys"));
    for (statement, parameters) in statements {
        let nulls = vec!["NULL"; parameters].join(", ");
        let execute = if parameters == 0 { "EXECUTE s".to_owned() } else { format!("EXECUTE s({nulls})") };
        let prepare = format!("DEALLOCATE ALL; PREPARE s AS {statement}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut db).await.unwrap_or_else(|error| {
            panic!("{error}: {statement}");
        });
        let explain = format!("EXPLAIN {execute}");
        let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_all(&mut db).await.unwrap_or_else(|error| {
            panic!("{error}: {statement}");
        });
        let plan: Vec<String> = rows.iter().map(|row| sqlx::Row::get(row, 0)).collect();
        for line in &plan {
            let scanned = line.split("Seq Scan on ").nth(1).and_then(|rest| rest.split_whitespace().next());
            let is_clinic_table = scanned.is_some_and(|scanned| tables.iter().any(|table| table == scanned));
            assert!(!is_clinic_table, "{statement}\n{}", plan.join("\n"));
        }
    }
}

/// A clinic with 2,000 patients of 19 owners, one of whom has only four; 20 doctors, and 12,000 appointments.
const FILL: &str = "
    SET session_replication_role = replica;
    INSERT INTO clinics (clinic_id, name) VALUES (1, 'Large'), (2, 'Other');
    INSERT INTO accounts (email, username, password_hash)
        SELECT 'u' || n || '@example.com', 'u' || n, '' FROM generate_series(1, 20) AS n;
    INSERT INTO doctors (clinic_id, first_name, last_name, specialization, license_number, email)
        SELECT 1, 'D', 'L', 'GP', 'L' || n, 'd' || n || '@example.com' FROM generate_series(1, 20) AS n;
    INSERT INTO patients (clinic_id, first_name, last_name, created_by)
        SELECT 1, 'Maya', 'Okafor ' || n, CASE WHEN n % 500 = 17 THEN 20 ELSE 2 + n % 18 END
        FROM generate_series(1, 2000) AS n;
    INSERT INTO mappings (clinic_id, patient_id, patient_owner, doctor_id, assigned_by)
        SELECT 1, id, created_by, 1 + id % 20, 1 FROM patients;
    INSERT INTO mappings (clinic_id, patient_id, patient_owner, doctor_id, assigned_by)
        SELECT 1, id, created_by, 20, 1 FROM patients ON CONFLICT DO NOTHING;
    INSERT INTO appointments
        (clinic_id, reference, doctor_id, patient_id, patient_owner, during, status, created_by, calendar_version)
        SELECT 1, gen_random_uuid(), d, p.id, p.created_by, tstzrange(t.at, t.at + interval '30 minutes'),
            CASE WHEN n % 7 = 0 THEN 'CANCELLED' ELSE 'SCHEDULED' END, 1, 1
        FROM generate_series(0, 599) AS n
        CROSS JOIN generate_series(1, 20) AS d
        CROSS JOIN LATERAL (
            SELECT timestamptz '2031-01-01 08:00Z' + n / 16 * interval '1 day' + n % 16 * interval '30 minutes' AS at
        ) AS t
        JOIN patients p ON p.clinic_id = 1 AND p.id = 1 + (n * 20 + d) % 2000;
    SET session_replication_role = origin;
    ANALYZE;";

/// A list: a text that identifies its statement, its parameters without the clinic before and the limit after them, and
/// the index that it must use.
struct List(&'static str, &'static str, &'static str);

/// The visibility takes the parameters `whole clinic, owner, doctor`.
const LISTS: [List; 25] = [
    List("array_agg(p.id) AS ids", "NULL, NULL", "patients_pkey"),
    List("array_agg(p.id) AS ids", "4, NULL", "patients_of_owner"),
    List("array_agg(p.id) AS ids", "NULL, 3", "mappings_of_doctor"),
    List("FROM patients p … AND true ORDER", "true, NULL, NULL, NULL, NULL, MAX", "patients_pkey"),
    List("FROM patients p … AND p.created_by = $5 ORDER", "false, 4, NULL, 4, NULL, MAX", "patients_of_owner"),
    List("FROM patients p … AND p.created_by = $5 ORDER", "false, 20, NULL, 20, NULL, MAX", "patients_of_owner"),
    List("m.doctor_id = $6 … ORDER BY m.patient_id", "false, NULL, 3, NULL, 3, MAX", "mappings_of_doctor"),
    List(
        "mappings … q.before AND doctor_id = q.doctor ORDER",
        "false, NULL, 3, NULL, 3, NULL, MAX",
        "mappings_of_doctor_by_id",
    ),
    List(
        "mappings … q.before AND doctor_id = q.doctor ORDER",
        "true, NULL, NULL, NULL, 20, NULL, MAX",
        "mappings_of_doctor_by_id",
    ),
    List(
        "mappings … q.before AND patient_id = q.patient",
        "true, NULL, NULL, 77, NULL, NULL, MAX",
        "mappings_pair_unique",
    ),
    List("mappings … q.before AND true", "true, NULL, NULL, NULL, NULL, NULL, MAX", "mappings_pkey"),
    List(
        "mappings … q.before AND patient_owner = q.owner",
        "false, 20, NULL, NULL, NULL, NULL, MAX",
        "mappings_of_owner",
    ),
    List(
        "mappings … q.before AND patient_owner = q.owner",
        "false, 4, NULL, NULL, NULL, NULL, MAX",
        "mappings_of_owner",
    ),
    List(
        "appointments … q.before AND true ORDER BY id DESC OFFSET 0",
        "true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, MAX",
        "appointments_pkey",
    ),
    List(
        "appointments … q.before AND patient_owner = q.owner AND held",
        "false, 4, NULL, NULL, NULL, NULL, NULL, NULL, MAX",
        "appointments_of_owner",
    ),
    List(
        "appointments … q.before AND patient_owner = q.owner AND held",
        "false, 20, NULL, NULL, NULL, NULL, NULL, NULL, MAX",
        "appointments_of_owner",
    ),
    List(
        "appointments … q.before AND doctor_id = q.doctor AND held",
        "false, NULL, 3, 3, NULL, NULL, NULL, NULL, MAX",
        "appointments_of_doctor",
    ),
    List(
        "appointments … q.before AND patient_id = q.patient",
        "true, NULL, NULL, NULL, 77, NULL, NULL, NULL, MAX",
        "appointments_of_patient",
    ),
    List(
        "appointments … q.before AND patient_id = q.patient",
        "false, 4, NULL, NULL, 2, NULL, NULL, NULL, MAX",
        "appointments_of_patient",
    ),
    List(
        "appointments … q.before AND status = q.status",
        "true, NULL, NULL, NULL, NULL, CANCELLED, NULL, NULL, MAX",
        "appointments_by_status",
    ),
    List(
        "appointments … q.before AND doctor_id = q.doctor AND starts_at",
        "true, NULL, NULL, 3, NULL, NULL, 2031-01-20 00:00Z, 2031-01-21 00:00Z, MAX",
        "appointments_of_doctor_by_start",
    ),
    List(
        "appointments … AND o.patient_owner = q.owner AND",
        "false, 4, NULL, NULL, NULL, SCHEDULED, NULL, NULL, MAX",
        "only appointments_of_owner",
    ),
    List(
        "appointments … AND o.doctor_id = q.doctor AND",
        "true, NULL, NULL, 3, NULL, SCHEDULED, NULL, NULL, MAX",
        "only appointments_of_doctor",
    ),
    List(
        "appointments … ORDER BY id DESC LIMIT 10000",
        "true, NULL, NULL, NULL, NULL, NULL, 2031-02-01 00:00Z, 2031-02-10 00:00Z, MAX",
        "appointments_pkey",
    ),
    // Reads all matching rows and sorts them; one page is returned.
    List(
        "appointments … AND o.starts_at > q.since",
        "true, NULL, NULL, NULL, NULL, NULL, 2031-01-01 08:00Z, 2031-01-01 11:00Z, MAX",
        "only appointments_by_start",
    ),
];

/// Sums up how many rows of clinic tables a plan reads, and collects the indexes that it uses.
fn read(plan: &Value, rows: &mut f64, indexes: &mut BTreeSet<String>) {
    let number = |name: &str| plan[name].as_f64().unwrap_or(0.0);
    // Lookups in these small tables are not counted.
    let is_counted = plan["Relation Name"].as_str().is_some_and(|name| !matches!(name, "doctors" | "clinics"));
    if is_counted {
        *rows += (number("Actual Rows") + number("Rows Removed by Filter")) * number("Actual Loops");
    }
    if let Some(index) = plan["Index Name"].as_str() {
        indexes.insert(if plan["Node Type"] == "Index Only Scan" { format!("only {index}") } else { index.to_owned() });
    }
    for part in plan["Plans"].as_array().into_iter().flatten() {
        read(part, rows, indexes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_uses_its_index_and_reads_few_extra_rows() {
    const LIMIT: i64 = 51;
    let database = TestDatabase::create().await;
    let mut db = database.connect_unstamped().await;
    sqlx::raw_sql(FILL).execute(&mut db).await.unwrap();
    let planner = "SET plan_cache_mode = force_generic_plan; SET random_page_cost = 1.1; SET ROLE clinicd_app;
                   SET app.clinic_id = '1'";
    sqlx::raw_sql(planner).execute(&mut db).await.unwrap();
    let mut statements = statements();
    statements.extend(statements_of_functions(&mut db).await);
    let statements: Vec<String> = statements.into_keys().collect();
    for List(text, parameters, index) in LISTS {
        let parts: Vec<_> = text.split(" … ").collect();
        let flat = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ");
        let found = statements.iter().filter(|statement| parts.iter().all(|part| flat(statement).contains(part)));
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1, "one statement matches {text}");
        let parameters = parameters.replace("MAX", "9223372036854775807");
        let execute = if found[0].contains("unnest(") {
            // A group of one list, or a page of patients that is not cached.
            let arrays = parameters.split(", ").map(|value| format!("'{{{value}}}'")).collect::<Vec<_>>().join(", ");
            let is_page = found[0].contains("q.known");
            let last = if is_page {
                format!("'{{9223372036854775807}}', '{{{LIMIT}}}', '{{NULL}}'")
            } else {
                format!("'{{{LIMIT}}}'")
            };
            format!("EXECUTE s('{{1}}', '{{0}}', {arrays}, {last})")
        } else {
            format!("EXECUTE s(1, {parameters}, {LIMIT})")
        };
        let prepare = format!("DEALLOCATE ALL; PREPARE s AS {}", found[0]);
        sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut db).await.unwrap();
        let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) {execute}");
        let explained = sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_one(&mut db).await.unwrap();
        let plan: Value = sqlx::Row::get(&explained, 0);
        let plan = &plan[0]["Plan"];
        let (mut rows, mut indexes) = (0.0, BTreeSet::new());
        read(plan, &mut rows, &mut indexes);
        let answered = plan["Actual Rows"].as_f64().unwrap();
        assert!(answered > 0.0, "{text} returns no rows");
        let is_read_by = |index: &str| indexes.iter().any(|by| by == index || by.strip_prefix("only ") == Some(index));
        assert!(is_read_by(index), "{text} is read by {indexes:?}");
        assert!(rows <= 4.0 * answered, "{text} reads {rows} rows for {answered}:\n{plan:#}");
    }
}

/// A search: its parameters, the maximum number of rows that it may read, and whether it also uses the index of word
/// parts.
struct Search(&'static str, i64, bool);

/// The parameters are `words, whole clinic, owner, doctor, owner, doctor`.
const SEARCHES: [Search; 9] = [
    // Frequent words are found among the newest 300 patients.
    Search("'{okafor}', true, NULL, NULL, NULL, NULL", 300, false),
    Search("'{ok,ma}', true, NULL, NULL, NULL, NULL", 300, false),
    // Rare words are found by the index, which reads only the matching rows.
    Search("'{okafor,500}', true, NULL, NULL, NULL, NULL", 302, true),
    Search("'{nobody}', true, NULL, NULL, NULL, NULL", 300, true),
    Search("'{q}', true, NULL, NULL, NULL, NULL", 300, true),
    Search("'{500}', true, NULL, NULL, 4, NULL", 112, false),
    // An owner with fewer patients: all of them are read.
    Search("'{nobody}', false, 4, NULL, 4, NULL", 112, false),
    Search("'{okafor}', false, 20, NULL, 20, NULL", 4, false),
    // A doctor: the assignments are read as well.
    Search("'{nobody}', false, NULL, 3, NULL, 3", 200, false),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_search_reads_the_newest_300_rows_and_then_the_index() {
    let database = TestDatabase::create().await;
    let mut db = database.connect_unstamped().await;
    sqlx::raw_sql(FILL).execute(&mut db).await.unwrap();
    let planner = "SET plan_cache_mode = force_generic_plan; SET random_page_cost = 1.1; SET ROLE clinicd_app;
                   SET app.clinic_id = '1'";
    sqlx::raw_sql(planner).execute(&mut db).await.unwrap();
    // The counters of this transaction: fetched rows, scans of whole tables, and scans of the index.
    let counted = "SELECT sum(pg_stat_get_xact_tuples_fetched(t))::bigint, sum(pg_stat_get_xact_numscans(t))::bigint,
                       pg_stat_get_xact_numscans('patients_searched'::regclass)
                   FROM unnest('{patients,mappings}'::regclass[]) AS t";
    for Search(parameters, most, by_index) in SEARCHES {
        let mut work = db.begin().await.unwrap();
        let before: (i64, i64, i64) = sqlx::query_as(counted).fetch_one(&mut *work).await.unwrap();
        let search = format!("SELECT search_patients({parameters}, 9223372036854775807, 51)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(search)).fetch_one(&mut *work).await.unwrap();
        let after: (i64, i64, i64) = sqlx::query_as(counted).fetch_one(&mut *work).await.unwrap();
        let (rows, scans, of_index) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
        assert!(rows <= most, "{parameters}: {rows} rows");
        assert_eq!((scans, of_index), (0, i64::from(by_index)), "{parameters}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_plan_is_compiled_before_it_is_run() {
    let database = TestDatabase::create().await;
    let opened = Database::open(Some(&database.url), Path::new("")).await.expect("the database");
    let mut db = PgConnection::connect_with(&opened.options()).await.expect("a connection of the program");
    let jit: String = sqlx::query_scalar("SHOW jit").fetch_one(&mut db).await.unwrap();
    assert_eq!(jit, "off");
}

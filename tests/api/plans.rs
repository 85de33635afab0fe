//! No statement needs to read a whole clinic table: each can go by an index, whatever its parameters.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;
use sqlx::PgConnection;

use crate::support::TestDatabase;

/// Every statement that is checked at compile time, with the number of its parameters.
fn statements() -> BTreeMap<String, usize> {
    let entries = fs::read_dir(".sqlx").expect("the statements").map(|entry| entry.expect("an entry").path());
    let statements = entries.map(|path| {
        let stored: Value = serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON");
        let parameters = stored["describe"]["parameters"]["Left"].as_array().expect("parameters").len();
        (stored["query"].as_str().expect("a statement").to_owned(), parameters)
    });
    statements.collect()
}

/// The statement of each function that reads or writes rows of clinics, as a prepared one: what it unnests are its
/// parameters.
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
        let statement = body.split_once("RETURN QUERY").and_then(|(_, rest)| rest.rsplit_once(';'));
        let mut parts = statement.expect("RETURN QUERY …; END").0.split("unnest(");
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
async fn no_plan_of_any_statement_has_a_sequential_scan_on_a_clinic_table() {
    let database = TestDatabase::create().await;
    let mut db = database.connect().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT table_name::text FROM information_schema.columns
         WHERE table_schema = 'public' AND column_name = 'clinic_id' AND table_name <> 'sessions'",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    // On empty tables any plan is cheap: what is planned all the same without an index has none to go by.
    let planner = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET ROLE clinicd_app";
    sqlx::raw_sql(planner).execute(&mut db).await.unwrap();
    let mut statements = statements();
    assert!(statements.len() > 80, "the statements are where they were");
    statements.extend(statements_of_functions(&mut db).await);
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

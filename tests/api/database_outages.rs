//! Database outages: the answer is 503, no acknowledged write is lost, and the program recovers without help.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Failure, Proxy, TestApp, TestDatabase, booking};

/// Ends every connection of the program and admits no new one, or admits them again.
async fn allow_connections(app: &TestApp, allowed: bool) {
    let mut db = app.database.connect().await;
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut db).await.unwrap();
    drop(db);
    let server = app.database.url.replacen(&format!("/{name}?"), "/postgres?", 1);
    let mut db = crate::support::TestDatabase { url: server }.connect().await;
    let alter = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(alter)).execute(&mut db).await.unwrap();
    if !allowed {
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(&name)
            .execute(&mut db)
            .await
            .unwrap();
    }
}

/// Admits connections again over another database, because this one admits none.
async fn restore(app: &TestApp) {
    let (base, query) = app.database.url.split_once('?').unwrap();
    let (prefix, name) = base.rsplit_once('/').unwrap();
    let mut db = crate::support::TestDatabase { url: format!("{prefix}/postgres?{query}") }.connect().await;
    let alter = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true");
    sqlx::raw_sql(sqlx::AssertSqlSafe(alter)).execute(&mut db).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_503_and_comes_back_by_itself() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let kept = admin.new_appointment(doctor, patient, "10:00").await;

    allow_connections(&app, false).await;
    let refused = admin.get("/api/patients").await.expect(503);
    assert_eq!(refused.header("retry-after"), "1");
    admin.post("/api/patients", json!({ "first_name": "A", "last_name": "B" })).await.expect(503);
    admin.post("/api/appointments", booking(doctor, patient, "11:00")).await.expect(503);
    admin.get("/readyz").await.expect(503);
    admin.get("/healthz").await.expect(200);
    let login = json!({ "email": "ada@example.com", "password": crate::support::PASSWORD });
    admin.post("/api/auth/login", login.clone()).await.expect(503);

    restore(&app).await;
    // The workers reconnect without help. The first attempts may still use broken connections.
    for _ in 0..50 {
        if admin.get("/readyz").await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    admin.get("/readyz").await.expect(200);
    admin.get(&format!("/api/appointments/{kept}")).await.expect(200);
    admin.post("/api/auth/login", login).await.expect(200);
    // The refused booking was not made, and its time is free.
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 1);
    admin.new_appointment(doctor, patient, "11:00").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_lose_no_acknowledged_write() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let cutting = {
        let database = app.database.clone();
        tokio::spawn(async move {
            let mut db = database.connect().await;
            for n in 1..=30 {
                sqlx::query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()",
                )
                .execute(&mut db)
                .await
                .unwrap();
                // The pauses grow, so that even a slow machine books between the last cuts.
                tokio::time::sleep(Duration::from_millis(10 * n)).await;
            }
        })
    };
    let booking_all = (0..96).map(|n| {
        let admin = admin.clone();
        tokio::spawn(async move {
            let mut body = booking(doctor, patient, &format!("{:02}:{:02}", n / 4, n % 4 * 15));
            body["duration_minutes"] = 15.into();
            tokio::time::sleep(Duration::from_millis(48 * n)).await;
            (n, admin.post("/api/appointments", body).await)
        })
    });
    let mut acknowledged = Vec::new();
    for answer in booking_all.collect::<Vec<_>>() {
        let (_, answer) = answer.await.expect("an answer");
        match answer.status {
            201 => acknowledged.push(answer.id()),
            503 => {}
            other => panic!("{other}: {}", answer.text),
        }
    }
    cutting.await.unwrap();
    assert!(!acknowledged.is_empty(), "nothing was booked between the cuts");
    let mut db = app.database.connect().await;
    let stored: Vec<i64> = sqlx::query_scalar("SELECT id FROM appointments").fetch_all(&mut db).await.unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains(id)).collect();
    assert!(lost.is_empty(), "acknowledged but lost: {lost:?}");
    assert_eq!(app.database.overlapping_pairs().await, 0);
}

/// Makes the database read-only, as after a failover to a standby, or writable again. Open connections do not change.
async fn make_read_only(app: &TestApp, is_read_only: bool) {
    let mut db = app.database.connect().await;
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut db).await.unwrap();
    let value = if is_read_only { "on" } else { "off" };
    sqlx::raw_sql("SET default_transaction_read_only = off").execute(&mut db).await.unwrap();
    let alter = format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(alter)).execute(&mut db).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_503_until_it_is_writable() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    make_read_only(&app, true).await;
    let mut db = app.database.connect().await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::raw_sql(others).execute(&mut db).await.unwrap();

    let body = json!({ "first_name": "A", "last_name": "B" });
    // Twice as many requests as there are connections: the connections that were open before are useless too.
    for _ in 0..20 {
        let refused = admin.post("/api/patients", body.clone()).await.expect_problem(503, "unavailable");
        assert_eq!(refused.header("retry-after"), "1");
        admin.post("/api/appointments", booking(doctor, patient, "10:00")).await.expect_problem(503, "unavailable");
    }
    admin.get("/readyz").await.expect(503);
    admin.get(&format!("/api/patients/{patient}")).await.expect(200);

    make_read_only(&app, false).await;
    // Connections that were opened meanwhile are still read-only.
    for _ in 0..50 {
        if admin.get("/readyz").await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Actors that read meanwhile, such as the waitlist, have such connections. Each of these gives one answer of 503
    // and is then replaced.
    let mut refused = 0;
    for minute in 0..20 {
        let time = format!("{:02}:{:02}", 10 + minute / 2, minute % 2 * 30);
        for (path, body) in [("/api/patients", body.clone()), ("/api/appointments", booking(doctor, patient, &time))] {
            while admin.post(path, body.clone()).await.status != 201 {
                refused += 1;
                assert!(refused <= 12, "more refusals than connections");
            }
        }
    }
    admin.get("/readyz").await.expect(200);
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 20);
    assert_eq!(app.database.count("SELECT count(*) FROM patients").await, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_block_no_worker() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let app = TestApp::start_behind(&proxy, &database).await;
    // A worker that changes to another clinic sends a statement first.
    let clinics = [app.founder("ada").await, app.founder("bob").await, app.founder("cy").await];
    let ask = |n: usize| {
        let clinic = clinics[n % 3].clone();
        tokio::spawn(async move { clinic.get("/api/doctors").await.status })
    };
    for n in 0..64 {
        ask(n).await.unwrap();
    }
    proxy.fail(Failure::AllSilent);
    let begun = clinicd::clock::instant();
    let silent: Vec<_> = (0..64).map(ask).collect();
    for answer in silent {
        let status = answer.await.unwrap();
        assert!(matches!(status, 200 | 503), "{status}");
    }
    let hole = begun.elapsed();
    println!("the interruption lasted {hole:?}");
    // No request waits for TCP's own timeout of a quarter of an hour.
    assert!(hole < Duration::from_secs(60), "{hole:?}");
    // All workers have recovered: all of them can be busy at once.
    let after: Vec<_> = (0..64).map(ask).collect();
    for answer in after {
        assert_eq!(answer.await.unwrap(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_server_is_not_flooded_with_attempts() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let app = TestApp::start_behind(&proxy, &database).await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    proxy.shut();
    let (begun, knocked) = (clinicd::clock::instant(), proxy.knocks());
    for n in 0..100 {
        let body = booking(doctor, patient, &format!("{:02}:00", n % 24));
        let asked = [
            admin.post("/api/appointments", body),
            admin.post("/api/patients", json!({ "first_name": "A", "last_name": "B" })),
        ];
        for answer in futures_util::future::join_all(asked).await {
            assert_eq!(answer.expect_problem(503, "unavailable").header("retry-after"), "1");
        }
    }
    let knocks = proxy.knocks() - knocked;
    // Every connection tries once, then come the short pauses, then two attempts per second and those of the listener.
    let most = 14 + 6 + 4 * u32::try_from(begun.elapsed().as_secs() + 1).unwrap();
    println!("{knocks} attempts to connect for 200 requests in {:?}", begun.elapsed());
    assert!(knocks <= most, "{knocks} attempts, more than {most}");
    proxy.open();
    let mut tries = 0;
    while admin.get("/readyz").await.status != 200 {
        tries += 1;
        assert!(tries < 200, "the program does not reconnect");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    admin.new_appointment(doctor, patient, "10:00").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let database = TestDatabase::create().await;
    let server = Proxy::start(&database).await.url;
    let port = |url: &str| url.split(['@', ':', '/']).find_map(|part| part.parse::<u16>().ok()).unwrap();
    // A port without a listener.
    let here = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut settings = crate::support::settings(&database);
    settings.database.database_url =
        Some(server.replace(&format!(":{}/", port(&server)), &format!(":{}/", here.port())));
    let mut starting = Box::pin(TestApp::start_with(database, settings));
    let early = tokio::time::timeout(Duration::from_secs(1), &mut starting).await;
    assert!(early.is_err(), "the program did not wait for the absent server");
    let listener = TcpListener::bind(here).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(("127.0.0.1", port(&server))).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    starting.await.anonymous().get("/readyz").await.expect(200);
}

#[tokio::test]
async fn the_wait_for_a_server_ends_after_the_configured_time() {
    let missing = "postgresql://clinicd@localhost/clinicd?host=/nowhere";
    let database = clinicd::postgres::Database::open(Some(missing), "unused".as_ref()).await.unwrap();
    let refused = database.waiting(Duration::from_secs(1)).require_migrated().await.unwrap_err();
    assert!(refused.to_string().starts_with("cannot connect to PostgreSQL"), "{refused}");
}

/// The answer of a starting server to a new connection.
const STARTING: &[u8] = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_is_waited_for() {
    let database = TestDatabase::create().await;
    let server = Proxy::start(&database).await.url;
    let port = |url: &str| url.split(['@', ':', '/']).find_map(|part| part.parse::<u16>().ok()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap().port();
    let url = server.replace(&format!(":{}/", port(&server)), &format!(":{here}/"));
    let turned_away = Arc::new(AtomicU32::new(0));
    let counted = turned_away.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            if counted.load(Ordering::SeqCst) < 3 {
                counted.fetch_add(1, Ordering::SeqCst);
                let length = u32::try_from(STARTING.len() + 4).unwrap().to_be_bytes();
                client.write_all(&[b"E", &length[..], STARTING].concat()).await.unwrap();
                // The client's message is read first, so that closing the connection does not lose the answer.
                let _ = client.read(&mut [0; 1024]).await;
            } else {
                let mut server = TcpStream::connect(("127.0.0.1", port(&server))).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
            }
        }
    });
    let mut settings = crate::support::settings(&database);
    settings.database.database_url = Some(url);
    let app = TestApp::start_with(database, settings).await;
    assert_eq!(turned_away.load(Ordering::SeqCst), 3);
    app.anonymous().get("/readyz").await.expect(200);
}

//! Registration, login, refresh, switching clinics and logout.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Session, TestApp};

async fn register(app: &TestApp, body: Value) -> Answer {
    app.anonymous().post("/api/auth/register", body).await
}

async fn refresh(app: &TestApp, token: &Value) -> Answer {
    app.anonymous().post("/api/auth/token/refresh", json!({ "refresh": token })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_up_founds_a_clinic_and_makes_its_administrator() {
    let app = TestApp::start().await;
    let body = json!({
        "email": "Ada@Example.com",
        "password": PASSWORD,
        "password2": PASSWORD,
        "name": "Ada Maria Lindqvist",
        "clinic_name": "Harbour Clinic",
    });
    let signed_up = register(&app, body).await.expect(201);
    assert_eq!(signed_up.body["token_type"], "Bearer");
    assert_eq!(signed_up.body["expires_in"], 3600);
    let user = &signed_up.body["user"];
    assert_eq!(user["email"], "ada@example.com");
    assert_eq!(user["username"], "ada@example.com");
    assert_eq!((&user["first_name"], &user["last_name"]), (&json!("Ada Maria"), &json!("Lindqvist")));
    assert_eq!(user["role"], "admin");
    let admin = Session::of(app.address, &signed_up.body);
    assert_eq!(admin.get("/api/clinic").await.expect(200).body["name"], "Harbour Clinic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_registration_is_refused_by_field() {
    let app = TestApp::start().await;
    for (field, body) in [
        ("email", json!({ "email": "ada", "password": PASSWORD })),
        ("email", json!({ "email": " ada@example.com", "password": PASSWORD })),
        ("email", json!({ "email": "Eve <ada@example.com>", "password": PASSWORD })),
        ("password", json!({ "email": "ada@example.com", "password": "short" })),
        ("password", json!({ "email": "ada@example.com", "password": "password1" })),
        ("password", json!({ "email": "ada.long@example.com", "password": "ada.long@example.com" })),
        ("password", json!({ "email": "ada@example.com", "password": "Lindqvist", "last_name": "lindqvist" })),
        ("password", json!({ "email": "ada@example.com", "password": "x".repeat(129) })),
        ("password2", json!({ "email": "ada@example.com", "password": PASSWORD, "password2": "another one" })),
        ("username", json!({ "email": "ada@example.com", "password": PASSWORD, "username": "eve@example.com" })),
        ("invitation", json!({ "email": "ada@example.com", "password": PASSWORD, "invitation": "nonsense" })),
        ("invitation", json!({ "email": "ada@example.com", "password": PASSWORD, "invitation": "77.nonsense" })),
        ("is_admin", json!({ "email": "ada@example.com", "password": PASSWORD, "is_admin": true })),
    ] {
        let refused = register(&app, body).await.expect_problem(422, "invalid");
        assert_eq!(refused.errors(field).len(), 1, "{field}: {}", refused.text);
    }
    assert_eq!(app.database.count("SELECT count(*) FROM accounts").await, 0);
    assert_eq!(app.database.count("SELECT count(*) FROM clinics").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn emails_and_usernames_are_unique_regardless_of_case() {
    let app = TestApp::start().await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD, "username": "Ada" });
    register(&app, body).await.expect(201);
    let again = register(&app, json!({ "email": "ADA@example.com", "password": PASSWORD })).await;
    let again = again.expect_problem(409, "taken");
    assert_eq!(again.errors("email"), ["An account with this e-mail address already exists."]);
    let other = json!({ "email": "ada2@example.com", "password": PASSWORD, "username": "ADA" });
    assert_eq!(register(&app, other).await.expect_problem(409, "taken").errors("username").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_takes_the_email_or_the_username_at_either_path() {
    let app = TestApp::start().await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD, "username": "ada" });
    register(&app, body).await.expect(201);
    for path in ["/api/auth/login", "/api/token", "/api/auth/login/"] {
        for login in [json!({ "email": "Ada@example.com" }), json!({ "username": "ADA" })] {
            let mut body = login;
            body["password"] = PASSWORD.into();
            let answer = app.anonymous().post(path, body).await.expect(200);
            let session = Session::of(app.address, &answer.body);
            assert_eq!(session.get("/api/auth/me").await.expect(200).body["username"], "ada");
        }
    }
    let neither = app.anonymous().post("/api/auth/login", json!({ "password": PASSWORD })).await.expect(422);
    assert_eq!(neither.errors("email").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_login_and_a_wrong_password_look_the_same() {
    let app = TestApp::start().await;
    app.founder("ada").await;
    let login = async |email: &str| {
        let body = json!({ "email": email, "password": "not the password" });
        let refused = app.anonymous().post("/api/auth/login", body).await.expect_problem(401, "unauthenticated");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        let mut body = refused.body;
        body["instance"] = Value::Null;
        body
    };
    assert_eq!(login("ada@example.com").await, login("nobody@example.com").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_login_costs_what_a_known_one_costs() {
    let app = TestApp::start().await;
    app.founder("ada").await;
    for email in ["ada@example.com", "nobody@example.com"] {
        let body = json!({ "email": email, "password": "not the password" });
        let before = app.services.authn.passwords().hashed();
        app.anonymous().post("/api/auth/login", body).await.expect(401);
        // Hashing takes nearly all the time of a login.
        assert_eq!(app.services.authn.passwords().hashed() - before, 1, "{email}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_has_every_claim_and_names_its_key() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let token = admin.access.clone().unwrap();
    let part = |n: usize| -> Value {
        let part = token.split('.').nth(n).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (header, claims) = (part(0), part(1));
    assert_eq!(header["alg"], "EdDSA");
    assert!(header["kid"].is_string());
    for claim in ["iss", "aud", "sub", "clinic", "role", "typ", "jti", "iat", "nbf", "exp"] {
        assert!(!claims[claim].is_null(), "{claim}: {claims}");
    }
    assert_eq!(claims["sub"], admin.id.to_string());
    assert_eq!((&claims["clinic"], &claims["role"]), (&json!(admin.clinic), &json!("admin")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_401_with_a_challenge() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let good = admin.access.clone().unwrap();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let tampered = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for token in ["garbage", &tampered, &admin.refresh, ""] {
        let mut forged = admin.clone();
        forged.access = Some(token.to_owned());
        let refused = forged.get("/api/patients").await.expect_problem(401, "unauthenticated");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_rotates_and_a_reused_token_ends_the_session() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let first = json!(admin.refresh);
    let second = refresh(&app, &first).await.expect(200).body["refresh"].clone();
    assert_ne!(first, second);
    // Within the grace period, a client whose answer was lost can use the token again.
    refresh(&app, &first).await.expect(200);
    let third = refresh(&app, &second).await.expect(200).body["refresh"].clone();

    let mut db = app.database.connect().await;
    let later =
        "UPDATE refresh_tokens SET consumed_at = consumed_at - interval '1 minute' WHERE consumed_at IS NOT NULL";
    sqlx::raw_sql(later).execute(&mut db).await.unwrap();
    refresh(&app, &first).await.expect_problem(401, "unauthenticated");
    refresh(&app, &third).await.expect_problem(401, "unauthenticated");
    // Another session of the same account stays valid.
    app.login("ada@example.com").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_has_expired_is_refused() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let mut db = app.database.connect().await;
    sqlx::raw_sql("UPDATE refresh_tokens SET expires_at = now()").execute(&mut db).await.unwrap();
    refresh(&app, &json!(admin.refresh)).await.expect(401);
    refresh(&app, &json!("unknown")).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_stored_as_hashes_only() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    admin.post("/api/invitations", json!({ "role": "staff" })).await.expect(201);
    let mut db = app.database.connect().await;
    let hash: String = sqlx::query_scalar("SELECT password_hash FROM accounts").fetch_one(&mut db).await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    let lengths: Vec<i32> = sqlx::query_scalar(
        "SELECT length(token_hash) FROM refresh_tokens UNION ALL SELECT length(token_hash) FROM invitations",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    assert_eq!(lengths, [32, 32]);
    let raw: Vec<u8> = URL_SAFE_NO_PAD.decode(&admin.refresh).unwrap();
    let plain: i64 = sqlx::query_scalar("SELECT count(*) FROM refresh_tokens WHERE token_hash IN ($1, $2)")
        .bind(raw)
        .bind(admin.refresh.as_bytes())
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(plain, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_its_own_session_and_nobody_elses() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let again = app.login("ada@example.com").await;
    let other = app.founder("eve").await;
    admin.post("/api/auth/logout", json!({ "refresh": other.refresh })).await.expect(204);
    refresh(&app, &json!(other.refresh)).await.expect(200);
    admin.post("/api/auth/logout", json!({ "refresh": admin.refresh })).await.expect(204);
    refresh(&app, &json!(admin.refresh)).await.expect(401);
    refresh(&app, &json!(again.refresh)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn me_is_read_and_renamed() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let me = admin.get("/api/auth/me").await.expect(200);
    assert_eq!((&me.body["id"], &me.body["role"]), (&json!(admin.id), &json!("admin")));
    assert_eq!(me.body["clinics"].as_array().unwrap().len(), 1);
    let body = json!({ "first_name": " Ada " });
    let renamed = admin
        .send(reqwest::Method::PATCH, "/api/auth/me", Some(body.clone()), &[("If-Match", me.header("etag"))])
        .await
        .expect(200);
    assert_eq!(renamed.body["first_name"], "Ada");
    admin
        .send(reqwest::Method::PATCH, "/api/auth/me", Some(body), &[("If-Match", me.header("etag"))])
        .await
        .expect_problem(412, "stale");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_switches_between_its_clinics() {
    let app = TestApp::start().await;
    let (ada, eve) = (app.founder("ada").await, app.founder("eve").await);
    let invited = ada.post("/api/invitations", json!({ "role": "staff" })).await.expect(201);
    // An existing account joins with its own password.
    let mut body =
        json!({ "email": "eve@example.com", "password": "a wrong password", "invitation": invited.body["invitation"] });
    register(&app, body.clone()).await.expect_problem(409, "taken");
    body["password"] = PASSWORD.into();
    let joined = Session::of(app.address, &register(&app, body).await.expect(201).body);
    assert_eq!((joined.id, joined.clinic), (eve.id, ada.clinic));
    assert_eq!(joined.get("/api/auth/me").await.expect(200).body["role"], "staff");

    let switched = joined.post("/api/auth/switch", json!({ "clinic": eve.clinic })).await.expect(200);
    let home = Session::of(app.address, &switched.body);
    let me = home.get("/api/auth/me").await.expect(200);
    assert_eq!((&me.body["role"], &me.body["clinic"]), (&json!("admin"), &json!(eve.clinic)));
    assert_eq!(me.body["clinics"].as_array().unwrap().len(), 2);
    ada.post("/api/auth/switch", json!({ "clinic": eve.clinic })).await.expect_problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_say_what_the_role_may_do() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let staff = app.user(&admin, "sam", "staff").await;
    let permissions = staff.get("/api/auth/permissions").await.expect(200);
    assert_eq!(permissions.body["role"], "staff");
    let granted = permissions.body["permissions"].as_array().unwrap();
    let of = |resource: &str, action: &str| {
        let found = granted.iter().find(|one| one["resource"] == resource && one["action"] == action);
        found.map(|one| one["scopes"].clone())
    };
    assert_eq!(of("doctors", "read"), Some(json!(["clinic"])));
    assert_eq!(of("patients", "delete"), Some(json!(["own"])));
    assert_eq!(of("doctors", "create"), None);
    let all = admin.get("/api/auth/permissions").await.expect(200);
    assert_eq!(all.body["permissions"].as_array().unwrap().len(), 32);
}

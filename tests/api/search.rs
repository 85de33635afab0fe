//! Search: which patients the words of a query match, and which of them each role finds.

use serde_json::json;

use crate::support::{Session, TestApp};

/// Returns the query string for a text. Every byte is escaped.
fn query(text: &str) -> String {
    text.bytes().fold("search=".to_owned(), |query, byte| format!("{query}%{byte:02X}"))
}

async fn found(session: &Session, text: &str) -> Vec<i64> {
    session.get(&format!("/api/patients?{}", query(text))).await.expect(200).ids()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_word_must_match_in_any_order_and_case() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let new = async |first: &str, last: &str, email: &str| {
        let body = json!({ "first_name": first, "last_name": last, "email": email });
        admin.post("/api/patients", body).await.expect(201).id()
    };
    let ana = new("Ana Maria", "Silva", "ana@example.com").await;
    let pat = new("Patricia", "P17 O'Neil-Åberg", "p.oneil@example.org").await;
    let odd = new(r"100%_\", "Silvestre", "odd@example.com").await;
    for (text, expected) in [
        ("silva ana", vec![ana]),
        ("ANA  SILVA", vec![ana]),
        ("maria silva ana@ex", vec![ana]),
        ("sil", vec![odd, ana]),
        ("lva", vec![ana]),
        ("silva silva", vec![ana]),
        ("silva patricia", vec![]),
        ("pat p1", vec![pat]),
        ("pat 17", vec![]),
        ("o'neil", vec![pat]),
        ("neil-å", vec![pat]),
        ("example.org", vec![pat]),
        // A text of fewer than three characters matches the start of a word.
        ("si", vec![odd, ana]),
        ("lv", vec![]),
        ("a", vec![ana]),
        ("s m", vec![ana]),
        // Special characters of patterns match themselves.
        ("100%_", vec![odd]),
        (r"0%_\", vec![odd]),
        ("0__", vec![]),
        ("si%va", vec![]),
        ("%", vec![]),
        ("_", vec![]),
        (r"\", vec![]),
    ] {
        assert_eq!(found(&admin, text).await, expected, "{text}");
    }
    admin.patch(&format!("/api/patients/{ana}"), json!({ "last_name": "Souza" })).await.expect(200);
    assert_eq!((found(&admin, "silva").await, found(&admin, "souza").await), (vec![], vec![ana]));
    admin.delete(&format!("/api/patients/{ana}")).await.expect(204);
    assert_eq!(found(&admin, "souza").await, [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_number_is_found_by_its_digits_in_any_notation() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let new = async |phone: &str| {
        let body = json!({ "first_name": "Rui", "last_name": "Costa", "phone_number": phone });
        admin.post("/api/patients", body).await.expect(201).id()
    };
    let spaced = new("+351 910 000 201").await;
    let plain = new("00351910000202 ext. B").await;
    for (text, expected) in [
        ("+351910000201", vec![spaced]),
        ("910 000 201", vec![spaced]),
        ("(351) 910-000-201", vec![spaced]),
        ("351.910/000.20", vec![plain, spaced]),
        ("910 000 202", vec![plain]),
        ("rui 910 000 201 costa", vec![spaced]),
        ("910 00", vec![plain, spaced]),
        ("201 000 910", vec![]),
        ("ext.", vec![plain]),
    ] {
        assert_eq!(found(&admin, text).await, expected, "{text}");
    }
}

/// 3,000 patients of one clinic, half of them the staff user's, a third of them the doctor's: Silva is every 9th,
/// Quintela every 90th, Zubrowka two of the oldest. Every 13th is deleted, and every 7th assignment is over.
const FILL: &str = "
    INSERT INTO patients (clinic_id, first_name, last_name, created_by, deleted_at)
    SELECT $1, 'Ana',
        CASE
            WHEN n IN (12, 18) THEN 'Zubrowka' WHEN n % 90 = 0 THEN 'Quintela' WHEN n % 9 = 3 THEN 'Silva' ELSE 'Costa'
        END,
        CASE WHEN n % 2 = 0 THEN $2 ELSE $3 END, CASE WHEN n % 13 = 0 THEN now() END
    FROM generate_series(1, 3000) AS n";
const ASSIGN: &str = "
    INSERT INTO mappings (clinic_id, patient_id, doctor_id, assigned_by, is_active)
    SELECT clinic_id, id, $2, $3, id % 7 <> 0 FROM patients WHERE clinic_id = $1 AND id % 3 = 0";

/// Returns all ids of a search, page by page.
async fn walked(session: &Session, text: &str) -> Vec<i64> {
    let (mut path, mut met) = (format!("/api/patients?limit=100&{}", query(text)), Vec::new());
    loop {
        let page = session.get(&path).await.expect(200);
        met.extend(page.ids());
        let Some(next) = page.header("link").strip_prefix('<').and_then(|link| link.split('>').next()) else {
            return met;
        };
        path = next.to_owned();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_finds_exactly_its_own_patients_in_order() {
    let app = TestApp::start().await;
    let (admin, stranger) = (app.founder("ada").await, app.founder("eve").await);
    let (staff, doctor) = (app.user(&admin, "sam", "staff").await, app.user(&admin, "dora", "doctor").await);
    let profile = admin.new_doctor_login(doctor.id).await;
    let mut db = app.database.connect().await;
    for (session, owner) in [(&admin, staff.id), (&stranger, stranger.id)] {
        let fill = sqlx::query(FILL).bind(session.clinic).bind(owner).bind(session.id);
        fill.execute(&mut db).await.unwrap();
    }
    let assign = sqlx::query(ASSIGN).bind(admin.clinic).bind(profile).bind(admin.id);
    assign.execute(&mut db).await.unwrap();
    let seen = "SELECT id FROM patients p
                WHERE clinic_id = $1 AND deleted_at IS NULL AND lower(first_name || last_name) LIKE '%' || $2 || '%'
                  AND ($3::bigint IS NULL OR created_by = $3)
                  AND ($4::bigint IS NULL OR EXISTS (
                      SELECT FROM mappings m WHERE m.patient_id = p.id AND m.doctor_id = $4 AND m.is_active
                  ))
                ORDER BY id DESC";
    for (session, owner, of_doctor) in
        [(&admin, None, None), (&staff, Some(staff.id), None), (&doctor, None, Some(profile)), (&stranger, None, None)]
    {
        for word in ["silva", "quintela", "zubrowka", "ana", "nobody"] {
            let seen = sqlx::query_scalar(seen).bind(session.clinic).bind(word).bind(owner).bind(of_doctor);
            let expected: Vec<i64> = seen.fetch_all(&mut db).await.unwrap();
            assert!(expected.is_empty() == (word == "nobody"), "{word}");
            assert_eq!(walked(session, word).await, expected, "{word} of {}", session.id);
            assert_eq!(walked(session, &format!("{word} an")).await, expected, "{word} of {}", session.id);
        }
    }
    // A filter narrows what the role sees, and never widens it.
    let of_staff = format!("/api/patients?search=zubrowka&created_by={}", staff.id);
    assert_eq!(admin.get(&of_staff).await.expect(200).ids(), found(&staff, "zubrowka").await);
    let of_admin = format!("/api/patients?search=silva&created_by={}", admin.id);
    assert_eq!(staff.get(&of_admin).await.expect(200).ids(), [0; 0]);
    let expected = admin.get(&format!("{of_admin}&limit=200")).await.expect(200).ids();
    let of_both = doctor.get(&format!("{of_admin}&limit=200")).await.expect(200).ids();
    assert!(!of_both.is_empty() && of_both.len() < expected.len());
}

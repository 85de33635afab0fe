//! Nodes that receive no notifications, or too late: each still answers by the database's state.

use std::time::Duration;

use crate::support::{Failure, Process, Proxy, Session, TestApp, TestDatabase, booking, founder};

/// A node behind a proxy with a doctor's schedule in memory, and a second node that starts when the first one no longer
/// receives anything.
struct Apart {
    _proxy: Proxy,
    _nodes: [TestApp; 2],
    here: Session,
    there: Session,
    doctor: i64,
    patients: [i64; 2],
}

async fn apart(failure: Failure) -> Apart {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let deaf = TestApp::start_behind(&proxy, &database).await;
    let here = deaf.founder("ada").await;
    let (doctor, patients) = (here.new_doctor().await, [here.new_patient().await, here.new_patient().await]);
    here.new_appointment(doctor, patients[0], "00:00").await;
    proxy.fail(failure);
    let other = TestApp::start_on(database).await;
    let there = here.at(other.address);
    there.new_appointment(doctor, patients[0], "01:00").await;
    Apart { _proxy: proxy, _nodes: [deaf, other], here, there, doctor, patients }
}

impl Apart {
    /// Asserts that the first node can book again what one node booked and the other cancelled, in both orders.
    async fn hand_over(&self) {
        let (doctor, [patient, other]) = (self.doctor, self.patients);
        for round in 4..44 {
            let time = format!("{:02}:{:02}", round / 2, round % 2 * 30);
            for (here, there) in [(&self.here, &self.there), (&self.there, &self.here)] {
                let id = here.new_appointment(doctor, patient, &time).await;
                there.delete(&format!("/api/appointments/{id}")).await.expect(204);
                let id = here.new_appointment(doctor, other, &time).await;
                there.delete(&format!("/api/appointments/{id}")).await.expect(204);
            }
        }
    }
}

/// Returns the starts that a node offers on the day of the tests.
async fn offered(session: &Session, doctor: i64) -> Vec<String> {
    let path = format!("/api/doctors/{doctor}/slots?from=2031-03-05T00:00:00Z&to=2031-03-06T00:00:00Z");
    let slots = session.get(&path).await.expect(200);
    let slots = slots.body.as_array().expect("slots").clone();
    slots.iter().map(|slot| slot["start"].as_str().expect("a start")[11..16].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_silent_listener_refuses_no_freed_time() {
    apart(Failure::ListenersSilent).await.hand_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_both_seem_alone_refuse_no_freed_time() {
    apart(Failure::ListenersHalfOpen).await.hand_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_beside_one_with_a_cut_listener_refuses_no_freed_time() {
    let nodes = apart(Failure::ListenersHalfOpen).await;
    let Apart { here, there, doctor, patients: [patient, other], .. } = &nodes;
    let id = here.new_appointment(*doctor, *patient, "10:00").await;
    // The other node has the schedule in memory, with that time taken.
    there.post("/api/appointments", booking(*doctor, *other, "10:00")).await.expect_problem(409, "slot-taken");
    here.delete(&format!("/api/appointments/{id}")).await.expect(204);
    there.new_appointment(*doctor, *other, "10:00").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_paused_while_another_starts_refuses_no_freed_time() {
    let database = TestDatabase::create().await;
    let paused = Process::start(&database.url);
    let here = founder(paused.address, "ada").await;
    let (doctor, patient, other) = (here.new_doctor().await, here.new_patient().await, here.new_patient().await);
    here.new_appointment(doctor, patient, "00:00").await;
    paused.pause();
    let started = Process::start(&database.url);
    tokio::time::sleep(Duration::from_secs(1)).await;
    paused.resume();
    let there = here.at(started.address);
    for _ in 0..150 {
        for (here, there) in [(&here, &there), (&there, &here)] {
            let id = here.new_appointment(doctor, patient, "10:00").await;
            there.delete(&format!("/api/appointments/{id}")).await.expect(204);
            let id = here.new_appointment(doctor, other, "10:00").await;
            there.delete(&format!("/api/appointments/{id}")).await.expect(204);
        }
        // The rounds then last longer than any exchange between the nodes.
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert_eq!(database.overlapping_pairs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_offers_no_time_that_was_just_taken_on_another() {
    let first = TestApp::start().await;
    let second = TestApp::start_on(first.database.clone()).await;
    let here = first.founder("ada").await;
    let there = here.at(second.address);
    let (doctor, patient) = (here.new_doctor().await, here.new_patient().await);
    for (here, there, hour) in [(&here, &there, 0), (&there, &here, 12)] {
        offered(there, doctor).await;
        for n in 0..24 {
            let time = format!("{:02}:{:02}", hour + n / 2, n % 2 * 30);
            here.new_appointment(doctor, patient, &time).await;
            let offered = offered(there, doctor).await;
            assert!(!offered.contains(&time), "{time} is taken and offered: {offered:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_silent_listener_offers_no_taken_time() {
    let nodes = apart(Failure::ListenersSilent).await;
    let Apart { here, there, doctor, patients: [patient, _], .. } = &nodes;
    offered(here, *doctor).await;
    there.new_appointment(*doctor, *patient, "10:00").await;
    let offered = offered(here, *doctor).await;
    assert!(!offered.contains(&"10:00".to_owned()), "{offered:?}");
    assert!(offered.contains(&"10:30".to_owned()), "{offered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnected_node_offers_nothing_taken_meanwhile() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let deaf = TestApp::start_behind(&proxy, &database).await;
    let other = TestApp::start_on(database).await;
    let here = deaf.founder("ada").await;
    let there = here.at(other.address);
    let (doctor, patient) = (here.new_doctor().await, here.new_patient().await);
    offered(&here, doctor).await;
    proxy.fail(Failure::ListenersCut);
    there.new_appointment(doctor, patient, "10:00").await;
    // At once, and after the time that a reconnect takes.
    for _ in 0..40 {
        let offered = offered(&here, doctor).await;
        assert!(!offered.contains(&"10:00".to_owned()), "{offered:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_silent_connections_refuses_no_freed_time() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let deaf = TestApp::start_behind(&proxy, &database).await;
    let here = deaf.founder("ada").await;
    let (doctor, patient, other) = (here.new_doctor().await, here.new_patient().await, here.new_patient().await);
    let id = here.new_appointment(doctor, patient, "10:00").await;
    proxy.fail(Failure::AllSilent);
    let started = TestApp::start_on(database).await;
    here.at(started.address).delete(&format!("/api/appointments/{id}")).await.expect(204);
    for _ in 0..20 {
        let answer = here.post("/api/appointments", booking(doctor, other, "10:00")).await;
        if answer.status == 201 {
            return;
        }
        // The node cannot answer without the database.
        answer.expect(503);
    }
    panic!("the node never connects again");
}

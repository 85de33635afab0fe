//! An outage of the database. It is logged once, and connections are retried one at a time, so that a starting server
//! is not flooded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::clock;

/// The first pause after a failed connection. Every further pause is twice as long.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause. It bounds the time until the program is healthy again after the server.
const LONGEST: Duration = Duration::from_secs(1);

/// The outage state shared by all connections to one database.
#[derive(Default)]
pub(super) struct Outage {
    since: Mutex<Option<Since>>,
    /// Whether any work was done since the outage began. If so, open connections work, but new ones fail.
    is_partial: AtomicBool,
}

/// An outage: connecting fails.
struct Since {
    began: Instant,
    pause: Duration,
    /// When the next attempt, a single one, may begin.
    next: Instant,
}

/// The permission to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// No outage is known.
    Free,
    /// The only attempt at this time of an outage.
    Probe,
}

impl Outage {
    /// Requests the permission to connect, which may take `longest`. During an outage one attempt at a time is
    /// permitted, after a pause.
    pub(super) fn attempt(&self, longest: Duration) -> Option<Attempt> {
        self.attempt_at(clock::instant(), longest)
    }

    /// As [`attempt`](Self::attempt), but waits for the permission if other connections still work. Otherwise a failing
    /// connection would attract their work.
    pub(super) async fn next_attempt(&self, longest: Duration) -> Option<Attempt> {
        let until = clock::instant() + 2 * LONGEST;
        loop {
            let attempt = self.attempt(longest);
            let waits = self.is_partial.load(Ordering::Relaxed) && clock::instant() < until;
            if attempt.is_some() || !waits {
                return attempt;
            }
            tokio::time::sleep(FIRST).await;
        }
    }

    /// Records that work was done on an open connection.
    pub(super) fn worked(&self) {
        self.is_partial.store(true, Ordering::Relaxed);
    }

    /// Records that an attempt failed.
    pub(super) fn failed(&self, attempt: Attempt, why: &dyn std::fmt::Display) {
        // The pause is multiplied by 0.5 to 1.5, so that nodes do not retry at the same time.
        let part = Uuid::new_v4().as_u128() % 1000;
        if self.failed_at(clock::instant(), attempt, 0.5 + part as f64 / 1000.0) {
            tracing::warn!(error = %why, "cannot connect to the database; trying again after pauses of up to a second");
        }
    }

    /// Records that an attempt succeeded: the outage is over.
    pub(super) fn ended(&self) {
        if let Some(length) = self.ended_at(clock::instant()) {
            tracing::warn!(seconds = length.as_secs_f64(), "connected to the database again");
        }
    }

    fn attempt_at(&self, now: Instant, longest: Duration) -> Option<Attempt> {
        match self.since.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            None => Some(Attempt::Free),
            Some(since) if now < since.next => None,
            Some(since) => {
                // If the result of this attempt is never reported, another one is permitted then.
                since.next = now + longest;
                Some(Attempt::Probe)
            }
        }
    }

    /// Returns whether the outage begins with this failure.
    fn failed_at(&self, now: Instant, attempt: Attempt, part: f64) -> bool {
        let mut outage = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        match outage.as_mut() {
            None => {
                self.is_partial.store(false, Ordering::Relaxed);
                *outage = Some(Since { began: now, pause: FIRST, next: now + FIRST.mul_f64(part) });
                true
            }
            Some(since) => {
                // Attempts that began before the outage was known give no new information.
                if attempt == Attempt::Probe {
                    since.pause = (since.pause * 2).min(LONGEST);
                    since.next = now + since.pause.mul_f64(part);
                }
                false
            }
        }
    }

    /// Returns how long the outage lasted.
    fn ended_at(&self, now: Instant) -> Option<Duration> {
        let ended = self.since.lock().unwrap_or_else(PoisonError::into_inner).take();
        ended.map(|since| now.duration_since(since.began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3);

    #[test]
    fn an_outage_is_logged_when_it_begins_and_when_it_ends() {
        let (outage, begun) = (Outage::default(), clock::instant());
        assert_eq!(outage.ended_at(begun), None);
        assert!(outage.failed_at(begun, Attempt::Free, 1.0));
        assert!(!outage.failed_at(begun + Duration::from_secs(1), Attempt::Probe, 1.0));
        assert_eq!(outage.ended_at(begun + Duration::from_secs(3)), Some(Duration::from_secs(3)));
        assert_eq!(outage.ended_at(begun + Duration::from_secs(4)), None);
        assert!(outage.failed_at(begun + Duration::from_secs(5), Attempt::Free, 1.0));
    }

    #[test]
    fn one_retry_at_a_time_with_pauses_that_double_to_one_second() {
        let (outage, mut now) = (Outage::default(), clock::instant());
        for _ in 0..16 {
            assert_eq!(outage.attempt_at(now, LONG), Some(Attempt::Free));
        }
        for _ in 0..16 {
            outage.failed_at(now, Attempt::Free, 1.0);
        }
        for pause in [50, 100, 200, 400, 800, 1000, 1000].map(Duration::from_millis) {
            assert_eq!(outage.attempt_at(now + pause - Duration::from_millis(1), LONG), None);
            now += pause;
            assert_eq!(outage.attempt_at(now, LONG), Some(Attempt::Probe));
            assert_eq!(outage.attempt_at(now, LONG), None);
            outage.failed_at(now, Attempt::Probe, 1.0);
        }
        // An attempt whose result is never reported blocks others for as long as it may take.
        now += LONGEST;
        assert_eq!(outage.attempt_at(now, LONG), Some(Attempt::Probe));
        assert_eq!(outage.attempt_at(now + LONG, LONG), Some(Attempt::Probe));
        outage.ended_at(now + LONG);
        assert_eq!(outage.attempt_at(now + LONG, LONG), Some(Attempt::Free));
    }
}

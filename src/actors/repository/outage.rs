//! An outage of the database: it is told once, and a server that starts is not hammered by all who want to connect.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::clock;

/// The first pause after a failure to connect; each of the next is twice as long.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause: by this the program is healthy soon after the server is.
const LONGEST: Duration = Duration::from_secs(1);

/// What all connections to one database know of it.
#[derive(Default)]
pub(super) struct Outage {
    since: Mutex<Option<Since>>,
    /// Whether any work was done since it began: then there are connections, only no more of them.
    is_partial: AtomicBool,
}

/// Connecting fails.
struct Since {
    began: Instant,
    pause: Duration,
    /// When it is tried again, by one.
    next: Instant,
}

/// Leave to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Nothing is known against it.
    Free,
    /// The only one at this time of an outage.
    Probe,
}

impl Outage {
    /// Asks for leave to connect, which may take so long. During an outage there is leave for one at a time, after a pause.
    pub(super) fn attempt(&self, longest: Duration) -> Option<Attempt> {
        self.attempt_at(clock::instant(), longest)
    }

    /// As [`attempt`](Self::attempt). Where others have connections, their work is not drawn to the one that has none: it waits for
    /// its leave.
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

    /// Work was done on a connection that is open.
    pub(super) fn worked(&self) {
        self.is_partial.store(true, Ordering::Relaxed);
    }

    /// An attempt failed.
    pub(super) fn failed(&self, attempt: Attempt, why: &dyn std::fmt::Display) {
        // Half to one and a half times, so that nodes do not come together.
        let part = Uuid::new_v4().as_u128() % 1000;
        if self.failed_at(clock::instant(), attempt, 0.5 + part as f64 / 1000.0) {
            tracing::warn!(error = %why, "cannot connect to the database; trying again after pauses of up to a second");
        }
    }

    /// An attempt succeeded: the outage is over.
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
                // Should nobody hear of its end, another is made then.
                since.next = now + longest;
                Some(Attempt::Probe)
            }
        }
    }

    /// Answers whether the outage begins with it.
    fn failed_at(&self, now: Instant, attempt: Attempt, part: f64) -> bool {
        let mut outage = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        match outage.as_mut() {
            None => {
                self.is_partial.store(false, Ordering::Relaxed);
                *outage = Some(Since { began: now, pause: FIRST, next: now + FIRST.mul_f64(part) });
                true
            }
            Some(since) => {
                // Those that began before the outage was known say nothing new.
                if attempt == Attempt::Probe {
                    since.pause = (since.pause * 2).min(LONGEST);
                    since.next = now + since.pause.mul_f64(part);
                }
                false
            }
        }
    }

    /// Answers how long the outage was.
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
        // One whose end nobody hears of keeps the others away for as long as it may take.
        now += LONGEST;
        assert_eq!(outage.attempt_at(now, LONG), Some(Attempt::Probe));
        assert_eq!(outage.attempt_at(now + LONG, LONG), Some(Attempt::Probe));
        outage.ended_at(now + LONG);
        assert_eq!(outage.attempt_at(now + LONG, LONG), Some(Attempt::Free));
    }
}

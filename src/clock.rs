//! The only place that reads a clock. All other code is given the time (`clippy.toml` enforces it).
#![expect(clippy::disallowed_methods, reason = "this is the place")]

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// Returns the current time.
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Returns the time of a monotonic clock, for waits and deadlines.
pub fn instant() -> Instant {
    Instant::now()
}

/// Returns the time until `deadline`, at least 100 ms, so that work that is already done is still noticed.
pub fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(instant()).max(Duration::from_millis(100))
}

//! The one place that looks at a clock. Everything else is told the time (`clippy.toml` holds it).
#![expect(clippy::disallowed_methods, reason = "this is the place")]

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// The time of day.
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The time of a clock that never goes back: for waits and deadlines.
pub fn instant() -> Instant {
    Instant::now()
}

/// How long it is until then, at least a moment: what is done already is seen to be.
pub fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(instant()).max(Duration::from_millis(100))
}

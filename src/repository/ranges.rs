//! Spans of time as PostgreSQL keeps them.

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgRange;

use super::{Error, Result};
use crate::domain::Interval;

/// Converts a stored range into an interval.
pub(super) fn interval(range: &PgRange<DateTime<Utc>>) -> Result<Interval> {
    use std::ops::Bound::{Excluded, Included};
    match (range.start, range.end) {
        (Included(start), Excluded(end)) => Interval::between(start, end),
        _ => None,
    }
    .ok_or_else(|| Error::Corrupt("a range of time that is not [start, end)".into()))
}

/// Converts an interval into a range to store.
pub(super) fn range(during: &Interval) -> PgRange<DateTime<Utc>> {
    PgRange::from(during.start()..during.end())
}

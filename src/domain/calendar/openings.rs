//! When a doctor works in a span of time: the union of the windows, less the days on which the clinic
//! is closed; and the starts that are offered.

use chrono::{DateTime, Duration, NaiveDate, Utc};

use super::rules::{Rules, joined};
use crate::domain::Interval;

/// When the doctor works around a span of time, each list in order and without overlap.
#[derive(Debug)]
pub(super) struct Openings {
    /// The union of the windows.
    scheduled: Vec<Interval>,
    /// The same without closed days: neither the windows that start on one nor what spills into one.
    open: Vec<Interval>,
    /// The closed days.
    closed: Vec<Interval>,
}

impl Openings {
    /// Around `[from, to)`.
    pub(super) fn around(rules: &Rules, from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        let mut scheduled = Vec::new();
        let mut open = Vec::new();
        let mut closed = Vec::new();
        // No window is longer than a day, so what reaches into a day began at most a day earlier; that
        // day's own closing can only cut it.
        let first = rules.day_of(from);
        let first = first.pred_opt().unwrap_or(first);
        let last = rules.day_of(to);
        for day in first.iter_days().take_while(|day| *day <= last) {
            let windows = rules.windows(day);
            if rules.is_closed(day) {
                closed.extend(rules.day(day));
            } else {
                open.extend_from_slice(&windows);
            }
            scheduled.extend(windows);
        }
        let mut open = union(open);
        if !closed.is_empty() {
            open = open.into_iter().flat_map(|span| without(span, &closed)).collect();
        }
        Self { scheduled: union(scheduled), open, closed }
    }

    /// Whether all of it lies in working hours.
    pub(super) fn is_scheduled(&self, during: &Interval) -> bool {
        contains(&self.scheduled, during)
    }

    /// Whether the clinic's closing stands against it.
    pub(super) fn is_closed(&self, during: &Interval) -> bool {
        let on_closed_day = self.closed.iter().any(|day| day.overlaps(during));
        on_closed_day || (self.is_scheduled(during) && !contains(&self.open, during))
    }
}

/// The starts that are offered on a local day, in order. Each window's are anchored to its start and
/// step by the slot length; they end where the window does, or where the next day's windows begin.
pub(super) fn starts(rules: &Rules, day: NaiveDate) -> Vec<DateTime<Utc>> {
    if rules.is_closed(day) {
        return Vec::new();
    }
    let next = day.succ_opt().filter(|day| !rules.is_closed(*day));
    let next_begins = next.and_then(|day| rules.windows(day).first().map(Interval::start));
    let mut starts = Vec::new();
    for window in rules.windows(day) {
        let end = next_begins.filter(|begins| *begins > window.start()).unwrap_or(window.end()).min(window.end());
        let mut at = window.start();
        while at < end {
            starts.push(at);
            at += rules.slot.max(Duration::minutes(1));
        }
    }
    starts
}

/// The same time as spans that neither overlap nor meet.
fn union(mut spans: Vec<Interval>) -> Vec<Interval> {
    spans.sort_unstable();
    spans.dedup_by(|later, earlier| joined(earlier, *later, true));
    spans
}

/// What is left of a span without the `removed` ones, which are in order.
fn without(span: Interval, removed: &[Interval]) -> Vec<Interval> {
    let mut left = Vec::new();
    let mut from = span.start();
    for gone in removed.iter().filter(|gone| gone.overlaps(&span)) {
        left.extend(Interval::of_rule(from, gone.start()));
        from = from.max(gone.end());
    }
    left.extend(Interval::of_rule(from, span.end()));
    left
}

/// Whether one of the spans holds all of `during`.
fn contains(spans: &[Interval], during: &Interval) -> bool {
    let after = spans.partition_point(|span| span.start() <= during.start());
    after.checked_sub(1).is_some_and(|at| during.end() <= spans[at].end())
}

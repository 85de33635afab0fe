//! A doctor's working time in a span: the union of the windows without the clinic's closed days. Also the starts of the
//! slot grid.

use chrono::{DateTime, Duration, NaiveDate, Utc};

use super::rules::{Rules, joined};
use crate::domain::Interval;

/// The doctor's working time around a span. Each list is sorted and has no overlaps.
#[derive(Debug)]
pub(super) struct Openings {
    /// The union of the windows.
    scheduled: Vec<Interval>,
    /// The same without closed days. Windows that start on a closed day are removed. So are the parts of other windows
    /// that reach into one.
    open: Vec<Interval>,
    /// The closed days.
    closed: Vec<Interval>,
}

impl Openings {
    /// Computes the working time around `[from, to)`.
    pub(super) fn around(rules: &Rules, from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        let mut scheduled = Vec::new();
        let mut open = Vec::new();
        let mut closed = Vec::new();
        // A window is at most one day long. So a window that reaches into `from`'s day began at most one day earlier.
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

    /// Returns whether all of `during` is within working hours.
    pub(super) fn is_scheduled(&self, during: &Interval) -> bool {
        contains(&self.scheduled, during)
    }

    /// Returns whether a closed day of the clinic prevents `during`.
    pub(super) fn is_closed(&self, during: &Interval) -> bool {
        let on_closed_day = self.closed.iter().any(|day| day.overlaps(during));
        on_closed_day || (self.is_scheduled(during) && !contains(&self.open, during))
    }
}

/// Returns the starts of the slot grid on a local day, in order. The grid of each window begins at the window's start
/// and advances by the slot length. It ends with the window, or where the windows of the next day begin.
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

/// Merges the spans that overlap or touch.
fn union(mut spans: Vec<Interval>) -> Vec<Interval> {
    spans.sort_unstable();
    spans.dedup_by(|later, earlier| joined(earlier, *later, true));
    spans
}

/// Returns the parts of a span that remain without the `removed` ones. `removed` must be sorted.
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

/// Returns whether one of the spans contains all of `during`.
fn contains(spans: &[Interval], during: &Interval) -> bool {
    let after = spans.partition_point(|span| span.start() <= during.start());
    after.checked_sub(1).is_some_and(|at| during.end() <= spans[at].end())
}

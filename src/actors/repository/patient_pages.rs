//! The reader of patients' pages. Requests that arrive while its connection is busy become one round trip. Requests for
//! the same page share one answer, and a page that has not changed is not read again.
//!
//! The statement begins after all requests of a group, so each sees at least what was committed before it. The database
//! decides for each page whether the cached rows are still current. The reader handles pages whose cost is proportional
//! to their rows: of a whole clinic, of one owner, or of one doctor. Workers read all other lists.

use std::sync::Arc;

use chrono::NaiveDate;
use futures_util::FutureExt;
use indexmap::IndexMap;

use super::connection::{Connection, tell};
use super::grouping::{GroupedWork, Pending};
use super::{Error, Result, Shared};
use crate::domain::patients::Patient;
use crate::repository::context::Grouped;
use crate::repository::patient_groups;
use crate::repository::patient_groups::{PageRead, PatientPage};

/// The maximum number of cached pages per reader.
const REMEMBERED: usize = 256;
/// The maximum text of a cached page, in bytes.
const LONGEST: usize = 64 * 1024;

/// Pages of patients.
pub(super) struct PatientPages;

type Rows = Arc<Shared<Patient>>;

/// The most recently read pages, with their marks.
#[derive(Default)]
pub(super) struct Memory {
    pages: IndexMap<PatientPage, (String, Rows)>,
    /// The opening of the connection in which they were read.
    opened: u64,
    /// The day on which they were read, because a rendered page contains ages.
    day: NaiveDate,
}

impl Memory {
    /// Drops the pages of another opening or day.
    fn keep_only_of(&mut self, opened: u64, day: NaiveDate) {
        if (self.opened, self.day) != (opened, day) {
            *self = Self { opened, day, ..Self::default() };
        }
    }

    fn keep(&mut self, page: PatientPage, mark: String, rows: Rows) {
        if self.pages.len() >= REMEMBERED && !self.pages.contains_key(&page) {
            self.pages.shift_remove_index(0);
        }
        self.pages.insert(page, (mark, rows));
    }
}

fn is_short(rows: &[Patient]) -> bool {
    let length = |row: &Patient| {
        let long = [&row.details.medical_history, &row.details.address];
        // The other fields are short.
        512 + long.into_iter().flatten().map(String::len).sum::<usize>()
    };
    rows.iter().map(length).sum::<usize>() <= LONGEST
}

impl GroupedWork for PatientPages {
    const NAME: &'static str = "patient_pages";
    const LARGEST: usize = 64;
    type Item = PatientPage;
    type Answer = Rows;
    type Memory = Memory;

    async fn work(connection: &mut Connection, memory: &mut Memory, group: Vec<Pending<Self>>) {
        let mut pages: IndexMap<PatientPage, Vec<_>> = IndexMap::new();
        for (page, answer) in group {
            pages.entry(page).or_default().push(answer);
        }
        let (known, read) = loop {
            let opened = connection.times_opened();
            memory.keep_only_of(opened, crate::clock::now().date_naive());
            let known: Vec<_> = pages.keys().map(|page| memory.pages.get(page).cloned()).collect();
            let marks = known.iter().map(|known| known.as_ref().map(|(mark, _)| mark.clone()));
            let asked: Vec<_> = pages.keys().copied().zip(marks).collect();
            let read = connection.read(Grouped::OF_ANY_CLINICS, move |db| {
                async move { patient_groups::pages(db, &asked).await }.boxed()
            });
            let read = read.await.inspect_err(|error| tell(error, "pages of patients"));
            // Marks are only comparable within one opening of the connection. If it was just reopened, the pages are
            // read again.
            if read.is_err() || opened == connection.times_opened() {
                break (known, read);
            }
        };
        let (read, failure) = match read {
            Ok(read) => (read, Error::Unavailable),
            Err(error) => (Vec::new(), error),
        };
        let mut read = read.into_iter();
        for ((page, answers), known) in pages.into_iter().zip(known) {
            let rows = match read.next() {
                Some(PageRead::Unchanged) => known.map(|(_, rows)| rows),
                Some(PageRead::Changed(rows, mark)) => {
                    let rows = Arc::new(Shared::from(rows));
                    if let Some(mark) = mark.filter(|_| is_short(rows.all())) {
                        memory.keep(page, mark, rows.clone());
                    }
                    Some(rows)
                }
                None => None,
            };
            for answer in answers {
                let _: Result<(), _> = answer.send(rows.clone().ok_or_else(|| failure.like()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::repository::Page;
    use crate::domain::patients::PatientDetails;
    use crate::domain::{AccountId, ClinicId, PatientId};

    #[test]
    fn a_page_is_cached_for_its_connection_and_its_day() {
        let page =
            PatientPage { clinic: ClinicId(1), owner: None, doctor: None, page: Page { before: None, limit: 51 } };
        let day = |day| NaiveDate::from_ymd_opt(2030, 1, day).unwrap();
        let mut memory = Memory::default();
        memory.keep_only_of(1, day(1));
        memory.keep(page, "mark".into(), Arc::new(Vec::new().into()));
        memory.keep_only_of(1, day(1));
        assert!(memory.pages.contains_key(&page));
        // Ages may change from one day to the next.
        memory.keep_only_of(1, day(2));
        assert!(memory.pages.is_empty());
        memory.keep(page, "mark".into(), Arc::new(Vec::new().into()));
        memory.keep_only_of(2, day(2));
        assert!(memory.pages.is_empty());
    }

    #[test]
    fn the_cache_of_pages_is_bounded_and_drops_the_oldest() {
        let mut memory = Memory::default();
        let page = |clinic| PatientPage {
            clinic: ClinicId(clinic),
            owner: None,
            doctor: None,
            page: Page { before: None, limit: 51 },
        };
        let all = 2 * REMEMBERED as i64;
        for clinic in 0..all {
            memory.keep(page(clinic), "mark".into(), Arc::new(Vec::new().into()));
        }
        let kept: Vec<_> = memory.pages.keys().copied().collect();
        assert_eq!(kept, (REMEMBERED as i64..all).map(page).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_of_long_histories_is_not_cached() {
        let at = crate::clock::now();
        let patient = |history: usize| Patient {
            id: PatientId(1),
            details: PatientDetails { medical_history: Some("x".repeat(history)), ..PatientDetails::default() },
            created_by: AccountId(1),
            created_at: at,
            updated_at: at,
            version: 1,
        };
        assert!(is_short(&vec![patient(500); 51]));
        assert!(!is_short(&vec![patient(20_000); 4]));
    }
}

//! The calendar reader: one round trip serves all schedules that ask while its connection is busy.

use futures_util::FutureExt;

use super::connection::{Connection, tell};
use super::grouping::{GroupedWork, Pending};
use super::{Error, Result};
use crate::domain::calendar::{CalendarCopy, SpanChange, Versions};
use crate::domain::proposal::PatientSide;
use crate::repository::calendars;
use crate::repository::calendars::{Known, Question, Since};
use crate::repository::context::Grouped;

/// Calendars, read in groups.
pub(super) struct Calendars;

/// The question of a schedule: the changes of its calendar, and the patients' appointments that matter for proposals.
#[derive(Debug, Clone)]
pub(crate) struct CalendarQuestion {
    /// The state of the calendar that the schedule knows.
    pub(crate) known: Known,
    /// The questions about patients.
    pub(crate) questions: Vec<Question>,
}

/// The current state of a calendar.
#[derive(Debug, Clone)]
pub(crate) enum Fresh {
    /// These changes lead to a state with these versions.
    Changed(Versions, Vec<SpanChange>),
    /// The calendar was read in full.
    Whole(CalendarCopy),
    /// The doctor does not exist any more.
    Gone,
}

/// The answer to a schedule.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// The current state of its calendar.
    pub(crate) fresh: Fresh,
    /// The patients' sides of the proposals, in the order of the questions.
    pub(crate) patients: Vec<PatientSide>,
}

impl GroupedWork for Calendars {
    const NAME: &'static str = "calendars";
    const LARGEST: usize = 64;
    type Item = CalendarQuestion;
    type Answer = Read;
    type Memory = ();

    async fn work(connection: &mut Connection, (): &mut (), group: Vec<Pending<Self>>) {
        let (asked, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let known: Vec<_> = asked.iter().map(|asked| asked.known).collect();
        let questions: Vec<_> = asked.iter().flat_map(|asked| asked.questions.iter().copied()).collect();
        let read = connection.read(Grouped::OF_ANY_CLINICS, move |db| {
            async move { calendars::read(db, &known, &questions).await }.boxed()
        });
        match read.await {
            Ok((since, sides)) => {
                let mut sides = sides.into_iter();
                for ((asked, since), answer) in asked.into_iter().zip(since).zip(answers) {
                    let patients = sides.by_ref().take(asked.questions.len()).collect();
                    let fresh = fresh(connection, asked.known, since).await;
                    let _ = answer.send(fresh.map(|fresh| Read { fresh, patients }));
                }
            }
            Err(error) => {
                tell(&error, "calendars");
                for answer in answers {
                    let _ = answer.send(Err(error.like()));
                }
            }
        }
    }
}

async fn fresh(connection: &mut Connection, known: Known, since: Since) -> Result<Fresh> {
    let Known { clinic, doctor, .. } = known;
    match since {
        Since::Changed(versions, changes) => Ok(Fresh::Changed(versions, changes)),
        Since::Gone => Ok(Fresh::Gone),
        Since::Rules => {
            let loaded = connection.read(clinic, move |db| async move { calendars::load(db, doctor).await }.boxed());
            match loaded.await {
                Ok(copy) => Ok(Fresh::Whole(copy)),
                Err(Error::NotFound) => Ok(Fresh::Gone),
                Err(error) => Err(error.like()),
            }
        }
    }
}

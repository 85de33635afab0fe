//! The calendar reader: what all schedules ask while its connection is busy is one round trip.

use futures_util::FutureExt;

use super::{
    Error, Result,
    connection::{Connection, tell},
    grouping::{Kind, Pending},
};
use crate::{
    domain::{
        calendar::{CalendarCopy, SpanChange, Versions},
        proposal::PatientSide,
    },
    repository::{
        calendars::{self, Known, Question, Since},
        context::Grouped,
    },
};

/// Calendars, read in groups.
pub(super) struct Calendars;

/// What a schedule asks: what its calendar has become, and what patients stand against proposals.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Which state of the calendar is known.
    pub(crate) known: Known,
    /// What else is asked.
    pub(crate) questions: Vec<Question>,
}

/// What a calendar has become.
#[derive(Debug, Clone)]
pub(crate) enum Fresh {
    /// It has changed by this, up to a state with these versions.
    Changed(Versions, Vec<SpanChange>),
    /// It was read whole.
    Whole(CalendarCopy),
    /// There is no such doctor any more.
    Gone,
}

/// What a schedule is told.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// What its calendar has become.
    pub(crate) fresh: Fresh,
    /// What the patients stand against the proposals, in the order of the questions.
    pub(crate) patients: Vec<PatientSide>,
}

impl Kind for Calendars {
    const NAME: &'static str = "calendars";
    const LARGEST: usize = 64;
    type Item = Asked;
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

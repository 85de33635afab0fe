//! The limits of the schedules.

use std::time::Duration;

/// The limits of the schedules.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many requests may wait for one doctor's schedule.
    pub per_doctor: usize,
    /// How many requests may wait for all schedules together.
    pub overall: usize,
    /// How long a caller waits for an answer.
    pub patience: Duration,
    /// After how long without a request a schedule leaves memory, at most twice as long.
    pub idle: Duration,
    /// How many schedules stay in memory; where more are asked for, those leave that were asked longest ago.
    pub resident: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_doctor: 256,
            overall: 4096,
            patience: Duration::from_secs(10),
            idle: Duration::from_secs(600),
            resident: 10_000,
        }
    }
}

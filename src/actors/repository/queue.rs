//! The queue in front of the workers, fair across clinics.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ractor::factory::queues::Queue;
use ractor::factory::{DiscardHandler, Job};

use super::Context;
use super::worker::Work;

/// Serves the waiting clinics in turn, so that a flood of one clinic does not starve the others.
#[derive(Default)]
pub(super) struct FairQueue {
    waiting: HashMap<Context, VecDeque<Job<Context, Work>>>,
    turns: VecDeque<Context>,
    length: usize,
}

impl Queue<Context, Work> for FairQueue {
    fn len(&self) -> usize {
        self.length
    }

    fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn push_back(&mut self, job: Job<Context, Work>) {
        let queue = self.waiting.entry(job.key).or_default();
        if queue.is_empty() {
            self.turns.push_back(job.key);
        }
        queue.push_back(job);
        self.length += 1;
    }

    fn pop_front(&mut self) -> Option<Job<Context, Work>> {
        let context = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&context)?;
        let job = queue.pop_front()?;
        self.length -= 1;
        if queue.is_empty() {
            self.waiting.remove(&context);
        } else {
            self.turns.push_back(context);
        }
        Some(job)
    }

    fn peek(&self) -> Option<&Job<Context, Work>> {
        self.waiting.get(self.turns.front()?)?.front()
    }

    fn discard_oldest(&mut self) -> Option<Job<Context, Work>> {
        self.pop_front()
    }

    /// Each piece of work checks its deadline itself when its turn comes.
    fn remove_expired_items(&mut self, _handler: &Option<Arc<dyn DiscardHandler<Context, Work>>>) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use ractor::factory::JobOptions;

    use super::*;
    use crate::domain::ClinicId;

    fn job(clinic: i64) -> Job<Context, Work> {
        Job {
            key: Context::Clinic(ClinicId(clinic)),
            msg: Work::new(|_| async {}.boxed()),
            options: JobOptions::default(),
            accepted: None,
        }
    }

    #[test]
    fn a_flood_of_one_clinic_does_not_starve_another() {
        let mut queue = FairQueue::default();
        for clinic in [1, 1, 1, 1, 2, 3, 2] {
            queue.push_back(job(clinic));
        }
        assert_eq!(queue.len(), 7);
        let served: Vec<_> = std::iter::from_fn(|| {
            let peeked = queue.peek().map(|job| job.key);
            let job = queue.pop_front()?;
            assert_eq!(peeked, Some(job.key));
            match job.key {
                Context::Clinic(ClinicId(id)) => Some(id),
                _ => None,
            }
        })
        .collect();
        assert_eq!(served, [1, 2, 3, 1, 2, 1, 1]);
        assert!(queue.is_empty());
    }
}

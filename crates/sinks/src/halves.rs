//! The search for what a destination refuses: what it refuses together is sent again in halves.

use crate::sink::{Delivered, DeliveryError, Event, Refusal};

/// Parts of a batch that are sent one after the other.
pub(crate) struct Halves<'u, T> {
    left: Vec<&'u [T]>,
}

impl<'u, T> Halves<'u, T> {
    /// At most `at_once` are sent together.
    pub(crate) fn new(whole: &'u [T], at_once: usize) -> Self {
        Self { left: whole.chunks(at_once.max(1)).rev().collect() }
    }

    /// The next part to send.
    pub(crate) fn next(&mut self) -> Option<&'u [T]> {
        self.left.pop()
    }

    /// Each half of a part comes next, by itself.
    pub(crate) fn split(&mut self, part: &'u [T]) {
        let (first, second) = part.split_at(part.len() / 2);
        self.left.extend([second, first]);
    }
}

/// Why a destination did not take events.
pub(crate) enum Untaken {
    /// It refuses them, or some of them.
    Refused(String),
    /// A later attempt may succeed.
    Failed(DeliveryError),
}

/// Events that are sent together and, if the destination refuses several at once, in halves.
pub(crate) struct EventHalves<'b> {
    batch: &'b [Event],
    halves: Halves<'b, Event>,
    refused: Vec<Refusal>,
}

impl<'b> EventHalves<'b> {
    /// At most `at_once` are sent together.
    pub(crate) fn new(batch: &'b [Event], at_once: usize) -> Self {
        Self { batch, halves: Halves::new(batch, at_once), refused: Vec::new() }
    }

    /// The next events to send.
    pub(crate) fn next(&mut self) -> Option<&'b [Event]> {
        self.halves.next()
    }

    /// How the destination answered to them: with those that it refuses, or that it took none.
    pub(crate) fn answered(
        &mut self,
        sent: &'b [Event],
        answer: Result<Vec<Refusal>, Untaken>,
    ) -> Result<(), DeliveryError> {
        match (answer, sent) {
            (Ok(refused), _) => self.refused.extend(refused),
            (Err(Untaken::Failed(error)), _) => return Err(error),
            (Err(Untaken::Refused(reason)), [event]) => self.refused.push(Refusal { id: event.id.clone(), reason }),
            (Err(Untaken::Refused(_)), sent) => self.halves.split(sent),
        }
        Ok(())
    }

    /// The result of the batch.
    pub(crate) fn delivered(self) -> Result<Delivered, DeliveryError> {
        Delivered::with_refused(self.batch, self.refused)
    }
}

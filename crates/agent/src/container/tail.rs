//! Where the log of a call ends that a function with a socket has answered.
//!
//! What the function writes takes its time: through the engine, and not with the answer. Where its pipes can be watched
//! (a [`Tap`]) nothing has to be waited for when it wrote nothing, and otherwise no longer than until a mark has come
//! that is put behind what it wrote. What it wrote between two calls ends with such a mark as well. A function may write
//! after its answers: until it has not done so for a while, it is given the time for that which one without a tap is given.

use std::time::Duration;

use bytes::Bytes;
use hearth_drivers::{Mark, Outlet, Tap};
use tokio::time::{Instant, timeout_at};

use super::{Fate, MOST_OUT_OF_TURN, Wire};
use crate::formats::is_ignorable;
use crate::incoming::{Piece, Wanted};
use crate::work::Work;

/// A mark that has not come by then will not: the function took it from its own pipe.
const MARK_COMES: Duration = Duration::from_secs(2);
/// What a function goes on writing is followed for so long.
const FOLLOWED: Duration = Duration::from_millis(20);
/// A container is taken for one that writes after its answers until it has not done so for so many calls.
const LATE_FOR: u8 = 64;

/// The end of a container's log.
pub(super) struct Tail {
    tap: Option<Box<dyn Tap>>,
    /// What comes out of either outlet before this mark was written before the call.
    before: [Option<u32>; 2],
    /// That, until the mark is here.
    foreign: Vec<Bytes>,
    /// It has executed a call.
    executed: bool,
    /// So many calls more it is thought to write after its answers.
    late: u8,
}

// === impl Tail ===

impl Tail {
    pub(super) const fn new(tap: Option<Box<dyn Tap>>) -> Self {
        Self { tap, before: [None; 2], foreign: Vec::new(), executed: false, late: LATE_FOR }
    }

    /// What was written can be had at the end of a call that is soon over.
    pub(super) fn can_wait(&self) -> bool {
        self.tap.as_ref().is_some_and(|tap| tap.has_room())
    }

    fn wrote(&mut self) -> bool {
        self.tap.as_mut().is_some_and(|tap| tap.wrote())
    }

    /// What comes out ahead of `mark` is not the call's. Of an outlet that it was not put into, what was known holds on.
    fn written_before(&mut self, mark: Mark) {
        for (before, _) in self.before.iter_mut().zip(mark.on).filter(|(_, on)| *on) {
            *before = Some(mark.number);
        }
    }

    fn mark(&mut self) -> Option<Option<Mark>> {
        let marked = self.tap.as_mut()?.mark();
        marked.inspect_err(|error| tracing::debug!(%error, "the log of a container cannot be marked")).ok()
    }
}

impl Wire {
    /// A call begins, whose request the function has not seen. What it wrote before is not its log.
    pub(super) fn begin_log(&mut self) {
        let executed = std::mem::replace(&mut self.tail.executed, true);
        if !self.tail.wrote() {
            return;
        }
        if let Some(mark) = self.tail.mark().flatten() {
            self.tail.written_before(mark);
        }
        if executed {
            self.tail.late = LATE_FOR;
            // The window was too short.
            self.lateness.add(self.lateness.window(self.drain));
        }
    }

    /// The call's, unless it was written before.
    pub(super) fn log(&mut self, work: &mut Work, outlet: Outlet, bytes: Bytes) {
        if self.tail.before[outlet.index()].is_some() {
            self.tail.foreign.push(bytes);
        } else {
            work.live.log(&bytes);
        }
    }

    /// All that was written to this outlet before this mark has come.
    pub(super) fn passed(&mut self, outlet: Outlet, number: u32) {
        // Marks come out in the order in which they were put in: one that is missing was taken by the function itself.
        let is_behind = |before: &mut u32| number.wrapping_sub(*before) <= u32::MAX / 2;
        let before = &mut self.tail.before;
        if before[outlet.index()].take_if(is_behind).is_some() && *before == [None; 2] {
            for bytes in std::mem::take(&mut self.tail.foreign) {
                self.log_between(&bytes);
            }
        }
    }

    /// The mark that would have told whether this is the call's does not come. It came while the call had the container.
    pub(super) fn claim_log(&mut self, work: &mut Work) {
        self.tail.before = [None; 2];
        std::mem::take(&mut self.tail.foreign).iter().for_each(|bytes| work.live.log(bytes));
    }

    /// Nothing is still to come of what it wrote before its last call.
    pub(crate) fn has_whole_logs(&self) -> bool {
        self.tail.before == [None; 2]
    }

    /// The call is answered, or will not be. Waits until what the function wrote is here.
    pub(super) async fn end_log(&mut self, work: &mut Work) -> Fate {
        if self.tail.tap.is_none() {
            return self.drain(work).await;
        }
        let fate = self.log_until_still(work).await;
        if fate == Fate::Spent || self.tail.tap.is_none() || self.tail.late == 0 {
            return fate;
        }
        self.tail.late -= 1;
        if self.drain(work).await == Fate::Spent {
            return Fate::Spent;
        }
        if !self.tail.wrote() {
            return Fate::Reusable;
        }
        // After its answer.
        self.tail.late = LATE_FOR;
        self.log_until_still(work).await
    }

    /// Takes what the function wrote until it writes no more, or has gone on for too long.
    async fn log_until_still(&mut self, work: &mut Work) -> Fate {
        let end = Instant::now() + FOLLOWED;
        while self.tail.wrote() {
            match self.log_so_far(work).await {
                Some(Fate::Reusable) if Instant::now() < end => {}
                Some(fate) => return fate,
                None => {
                    self.claim_log(work);
                    self.tail = Tail::new(None);
                    return self.drain(work).await;
                }
            }
        }
        Fate::Reusable
    }

    /// Takes what was written by now. None when it cannot be told where that ends.
    async fn log_so_far(&mut self, work: &mut Work) -> Option<Fate> {
        let end = Instant::now() + MARK_COMES;
        let (mut fate, mut out_of_turn) = (Fate::Reusable, 0);
        let mut mark = self.tail.mark()?;
        loop {
            let Ok(piece) = timeout_at(end, self.incoming.next(Wanted::All)).await else {
                let (id, app, route) = work.live.whose();
                tracing::warn!(
                    call.id = %id, app, route, container_id = self.id(),
                    "the end of a container's log does not come: it is waited for as long as it is silent from now on"
                );
                return None;
            };
            match piece {
                Piece::Log(outlet, bytes) => self.log(work, outlet, bytes),
                Piece::Mark(outlet, number) => {
                    self.passed(outlet, number);
                    if let Some(mark) = mark.as_mut().filter(|mark| mark.number == number) {
                        mark.on[outlet.index()] = false;
                        if mark.on == [false; 2] {
                            return Some(fate);
                        }
                    }
                }
                Piece::Answer(bytes) if is_ignorable(work.format, &bytes) => {}
                // The log is wanted all the same.
                Piece::Answer(bytes) => {
                    fate = Fate::Spent;
                    out_of_turn += bytes.len();
                    if out_of_turn > MOST_OUT_OF_TURN {
                        return Some(fate);
                    }
                }
                Piece::Over(_) => return Some(Fate::Spent),
                Piece::HungUp(_) => {}
            }
            if mark.is_none() {
                // There may be room for it now.
                mark = self.tail.mark()?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_is_still_to_come_is_waited_for_also_when_only_the_other_outlet_is_written_to() {
        let mut tail = Tail::new(None);
        tail.written_before(Mark { number: 1, on: [false, true] });
        tail.written_before(Mark { number: 2, on: [true, false] });
        assert_eq!(tail.before, [Some(2), Some(1)]);
    }
}

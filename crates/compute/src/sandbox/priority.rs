//! Ahead of the queue until the first row.
//!
//! On a busy machine most of a wake is waiting for the processor: the same boot takes 17 ms on a
//! quiet machine and 30–60 ms on a loaded one. A booting compute therefore gets the lowest
//! real-time priority, where the server may give it, and returns to the ordinary class with its
//! first row, or after [`MAX_URGENT`] whatever happens. Only one or two boots at once are urgent:
//! in a storm, urgency for all would only starve the server.

use std::time::Duration;

/// No compute stays urgent longer than this, even if its client never asks for a row.
pub const MAX_URGENT: Duration = Duration::from_millis(250);

/// A process that was told to be calm in the middle of a fork, and then waited for a processor, has its child within
/// this time; the child has the priority that the parent had before.
pub const LATE_BIRTH: Duration = Duration::from_millis(500);

/// How many boots may be urgent at the same time.
pub const MAX_URGENT_BOOTS: usize = 1;

/// Puts processes back into the ordinary scheduling class. Later children follow their parents.
pub fn calm(pids: &[u32]) {
    for pid in pids {
        super::spawn::set_ordinary(*pid);
    }
}

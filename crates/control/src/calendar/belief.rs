//! How far the wall clock is believed. Pure: readings in, a belief out.
//!
//! ```text
//!            no more than APART from the line              for BELIEVED_AFTER steady with itself
//!   ┌──────────────────────────────────────────┐   ┌──────────────────────────────────────────┐
//!   ▼                                          │   │                                          ▼
//! believed ─── wall clock leaves the line ──► claim ◄── leaps again: from the beginning   the line goes on here
//! ```
//!
//! A point that is believed and the time that has passed since the machine's boot make a *line*: what time it must be
//! by now, whoever sets the wall clock. While both agree, the wall clock counts. One that is ahead of the line only makes a
//! *claim*, and the line counts until the claim has stood for [`BELIEVED_AFTER`]; one that is behind it counts, for
//! that removes less, but the line does not follow it sooner either. The line is not moved with every look: many
//! small leaps add up to a large one.
//!
//! How long a machine was off nothing tells but the wall clock. So the line goes on after a boot with the time since
//! that boot, as if it had been off for no time, and a longer pause is a claim as well. A machine that never runs so long
//! gets there too: what the clock said when an earlier boot was last seen is believed, once claims of several boots, each later
//! than the one before, have stood for [`BELIEVED_AFTER`] together. Then only the last pause is in doubt.

use std::time::Duration;

use dormouse_base::Timestamp;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// How far the wall clock and the time that passed may be apart: clocks are put right now and then. Much less than the hour
/// for which the store keeps what somebody may be using.
pub const APART: Duration = Duration::from_secs(300);

/// A wall clock that is somewhere else is believed when it has been steady for so long.
pub const BELIEVED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The wall clock.
    pub wall: Timestamp,
    /// Which boot of the machine.
    pub boot: u64,
    /// Time since then, milliseconds, with the time in which the machine was suspended.
    pub since_boot_ms: u64,
}

impl Reading {
    /// What the wall clock must say at `now`, a later moment of the same boot.
    fn by(&self, now: &Reading) -> Timestamp {
        later(self.wall, now.since_boot_ms.saturating_sub(self.since_boot_ms))
    }
}

/// A wall clock that is not on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    /// Since then it is steady; in this boot.
    since: Reading,
    /// The last look.
    last: Reading,
    /// How long claims of earlier boots stood that this one goes on from, milliseconds.
    before_ms: u64,
}

impl Claim {
    fn new(now: Reading, before_ms: u64) -> Self {
        Self { since: now, last: now, before_ms }
    }

    /// How long it has stood in this boot, milliseconds.
    fn stood_ms(&self) -> u64 {
        self.last.since_boot_ms.saturating_sub(self.since.since_boot_ms)
    }

    fn look(self, now: Reading) -> Self {
        if agree(now.wall, self.since.by(&now)) { Self { last: now, ..self } } else { Self::new(now, 0) }
    }
}

/// What is believed of time; it outlives the server and the boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belief {
    /// A point of the line, in the boot of the last look.
    line: Reading,
    /// Where the line was at the last look.
    latest: Timestamp,
    claim: Option<Claim>,
}

impl Belief {
    /// Nothing is known yet: the wall clock is believed.
    #[must_use]
    pub fn new(now: Reading) -> Self {
        Self { line: now, latest: now.wall, claim: None }
    }

    /// What time it is for what is removed for its age. Never later than the wall clock.
    pub fn look(&mut self, now: Reading) -> Timestamp {
        if self.line.boot != now.boot {
            self.boot(now);
        }
        if agree(now.wall, self.line.by(&now)) {
            self.claim = None;
        } else {
            let claim = self.claim.unwrap_or_else(|| Claim::new(now, 0)).look(now);
            if claim.stood_ms() >= millis(BELIEVED_AFTER) {
                (self.line, self.claim) = (now, None);
            } else {
                self.claim = Some(claim);
            }
        }
        self.latest = self.line.by(&now);
        now.wall.min(later(self.latest, millis(APART)))
    }

    /// How far the wall clock is from the line, while it is not believed.
    #[must_use]
    pub fn doubt(&self) -> Option<SignedDuration> {
        self.claim.map(|claim| claim.last.wall.duration_since(self.latest))
    }

    /// Whether the rest of the machine's life goes another way than `before` would have it: worth storing at once.
    #[must_use]
    pub fn differs(&self, before: &Belief) -> bool {
        let since = |belief: &Belief| belief.claim.map(|claim| claim.since);
        self.line != before.line || since(self) != since(before)
    }

    /// The first look after a boot.
    fn boot(&mut self, now: Reading) {
        let mut before_ms = 0;
        // Time went on since: the same clock, or one that agrees that it was at least so late.
        if let Some(claim) = self.claim.take().filter(|claim| now.wall >= claim.last.wall) {
            before_ms = claim.before_ms.saturating_add(claim.stood_ms());
            if before_ms >= millis(BELIEVED_AFTER) {
                (self.latest, before_ms) = (claim.last.wall, 0);
            }
        }
        let expected = later(self.latest, now.since_boot_ms);
        if agree(now.wall, expected) {
            self.line = now;
        } else {
            self.line = Reading { wall: expected, ..now };
            self.claim = Some(Claim::new(now, before_ms));
        }
    }
}

fn agree(a: Timestamp, b: Timestamp) -> bool {
    a.duration_since(b).unsigned_abs() <= APART
}

fn later(then: Timestamp, by_ms: u64) -> Timestamp {
    let by = SignedDuration::from_millis(i64::try_from(by_ms).unwrap_or(i64::MAX));
    then.saturating_add(by).unwrap_or(Timestamp::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

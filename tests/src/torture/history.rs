//! What a branch must hold, must not hold, and may hold.
//!
//! A *life* is a line of history that transactions are written on. The main branch begins with one;
//! each restore of it begins another, cut from an earlier one; each branch is one that nobody writes
//! on. A restore takes time, so a transaction that was under way meanwhile may have met either life:
//!
//! ```text
//!  life 0  ────────┬─────────┬──────▶        cut: asked for at `before`, there at `after`
//!                  │         └─ life 2 (a branch)
//!                  └─ life 1 (main, restored) ───▶
//! ```

use super::ledger::{Entry, Outcome, Tick};

/// A life, by its number.
pub(crate) type Life = usize;

/// A place in a life: what was acknowledged before is in, what began after is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Taken before the place came to be.
    pub(crate) before: Tick,
    /// Taken after it.
    pub(crate) after: Tick,
}

/// Whether a transaction is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has to be.
    Must,
    /// It must not be.
    MustNot,
    /// Nobody can know.
    May,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    parent: Option<(Life, Cut)>,
    /// Transactions of the main branch go here from about then … to about then.
    written: Option<(Cut, Option<Cut>)>,
}

/// All lives of a run.
#[derive(Debug)]
pub(crate) struct History {
    lives: Vec<Span>,
    main: Life,
}

impl Default for History {
    fn default() -> Self {
        let always = Cut { before: 0, after: 0 };
        Self { lives: vec![Span { parent: None, written: Some((always, None)) }], main: 0 }
    }
}

impl History {
    /// The life of the main branch.
    pub(crate) fn main(&self) -> Life {
        self.main
    }

    /// A branch of this place; nobody writes there.
    pub(crate) fn branch(&mut self, from: Life, at: Cut) -> Life {
        self.lives.push(Span { parent: Some((from, at)), written: None });
        self.lives.len() - 1
    }

    /// The main branch got the data of this place; the request was sent and answered at `when`.
    pub(crate) fn restore_main(&mut self, from: Life, at: Cut, when: Cut) {
        if let Some((_, end)) = &mut self.lives[self.main].written {
            *end = Some(when);
        }
        self.lives.push(Span { parent: Some((from, at)), written: Some((when, None)) });
        self.main = self.lives.len() - 1;
    }

    /// Everything that was begun after `place` on the main branch may be lost from here on.
    pub(crate) fn lose_main_after(&mut self, place: Cut, when: Cut) {
        let main = self.main;
        let may_end_anywhere = Cut { before: place.before, after: Tick::MAX };
        self.restore_main(main, may_end_anywhere, when);
    }

    /// Whether a transaction is in a life.
    pub(crate) fn verdict(&self, entry: &Entry, life: Life) -> Verdict {
        if entry.outcome == Outcome::Refused {
            return Verdict::MustNot;
        }
        let met = self.lives.iter().enumerate().filter(|(_, span)| span.may_have_met(entry));
        let mut all = met.map(|(written_on, _)| self.seen_from(entry, written_on, life));
        let first = all.next().unwrap_or(Verdict::May);
        let one = if all.all(|other| other == first) { first } else { Verdict::May };
        if one == Verdict::Must && entry.outcome == Outcome::Unknown { Verdict::May } else { one }
    }

    /// The same, if it was written on this life for sure and committed.
    fn seen_from(&self, entry: &Entry, written_on: Life, life: Life) -> Verdict {
        let mut cuts: Vec<Cut> = Vec::new();
        let mut at = life;
        while at != written_on {
            let Some((parent, cut)) = self.lives[at].parent else { return Verdict::MustNot };
            // A cut before the parent began is a cut of the grandparent as well.
            cuts.push(cut);
            at = parent;
        }
        // Only what the nearest cut and all further ones let through.
        if cuts.iter().any(|cut| entry.begun > cut.after) {
            Verdict::MustNot
        } else if cuts.iter().all(|cut| entry.ended < cut.before) {
            Verdict::Must
        } else {
            Verdict::May
        }
    }
}

impl Span {
    fn may_have_met(&self, entry: &Entry) -> bool {
        let Some((start, end)) = self.written else { return false };
        entry.ended >= start.before && end.is_none_or(|end| entry.begun <= end.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledged(begun: Tick, ended: Tick) -> Entry {
        Entry { begun, ended, outcome: Outcome::Acknowledged }
    }

    #[test]
    fn a_branch_has_what_was_acknowledged_before_and_nothing_that_began_after() {
        let mut history = History::default();
        let branch = history.branch(0, Cut { before: 10, after: 20 });
        let verdict = |begun, ended| history.verdict(&acknowledged(begun, ended), branch);
        assert_eq!(verdict(8, 9), Verdict::Must);
        assert_eq!(verdict(8, 11), Verdict::May);
        assert_eq!(verdict(15, 30), Verdict::May);
        assert_eq!(verdict(21, 22), Verdict::MustNot);
        assert_eq!(history.verdict(&acknowledged(21, 22), history.main()), Verdict::Must);
    }

    #[test]
    fn what_failed_is_nowhere_and_what_was_not_answered_may_be() {
        let history = History::default();
        let failed = Entry { outcome: Outcome::Refused, ..acknowledged(1, 2) };
        assert_eq!(history.verdict(&failed, 0), Verdict::MustNot);
        let silent = Entry { outcome: Outcome::Unknown, ended: Tick::MAX, begun: 1 };
        assert_eq!(history.verdict(&silent, 0), Verdict::May);
    }

    #[test]
    fn a_restore_takes_back_what_came_later_and_goes_on() {
        let mut history = History::default();
        history.restore_main(0, Cut { before: 10, after: 12 }, Cut { before: 50, after: 60 });
        let of_main = |begun, ended| history.verdict(&acknowledged(begun, ended), history.main());
        assert_eq!(of_main(5, 6), Verdict::Must);
        assert_eq!(of_main(20, 21), Verdict::MustNot);
        assert_eq!(of_main(55, 56), Verdict::May, "either life");
        assert_eq!(of_main(61, 62), Verdict::Must);
        assert_eq!(history.verdict(&acknowledged(20, 21), 0), Verdict::Must, "the old data is kept");
        assert_eq!(history.verdict(&acknowledged(61, 62), 0), Verdict::MustNot);
    }

    #[test]
    fn a_loss_is_not_more_than_was_told() {
        let mut history = History::default();
        history.lose_main_after(Cut { before: 10, after: 12 }, Cut { before: 50, after: 60 });
        let of_main = |begun, ended| history.verdict(&acknowledged(begun, ended), history.main());
        assert_eq!(
            (of_main(5, 6), of_main(20, 21), of_main(61, 62)),
            (Verdict::Must, Verdict::May, Verdict::Must)
        );
    }
}

//! Where an operation is: one enum, one transition function.
//!
//! ```text
//!            step done, it was the last            
//!  Doing ───────────────────────────────► Done
//!    │ gave up (the failed step is undone first)
//!    ▼        step undone, it was the first
//!  Undoing ─────────────────────────────► Undone
//!    │ gave up (a branch whose store is away does not)
//!    ▼
//!  Stuck    (a person must look; the project is not locked by it)
//! ```

/// The phase of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Steps are being done.
    Doing,
    /// A step failed for good; the steps so far are being undone.
    Undoing,
    /// All steps are done.
    Done,
    /// All steps are undone.
    Undone,
    /// Even undoing failed.
    Stuck,
}

impl Phase {
    const ALL: [Phase; 5] = [Phase::Doing, Phase::Undoing, Phase::Done, Phase::Undone, Phase::Stuck];

    /// The name in the metadata.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::Doing => "doing",
            Phase::Undoing => "undoing",
            Phase::Done => "done",
            Phase::Undone => "undone",
            Phase::Stuck => "stuck",
        }
    }

    /// Reads the name in the metadata.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == text)
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Phase::Doing | Phase::Undoing => false,
            Phase::Done | Phase::Undone | Phase::Stuck => true,
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Ok,
    /// Badly, and it may be tried again.
    Retry,
    /// Badly, for good.
    GiveUp,
}

/// The next phase and step, from where it is, how many steps there are, and how the step ended.
/// A final phase stays as it is.
#[must_use]
pub fn advance(phase: Phase, step: u32, steps: u32, outcome: Outcome) -> (Phase, u32) {
    match (phase, outcome) {
        (_, Outcome::Retry) | (Phase::Done | Phase::Undone | Phase::Stuck, _) => (phase, step),
        (Phase::Doing, Outcome::Ok) if step + 1 >= steps => (Phase::Done, steps),
        (Phase::Doing, Outcome::Ok) => (Phase::Doing, step + 1),
        (Phase::Doing, Outcome::GiveUp) => (Phase::Undoing, step),
        (Phase::Undoing, Outcome::Ok) if step == 0 => (Phase::Undone, 0),
        (Phase::Undoing, Outcome::Ok) => (Phase::Undoing, step - 1),
        (Phase::Undoing, Outcome::GiveUp) => (Phase::Stuck, step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_comes_to_an_end() {
        for fail_at in 0..4 {
            let (mut phase, mut step, mut moves) = (Phase::Doing, 0, 0);
            while !phase.is_final() {
                let outcome =
                    if phase == Phase::Doing && step == fail_at { Outcome::GiveUp } else { Outcome::Ok };
                (phase, step) = advance(phase, step, 3, outcome);
                moves += 1;
                assert!(moves < 20);
            }
            assert_eq!(phase, if fail_at < 3 { Phase::Undone } else { Phase::Done });
        }
    }

    #[test]
    fn the_failed_step_itself_is_undone() {
        assert_eq!(advance(Phase::Doing, 2, 3, Outcome::GiveUp), (Phase::Undoing, 2));
        assert_eq!(advance(Phase::Undoing, 1, 3, Outcome::Retry), (Phase::Undoing, 1));
        assert_eq!(advance(Phase::Undoing, 1, 3, Outcome::GiveUp), (Phase::Stuck, 1));
    }

    #[test]
    fn names_are_read_back() {
        for phase in Phase::ALL {
            assert_eq!(Phase::parse(phase.name()), Some(phase));
        }
    }
}

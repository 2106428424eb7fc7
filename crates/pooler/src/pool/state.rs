//! Whether a pool serves.
//!
//! ```text
//!                    Pause            last backend gone
//!        ┌─────────┐ ─────► ┌─────────┐ ─────► ┌────────┐
//!        │ Running │        │ Pausing │        │ Paused │
//!        └─────────┘ ◄───── └─────────┘        └────────┘
//!          │     ▲   Resume      │ Kill            │ │
//!     Kill │     │               ▼                 │ │ Resume ─► Running
//!          │     │ Resume   ┌────────┐    Kill     │
//!          │     └───────── │ Killed │ ◄───────────┘
//!          └──────────────► └────────┘
//! ```
//!
//! In all states but Running clients wait and nothing is opened. Pausing lets transactions end; Killed has cut
//! them, and its waiters were refused; those that come later wait for Resume, as with PgBouncer.

/// Whether a pool serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum State {
    /// It serves.
    #[default]
    Running,
    /// PAUSE came; some backends still work or are being opened.
    Pausing,
    /// PAUSE came, and no backend is left.
    Paused,
    /// KILL came: everything was cut.
    Killed,
}

/// What changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The console's PAUSE.
    Pause,
    /// The console's RESUME.
    Resume,
    /// The console's KILL.
    Kill,
    /// No backend is left, open or opening.
    Empty,
}

impl State {
    /// The state after an event; `None` when it has no meaning in this state.
    #[must_use]
    pub const fn after(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Running, Event::Pause) => Some(Self::Pausing),
            (Self::Pausing, Event::Empty) => Some(Self::Paused),
            (Self::Pausing | Self::Paused | Self::Killed, Event::Resume) => Some(Self::Running),
            (Self::Running | Self::Pausing | Self::Paused, Event::Kill) => Some(Self::Killed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair() {
        use Event::{Empty, Kill, Pause, Resume};
        use State::{Killed, Paused, Pausing, Running};
        let rows = [
            (Running, [Some(Pausing), None, Some(Killed), None]),
            (Pausing, [None, Some(Running), Some(Killed), Some(Paused)]),
            (Paused, [None, Some(Running), Some(Killed), None]),
            (Killed, [None, Some(Running), None, None]),
        ];
        for (state, expected) in rows {
            let got = [Pause, Resume, Kill, Empty].map(|event| state.after(event));
            assert_eq!(got, expected, "{state:?}");
        }
    }
}

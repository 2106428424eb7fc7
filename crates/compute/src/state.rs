//! The life cycle of an endpoint: one enum, one transition function, no I/O.
//!
//! ```text
//!             Wake                Ready                  Idle
//!  Stopped ─────────► Starting ─────────► Active ───────────────────► Paused
//!     ▲                  │                  │ ▲          Wake            │
//!     │◄── StartFailed ──┘                  │ └─────────────────────────┘│
//!     │                                     │ Suspend                    │ Suspend
//!     │              Exited                 ▼                            ▼
//!     └───────────────────────────────── Stopping ◄──────────────────────┘
//!
//!  Exited in any state → Stopped (in Active and Paused that is a crash: heal).
//!  Adopted / AdoptedFrozen: Stopped → Active / Paused, when a server finds a compute that an earlier
//!  server left running.
//!  Wake in Stopping is remembered by the actor and served by the next start.
//! ```
//!
//! The actor ([`crate::endpoint`]) feeds events in and carries the returned [`Step`] out. Whoever
//! adds a state adds it here first; the compiler then names every place that must learn about it.

use serde::{Deserialize, Serialize};

/// Where an endpoint is in its life. This is also the public state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No process. Costs nothing.
    Stopped,
    /// A process is being started.
    Starting,
    /// Serving.
    Active,
    /// The processes exist, frozen: memory but no CPU.
    Paused,
    /// Running work is finishing; then the processes end.
    Stopping,
}

impl State {
    /// All states, for tables and metrics.
    pub const ALL: [State; 5] =
        [State::Stopped, State::Starting, State::Active, State::Paused, State::Stopping];

    /// The public name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Stopped => "stopped",
            State::Starting => "starting",
            State::Active => "active",
            State::Paused => "paused",
            State::Stopping => "stopping",
        }
    }
}

/// What can happen to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Somebody wants to use it.
    Wake,
    /// PostgreSQL accepts connections and what was pending is applied.
    Ready,
    /// PostgreSQL did not come up.
    StartFailed,
    /// It has had no work for its idle time, and the gate is closed.
    Idle,
    /// It shall stop: asked for, paused long enough, pausing disabled, or memory is short.
    Suspend,
    /// The postmaster is gone.
    Exited,
    /// A running compute of an earlier server was found.
    Adopted,
    /// A frozen compute of an earlier server was found.
    AdoptedFrozen,
}

/// What the actor must do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing.
    Stay,
    /// Start PostgreSQL.
    Boot,
    /// Let clients in.
    Open,
    /// Freeze the processes.
    Freeze,
    /// Thaw the processes and let clients in.
    Thaw,
    /// Drain, checkpoint, stop.
    Stop,
    /// Thaw without letting clients in, then stop.
    ThawAndStop,
    /// The stop is complete: clean up after the processes.
    CleanUp,
    /// The start failed: clean up and wait before the next try.
    BackOff,
    /// The processes died by themselves: clean up and recover.
    Heal,
}

/// The only way from one state to the next. `None` means that the event cannot happen in this
/// state; the actor logs it and changes nothing.
#[must_use]
pub fn transition(state: State, event: Event) -> Option<(State, Step)> {
    use Event as E;
    use State as S;
    Some(match (state, event) {
        (S::Stopped, E::Wake) => (S::Starting, Step::Boot),
        (S::Stopped, E::Suspend) => (S::Stopped, Step::Stay),
        (S::Stopped, E::Adopted) => (S::Active, Step::Open),
        (S::Stopped, E::AdoptedFrozen) => (S::Paused, Step::Stay),
        (S::Starting, E::Ready) => (S::Active, Step::Open),
        (S::Starting, E::StartFailed | E::Exited) => (S::Stopped, Step::BackOff),
        (S::Starting | S::Active | S::Stopping, E::Wake) => (state, Step::Stay),
        (S::Active, E::Idle) => (S::Paused, Step::Freeze),
        (S::Active, E::Suspend) => (S::Stopping, Step::Stop),
        (S::Active | S::Paused, E::Exited) => (S::Stopped, Step::Heal),
        (S::Paused, E::Wake) => (S::Active, Step::Thaw),
        (S::Paused, E::Suspend) => (S::Stopping, Step::ThawAndStop),
        (S::Stopping, E::Suspend) => (S::Stopping, Step::Stay),
        (S::Stopping, E::Exited) => (S::Stopped, Step::CleanUp),
        (S::Stopped, E::Ready | E::StartFailed | E::Idle | E::Exited)
        | (S::Starting, E::Idle | E::Suspend)
        | (S::Active | S::Paused | S::Stopping, E::Ready | E::StartFailed)
        | (S::Paused | S::Stopping, E::Idle)
        | (S::Starting | S::Active | S::Paused | S::Stopping, E::Adopted | E::AdoptedFrozen) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 8] = [
        Event::Wake,
        Event::Ready,
        Event::StartFailed,
        Event::Idle,
        Event::Suspend,
        Event::Exited,
        Event::Adopted,
        Event::AdoptedFrozen,
    ];

    #[test]
    fn a_boot_starts_only_from_stopped() {
        for state in State::ALL {
            for event in EVENTS {
                if let Some((_, Step::Boot)) = transition(state, event) {
                    assert_eq!((state, event), (State::Stopped, Event::Wake));
                }
            }
        }
    }

    #[test]
    fn clients_get_in_only_when_active() {
        for state in State::ALL {
            for event in EVENTS {
                if let Some((next, Step::Open | Step::Thaw)) = transition(state, event) {
                    assert_eq!(next, State::Active);
                }
            }
        }
    }

    #[test]
    fn every_state_reaches_stopped_and_active() {
        for goal in [State::Stopped, State::Active] {
            for start in State::ALL {
                let mut seen = vec![start];
                let mut at = 0;
                while at < seen.len() {
                    let from = seen[at];
                    for (next, _) in EVENTS.iter().filter_map(|e| transition(from, *e)) {
                        if !seen.contains(&next) {
                            seen.push(next);
                        }
                    }
                    at += 1;
                }
                assert!(seen.contains(&goal), "{start:?} never reaches {goal:?}");
            }
        }
    }

    #[test]
    fn the_death_of_the_process_is_never_ignored() {
        for state in [State::Starting, State::Active, State::Paused, State::Stopping] {
            assert_eq!(transition(state, Event::Exited).unwrap().0, State::Stopped);
        }
    }
}

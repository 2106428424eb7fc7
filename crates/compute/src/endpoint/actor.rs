//! The actor of one endpoint: takes commands, watches its process and the clock, and walks the state
//! machine of [`crate::state`]. One thing at a time: while it boots or stops, commands wait in line.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_base::clock::Mono;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::run::{Closing, Run, Sizer};
use super::ticket::Ticket;
use super::{Command, Shared, Surroundings, WakeError};
use crate::event::{Cause, Happening, Phases, SleepReason};
use crate::host::QuotaUsedUp;
use crate::limits::watch::Subject;
use crate::sandbox::process::Ending;
use crate::spec::{PauseTimeout, Spec};
use crate::state::{Event, State, Step, transition};

/// How often an Active endpoint is looked at, at most and at least.
const TICK: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(5);

/// Waiting between failed starts: doubles from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A run that crashes sooner than this is unstable.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// So many unstable runs in a row are healed at once; then the next start waits.
const MAX_UNSTABLE: u32 = 5;

/// After a failed start.
pub(super) struct Backoff {
    pub(super) until: Mono,
    pub(super) reason: String,
    storage: bool,
    failures: u32,
}

pub(super) struct Actor {
    pub(super) shared: Arc<Shared>,
    pub(super) around: Surroundings,
    pub(super) state: State,
    pub(super) run: Option<Arc<Run>>,
    pub(super) spec: Option<Spec>,
    /// When the state began.
    pub(super) since: Mono,
    /// When the run began.
    run_since: Mono,
    /// The last time somebody was seen working.
    pub(super) last_work: Mono,
    /// The gate's generation at that time.
    pub(super) generation: u64,
    pub(super) backoff: Option<Backoff>,
    /// The last run ended badly and was not recovered yet.
    pub(super) heal_wanted: bool,
    /// Runs in a row that crashed early.
    unstable: u32,
}

/// What it is an actor's turn to do.
enum Turn {
    /// Its process has ended.
    Exited(Ending),
    Command(Command),
    /// Its time-outs have changed.
    Tuned,
    Tick,
}

/// Starts the actor's task.
pub(super) fn start(shared: Arc<Shared>, around: Surroundings, commands: mpsc::Receiver<Command>) {
    let scope = around.scope.clone();
    let span = tracing::info_span!(parent: None, "endpoint", endpoint = %shared.id);
    let now = Mono::now();
    around.metrics.moved(None, Some(State::Stopped));
    let actor = Actor {
        shared,
        around,
        state: State::Stopped,
        run: None,
        spec: None,
        since: now,
        run_since: now,
        last_work: now,
        generation: 0,
        backoff: None,
        heal_wanted: false,
        unstable: 0,
    };
    scope.spawn("endpoint", actor.live(commands).instrument(span));
}

impl Actor {
    async fn live(mut self, mut commands: mpsc::Receiver<Command>) {
        let token = self.around.scope.token();
        let turns = Arc::clone(&self.around.turns);
        let shared = Arc::clone(&self.shared);
        loop {
            let (run, tick) = (self.run.clone(), self.next_tick());
            let turn = tokio::select! {
                biased;
                () = token.cancelled() => break,
                ending = ended(run) => Turn::Exited(ending),
                command = commands.recv() => match command {
                    Some(command) => Turn::Command(command),
                    None => break,
                },
                () = shared.tuned.notified() => Turn::Tuned,
                () = after(tick) => Turn::Tick,
            };
            // Nobody acts while the server is being handed over.
            let _acting = tokio::select! {
                biased;
                () = token.cancelled() => break,
                acting = turns.read() => acting,
            };
            match turn {
                Turn::Exited(ending) => self.exited(ending).await,
                Turn::Command(Command::Release { reply }) => {
                    // The receiver may have given up waiting.
                    let _gone = reply.send(());
                    break;
                }
                Turn::Command(command) => self.obey(command).await,
                Turn::Tuned => self.retune(),
                Turn::Tick => self.tick().await,
            }
        }
        self.around.metrics.moved(Some(self.state), None);
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Wake { cause, reply } => {
                if reply.is_closed() && cause == Cause::Client {
                    return;
                }
                let result = self.wake(cause).await;
                answer(reply, result);
            }
            Command::Suspend { reason, reply } => {
                self.suspend(reason).await;
                answer(reply, Ok(()));
            }
            Command::Pause { reply } => {
                let result = self.pause_now().await;
                answer(reply, result);
            }
            Command::Adopt { reply } => {
                let adopted = self.adopt().await;
                answer(reply, adopted);
            }
            Command::Release { .. } => {}
        }
    }

    /// Time-outs hold at once; a start reads them afresh anyway.
    fn retune(&mut self) {
        if let (Some(tuning), Some(spec)) = (self.shared.tuning.lock().take(), &mut self.spec) {
            spec.idle_timeout = tuning.idle_timeout;
            spec.pause_timeout = tuning.pause_timeout;
            // A start that was under way may have put the old ones there.
            *self.shared.bounds.lock() = tuning.size;
        }
    }

    /// Moves along the state machine; the step tells the caller what to carry out.
    pub(super) fn step(&mut self, event: Event) -> Step {
        let Some((next, step)) = transition(self.state, event) else {
            tracing::error!(state = ?self.state, ?event, "impossible event ignored");
            return Step::Stay;
        };
        if next != self.state {
            tracing::debug!(from = self.state.name(), to = next.name(), ?event, "state");
            self.around.metrics.moved(Some(self.state), Some(next));
            self.state = next;
            self.since = Mono::now();
            self.shared.state.send_replace(next);
            self.around.host.state_changed(&self.shared.id, next, self.run.as_ref().map(|r| r.pid()));
        }
        step
    }

    /// Opens the gate on the current run.
    pub(super) fn open(&mut self) {
        self.last_work = Mono::now();
        self.generation = self.shared.gate.look().generation();
        self.shared.run.lock().clone_from(&self.run);
        self.shared.gate.open();
        self.around.watcher.join(Arc::clone(&self.shared) as Arc<dyn Subject>);
        if let Some(run) = &self.run {
            self.around.host.awake(&self.shared.id, run);
        }
    }

    async fn wake(&mut self, cause: Cause) -> Result<Option<Ticket>, WakeError> {
        if self.state == State::Stopped && self.around.stopping.is_cancelled() {
            return Err(WakeError::ServerStopping);
        }
        if self.shared.renewed.swap(false, Ordering::AcqRel) {
            (self.backoff, self.unstable) = (None, 0);
        }
        if self.state == State::Stopped
            && let Some(wait) =
                self.backoff.as_ref().filter(|b| b.until > Mono::now() && cause != Cause::Request)
        {
            let retry_in = wait.until.since(Mono::now());
            let (reason, storage) = (wait.reason.clone(), wait.storage);
            return Err(WakeError::BackedOff { reason, storage, retry_in });
        }
        if matches!(self.state, State::Stopped | State::Paused) {
            let allowed = self.around.host.may_wake(&self.shared.id);
            allowed.map_err(|QuotaUsedUp { what, hint }| WakeError::Quota { what, hint })?;
        }
        match self.step(Event::Wake) {
            Step::Boot => self.boot_and_open(cause).await,
            Step::Thaw => self.thaw(cause).await.map(|()| None),
            _ => Ok(None),
        }
    }

    async fn boot_and_open(&mut self, cause: Cause) -> Result<Option<Ticket>, WakeError> {
        match self.boot().await {
            Ok((run, phases)) => {
                self.run = Some(Arc::clone(&run));
                self.run_since = Mono::now();
                self.step(Event::Ready);
                self.open();
                self.backoff = None;
                self.heal_wanted = false;
                Ok(self.account_for(cause, phases, run))
            }
            Err(failure) => {
                self.step(Event::StartFailed);
                let storage = failure.error == WakeError::Storage;
                let retry_in = self.back_off(failure.error.to_string(), storage);
                self.around.metrics.start_failures.inc();
                tracing::warn!(reason = %failure.error, said = failure.said, ?retry_in, "start failed");
                let happening = Happening::StartFailed {
                    message: failure.detail,
                    log_tail: failure.log_tail,
                    retry_in_ms: u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX),
                };
                self.around.host.happened(&self.shared.id, happening);
                Err(failure.error)
            }
        }
    }

    /// A client's wake is recorded with its first row; any other has no row to wait for.
    fn account_for(&self, cause: Cause, phases: Phases, run: Arc<Run>) -> Option<Ticket> {
        let ticket = Ticket::new(
            self.shared.id.clone(),
            cause,
            phases,
            run,
            Arc::clone(&self.around.host),
            self.around.metrics.clone(),
        );
        (cause == Cause::Client).then_some(ticket)
    }

    /// What gives the next run its size.
    pub(super) fn sizer(&self, adopted: bool) -> Sizer {
        Sizer {
            watcher: self.around.watcher.clone(),
            endpoint: self.shared.id.clone(),
            bounds: Arc::clone(&self.shared.bounds),
            adopted,
        }
    }

    pub(super) fn back_off(&mut self, reason: String, storage: bool) -> Duration {
        let failures = self.backoff.as_ref().map_or(0, |b| b.failures);
        let wait = BACKOFF.0.saturating_mul(1 << failures.min(5)).min(BACKOFF.1);
        self.backoff =
            Some(Backoff { until: Mono::now().plus(wait), reason, storage, failures: failures + 1 });
        wait
    }

    /// The postmaster died by itself.
    pub(super) async fn exited(&mut self, ending: Ending) {
        let Some(run) = self.run.take() else { return };
        self.shared.gate.close();
        run.close(Closing::Crashed);
        let lived = self.run_since.elapsed();
        let log_tail = self.log_tail(run.log_start());
        self.clean_up(&run).await;
        self.step(Event::Exited);
        self.around.metrics.crashes.inc();
        tracing::error!(%ending, "postmaster died");
        self.around.host.happened(&self.shared.id, Happening::Crashed { how: ending.to_string(), log_tail });
        self.heal_wanted = true;
        self.unstable = if lived < STABLE_AFTER { self.unstable + 1 } else { 0 };
        if self.unstable > MAX_UNSTABLE {
            self.back_off(format!("PostgreSQL ended unexpectedly ({ending})"), false);
        }
    }

    /// When to look again; `None` = nothing to look at.
    fn next_tick(&self) -> Option<Duration> {
        match self.state {
            State::Active => {
                // One that never sleeps is looked at too: its log must stay bounded.
                let idle = self.spec.as_ref()?.idle_timeout.unwrap_or(*TICK.end() * 10);
                Some((idle / 10).clamp(*TICK.start(), *TICK.end()))
            }
            State::Paused => match self.spec.as_ref()?.pause_timeout {
                PauseTimeout::After(limit) => Some(limit.saturating_sub(self.since.elapsed())),
                PauseTimeout::Skip | PauseTimeout::Forever => None,
            },
            State::Stopped if self.heal_wanted => {
                let until = self.backoff.as_ref().map(|b| b.until.since(Mono::now()));
                Some(until.unwrap_or_default())
            }
            State::Stopped | State::Starting | State::Stopping => None,
        }
    }

    async fn tick(&mut self) {
        match self.state {
            State::Active => self.look_for_idleness().await,
            State::Paused => self.stop(SleepReason::Idle).await,
            State::Stopped if self.heal_wanted => {
                // Its failure is on the event list and in the back-off; the next tick tries again.
                if let Err(WakeError::Quota { .. }) = self.wake(Cause::Heal).await {
                    // Whoever may wake it next recovers it as well.
                    self.heal_wanted = false;
                }
            }
            State::Stopped | State::Starting | State::Stopping => {}
        }
    }
}

/// Waits for the end of the run; forever when there is none.
async fn ended(run: Option<Arc<Run>>) -> Ending {
    match run {
        Some(run) => run.held().ended().await,
        None => std::future::pending().await,
    }
}

async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// The asker may have stopped waiting; then its answer goes nowhere, which is fine.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    drop(reply.send(value));
}

//! One endpoint: the handle that everybody holds, and the actor behind it.
//!
//! The handle is for asking; the actor ([`actor`]) alone starts, freezes and stops the compute, one
//! thing at a time, so that no two decisions can cross. Using an awake endpoint does not involve the
//! actor at all: the handle's gate is an atomic word.
//!
//! * [`run`]: one run of the compute, from spawn to end: where its socket is, how to reach its processes.
//! * [`boot`], [`sleep`]: the two long steps of the actor. [`adopt`]: taking over a running compute.
//! * [`ticket`]: measures a wake to its first row.

mod actor;
mod adopt;
mod boot;
mod launch;
pub mod run;
pub mod ticket;
pub(crate) use boot::passable;
mod error;
mod record;
mod sleep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_base::{EndpointId, RoleChanges, Timestamp, clock};
use dormouse_runtime::gate::{Gate, Pass};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use error::WakeError;
pub use run::{Closing, Run};
pub use ticket::Ticket;

use crate::event::{Cause, SleepReason};
use crate::fleet::FleetConfig;
use crate::host::Host;
use crate::limits::watch::{Subject, Watcher};
use crate::limits::{Bounds, Live};
use crate::metrics::Metrics;
use crate::postgres::admin::AdminClient;
use crate::spec::Tuning;
use crate::state::State;

/// A client waits this long for an endpoint; the start itself goes on.
pub const WAKE_WITHIN: Duration = Duration::from_secs(60);

/// Commands that wait for one endpoint's actor. More callers wait in line before the queue.
const MAX_COMMANDS: usize = 256;

/// What the actor can be asked.
#[derive(Debug)]
enum Command {
    Wake {
        cause: Cause,
        reply: oneshot::Sender<Result<Option<Ticket>, WakeError>>,
    },
    Suspend {
        reason: SleepReason,
        reply: oneshot::Sender<Result<(), WakeError>>,
    },
    Pause {
        reply: oneshot::Sender<Result<(), WakeError>>,
    },
    Adopt {
        reply: oneshot::Sender<bool>,
    },
    /// The server ends and leaves the computes running.
    Release {
        reply: oneshot::Sender<()>,
    },
}

/// What the handle and its actor share.
#[derive(Debug)]
struct Shared {
    id: EndpointId,
    gate: Arc<Gate>,
    role_changes: RoleChanges,
    state: watch::Sender<State>,
    run: Mutex<Option<Arc<Run>>>,
    /// Runs look at them too.
    bounds: Arc<Mutex<Bounds>>,
    /// What changed since the actor looked last.
    tuning: Mutex<Option<Tuning>>,
    tuned: Notify,
    /// It does not fall asleep by itself before.
    awake_until: Mutex<Option<Timestamp>>,
    /// Why it did not start is past.
    renewed: AtomicBool,
    /// Another server has it.
    given_away: AtomicBool,
}

/// The handle of an endpoint.
#[derive(Debug)]
pub struct Endpoint {
    shared: Arc<Shared>,
    watcher: Watcher,
    commands: mpsc::Sender<Command>,
}

/// The right to use an awake compute. While `pass` is held it will not be put to sleep.
#[derive(Debug)]
pub struct Lease {
    /// Keeps the endpoint awake.
    pub pass: Pass,
    /// The run to connect to.
    pub run: Arc<Run>,
    /// Given to the one who woke it: reports the last phases.
    pub ticket: Option<Ticket>,
}

/// What an actor needs from its surroundings.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) config: Arc<FleetConfig>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) metrics: Metrics,
    pub(crate) admission: crate::admission::Admission,
    pub(crate) urgency: Arc<tokio::sync::Semaphore>,
    pub(crate) scope: dormouse_runtime::task::Scope,
    /// Cancelled when the server begins to stop: nothing is started from then on.
    pub(crate) stopping: CancellationToken,
    /// Each actor holds it while it acts; whoever has it for itself makes all of them stand still.
    pub(crate) turns: Arc<tokio::sync::RwLock<()>>,
    /// Gives computes their sizes.
    pub(crate) watcher: Watcher,
}

impl Subject for Shared {
    fn id(&self) -> &EndpointId {
        &self.id
    }

    fn active(&self) -> Option<Arc<Run>> {
        if *self.state.borrow() == State::Active { self.run.lock().clone() } else { None }
    }

    fn bounds(&self) -> Bounds {
        *self.bounds.lock()
    }
}

impl Endpoint {
    pub(crate) fn start(id: EndpointId, surroundings: Surroundings) -> Self {
        let (commands, receiver) = mpsc::channel(MAX_COMMANDS);
        let shared = Arc::new(Shared {
            id,
            gate: Arc::new(Gate::default()),
            role_changes: RoleChanges::default(),
            state: watch::Sender::new(State::Stopped),
            run: Mutex::new(None),
            bounds: Arc::default(),
            tuning: Mutex::default(),
            tuned: Notify::new(),
            awake_until: Mutex::default(),
            renewed: AtomicBool::new(false),
            given_away: AtomicBool::new(false),
        });
        let watcher = surroundings.watcher.clone();
        actor::start(Arc::clone(&shared), surroundings, receiver);
        Self { shared, watcher, commands }
    }

    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> &EndpointId {
        &self.shared.id
    }

    /// Its state now.
    #[must_use]
    pub fn state(&self) -> State {
        *self.shared.state.borrow()
    }

    /// The postmaster's process ID, when there is one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.shared.run.lock().as_ref().map(|run| run.pid())
    }

    /// Its run, when there is one, awake or paused.
    #[must_use]
    pub fn running(&self) -> Option<Arc<Run>> {
        self.current()
    }

    /// How large it is and what it uses; `None` unless it is Active or Paused.
    #[must_use]
    pub fn live(&self) -> Option<Live> {
        let state = self.state();
        if !matches!(state, State::Active | State::Paused) {
            return None;
        }
        let measured = self.current().and_then(|run| run.gauge(|gauge| gauge.live(state == State::Active)));
        // Until its first row it has no limit.
        Some(measured.unwrap_or_else(|| Live {
            at: clock::now(),
            cu: self.shared.bounds.lock().min,
            cpu_cores: 0.0,
            memory_bytes: 0,
            memory_limit_bytes: None,
            measured: false,
        }))
    }

    /// What its owner allows, from now on. One that does not run learns it from its host when it starts.
    pub fn retune(&self, tuning: Tuning) {
        *self.shared.bounds.lock() = tuning.size;
        *self.shared.tuning.lock() = Some(tuning);
        self.shared.tuned.notify_one();
        self.watcher.rebound();
    }

    /// Does not fall asleep by itself before this moment; `None`: goes by its idle time again. What is asked for is
    /// done all the same.
    pub fn keep_awake(&self, until: Option<Timestamp>) {
        *self.shared.awake_until.lock() = until;
    }

    /// Its data or its settings were exchanged: the next start does not wait for what the last one failed with.
    pub fn renew(&self) {
        self.shared.role_changes.happened();
        self.shared.renewed.store(true, Ordering::Release);
    }

    /// The gate that sessions enter while they work.
    #[must_use]
    pub fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.shared.gate)
    }

    /// Counts what may have changed its roles.
    #[must_use]
    pub fn role_changes(&self) -> &RoleChanges {
        &self.shared.role_changes
    }

    /// Whether another server has it.
    #[must_use]
    pub fn is_given_away(&self) -> bool {
        self.shared.given_away.load(Ordering::Acquire)
    }

    /// Another server has it from now on: nobody enters any more. Questions of our own, which enter nothing, are still
    /// answered for as long as its run lives.
    pub fn give_away(&self) {
        self.shared.given_away.store(true, Ordering::Release);
        self.shared.gate.close();
    }

    /// Waits until it is neither starting nor stopping, and tells the state.
    pub async fn settled(&self) -> State {
        let mut watch = self.shared.state.subscribe();
        let settled = watch.wait_for(|s| !matches!(s, State::Starting | State::Stopping)).await;
        settled.map_or(State::Stopped, |state| *state)
    }

    /// Wakes it if needed and gives the right to use it.
    ///
    /// # Errors
    /// When it cannot be woken, or not in time.
    pub async fn acquire(&self) -> Result<Lease, WakeError> {
        let wait = async {
            let mut ticket = None;
            loop {
                if let Some(pass) = self.shared.gate.pass()
                    && let Some(run) = self.current()
                {
                    return Ok(Lease { pass, run, ticket });
                }
                ticket = self.ask_wake(Cause::Client).await?.or(ticket);
            }
        };
        tokio::time::timeout(WAKE_WITHIN, wait).await.unwrap_or(Err(WakeError::TooSlow))
    }

    /// For an open session: wakes the *same* run if it is paused and enters it again.
    ///
    /// # Errors
    /// [`WakeError::RunEnded`] when the run of this session is over.
    pub async fn reenter(&self, run: &Arc<Run>) -> Result<Pass, WakeError> {
        let wait = async {
            loop {
                match self.current() {
                    Some(now) if Arc::ptr_eq(&now, run) && !run.is_closing() => {}
                    _ => return Err(WakeError::RunEnded),
                }
                if let Some(pass) = self.shared.gate.pass() {
                    return Ok(pass);
                }
                drop(self.ask_wake(Cause::Client).await?);
            }
        };
        tokio::time::timeout(WAKE_WITHIN, wait).await.unwrap_or(Err(WakeError::TooSlow))
    }

    /// Wakes it; returns when it is Active.
    ///
    /// # Errors
    /// When it cannot be woken, or not in time.
    pub async fn wake(&self, cause: Cause) -> Result<(), WakeError> {
        let woken = tokio::time::timeout(WAKE_WITHIN, self.ask_wake(cause)).await;
        woken.unwrap_or(Err(WakeError::TooSlow)).map(drop)
    }

    /// Stops it in order; returns when it is Stopped.
    ///
    /// # Errors
    /// When the actor has ended.
    pub async fn suspend(&self, reason: SleepReason) -> Result<(), WakeError> {
        self.ask(|reply| Command::Suspend { reason, reply }).await?
    }

    /// Pauses it now; returns when it is Paused.
    ///
    /// # Errors
    /// When it is not Active, or has work.
    pub async fn pause(&self) -> Result<(), WakeError> {
        self.ask(|reply| Command::Pause { reply }).await?
    }

    /// A superuser connection to the Active compute; keeps it awake while held, never wakes it.
    ///
    /// # Errors
    /// When it is not Active, or PostgreSQL refuses.
    pub async fn admin(&self, database: &str) -> Result<AdminClient, WakeError> {
        let pass = self.shared.gate.pass_quietly();
        if pass.is_none() && !self.is_given_away() {
            return Err(WakeError::NotActive);
        }
        let run = self.current().ok_or(WakeError::NotActive)?;
        let client = run.admin(database).await.map_err(|error| WakeError::admin(&error))?;
        Ok(AdminClient::new(client, pass))
    }

    pub(crate) async fn adopt(&self) -> bool {
        self.ask(|reply| Command::Adopt { reply }).await.unwrap_or(false)
    }

    pub(crate) async fn release(&self) {
        // An actor that has ended has nothing to release.
        let _ended = self.ask(|reply| Command::Release { reply }).await;
    }

    /// The last resort of a server that must end. Its actor has ended already.
    pub(crate) async fn end_by_force(&self) {
        if let Some(run) = self.current() {
            tracing::error!(endpoint = %self.shared.id, "ended by force; the next start recovers");
            let group = run.group().clone();
            let _survivors_are_reported = dormouse_runtime::task::blocking(move || group.kill()).await;
        }
    }

    fn current(&self) -> Option<Arc<Run>> {
        self.shared.run.lock().clone()
    }

    async fn ask_wake(&self, cause: Cause) -> Result<Option<Ticket>, WakeError> {
        self.ask(|reply| Command::Wake { cause, reply }).await?
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, WakeError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| WakeError::ServerStopping)?;
        answer.await.map_err(|_| WakeError::ServerStopping)
    }
}

//! Active → Paused → Stopped, and the way back from Paused.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::{self, Mono};
use dormouse_runtime::gate::Look;
use dormouse_runtime::task;
use rustix::process::Signal;

use super::WakeError;
use super::actor::Actor;
use super::record::Record;
use super::run::{Closing, Run};
use crate::activity::Activity;
use crate::event::{Cause, Happening, SleepReason};
use crate::host::SleepNotes;
use crate::postgres::pidfile::PidFile;
use crate::postgres::{ADMIN_DATABASE, log};
use crate::prewarm;
use crate::sandbox::identity::Identity;
use crate::sandbox::process::{Ending, Fingerprint};
use crate::sandbox::shm;
use crate::spec::PauseTimeout;
use crate::state::{Event, State, Step};

/// Running statements may finish for this long.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// The same when the whole server stops, which must be done within 30 s.
const DRAIN_AT_SHUTDOWN: Duration = Duration::from_secs(8);

/// A pause that was asked for waits so long for the last statement to end.
const WORK_MAY_END_WITHIN: Duration = Duration::from_millis(500);

/// Between two looks.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Sessions that were told to go now have this long to say goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);

/// A fast shutdown writes a checkpoint; after this long it becomes an immediate one (recovery at the next start).
const FAST_STOP_WITHIN: Duration = Duration::from_secs(15);

/// After this long an immediate shutdown becomes SIGKILL.
const IMMEDIATE_STOP_WITHIN: Duration = Duration::from_secs(4);

/// Questions before sleep must not hold anything up longer than this.
const ASK_WITHIN: Duration = Duration::from_secs(10);

impl Actor {
    /// Called on each tick of an Active endpoint.
    pub(super) async fn look_for_idleness(&mut self) {
        log::bound(&self.dir().join(super::launch::LOG_NAME));
        let look = self.shared.gate.look();
        if look.inside() > 0 || look.generation() != self.generation {
            self.generation = look.generation();
            self.last_work = Mono::now();
            return;
        }
        if self.shared.awake_until.lock().is_some_and(|until| until > clock::now()) {
            return;
        }
        let idle_timeout = self.spec.as_ref().and_then(|spec| spec.idle_timeout);
        if idle_timeout.is_none_or(|limit| self.last_work.elapsed() < limit) {
            return;
        }
        if let Err(why) = self.fall_asleep(look, SleepReason::Idle).await {
            tracing::debug!(%why, "not idle");
            self.last_work = Mono::now();
        }
    }

    /// The API asked to pause, work permitting. Work that ends within a moment is waited for.
    pub(super) async fn pause_now(&mut self) -> Result<(), WakeError> {
        let start = Mono::now();
        loop {
            let outcome = match self.state {
                State::Paused => return Ok(()),
                State::Active => self.try_pause().await,
                State::Stopped | State::Starting | State::Stopping => return Err(WakeError::NotActive),
            };
            match outcome {
                Err(WakeError::Busy(_)) if start.elapsed() < WORK_MAY_END_WITHIN => {
                    tokio::time::sleep(LOOK_AGAIN_AFTER).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_pause(&mut self) -> Result<(), WakeError> {
        let look = self.shared.gate.look();
        if look.inside() > 0 {
            return Err(WakeError::Busy("a client is working or has a transaction open".to_owned()));
        }
        self.freeze(look, SleepReason::Request).await
    }

    async fn fall_asleep(&mut self, look: Look, reason: SleepReason) -> Result<(), WakeError> {
        let skip = self.spec.as_ref().is_some_and(|spec| spec.pause_timeout == PauseTimeout::Skip);
        if !skip {
            return self.freeze(look, reason).await;
        }
        self.check_for_work().await?;
        let run = Arc::clone(self.run.as_ref().ok_or(WakeError::NotActive)?);
        if !self.shared.gate.close_if_unchanged(look) {
            return Err(WakeError::Busy("a client came".to_owned()));
        }
        // A failure here is met again, and reported, by the stop itself.
        if self.learn(&run).await.is_ok_and(|notes| notes.job_is_due) {
            return Err(self.wait_for_job());
        }
        self.stop(reason).await;
        Ok(())
    }

    fn wait_for_job(&mut self) -> WakeError {
        self.around.host.thawed(&self.shared.id);
        self.open();
        WakeError::Busy("a scheduled job is due".to_owned())
    }

    async fn check_for_work(&self) -> Result<(), WakeError> {
        let run = self.run.as_ref().ok_or(WakeError::NotActive)?;
        let ask = async {
            let client = run.admin(ADMIN_DATABASE).await.map_err(|e| WakeError::admin(&e))?;
            Activity::ask(&client).await.map_err(|e| WakeError::query(&e))
        };
        let activity = tokio::time::timeout(ASK_WITHIN, ask).await.map_err(|_| WakeError::TooSlow)??;
        activity.work().map_or(Ok(()), |work| Err(WakeError::Busy(work.to_owned())))
    }

    /// Active → Paused, unless there is work. Nothing waits while it is being found out: only when
    /// nobody came since `look` is the gate closed.
    async fn freeze(&mut self, look: Look, reason: SleepReason) -> Result<(), WakeError> {
        self.check_for_work().await?;
        let run = Arc::clone(self.run.as_ref().ok_or(WakeError::NotActive)?);
        checkpoint(&run).await;
        if !self.shared.gate.close_if_unchanged(look) {
            return Err(WakeError::Busy("a client came".to_owned()));
        }
        match self.learn(&run).await {
            Ok(notes) if notes.job_is_due && reason == SleepReason::Idle => return Err(self.wait_for_job()),
            Ok(_) => {}
            Err(error) => {
                self.stay_awake(&error.to_string());
                return Err(error);
            }
        }
        let group = run.group().clone();
        if let Err(error) = task::blocking(move || group.freeze()).await {
            self.stay_awake(&format!("cannot freeze: {error}"));
            return Err(WakeError::Busy("its processes do not stand still".to_owned()));
        }
        self.step(Event::Idle);
        let how = self.around.config.cgroups.name().to_owned();
        self.around.host.happened(&self.shared.id, Happening::Paused { reason, how });
        Ok(())
    }

    fn stay_awake(&mut self, why: &str) {
        tracing::warn!(why, "stays awake");
        self.around.host.thawed(&self.shared.id);
        self.around.host.happened(&self.shared.id, Happening::Trouble { message: why.to_owned() });
        self.open();
    }

    async fn learn(&self, run: &Arc<Run>) -> Result<SleepNotes, WakeError> {
        let ask = async {
            let door = run.door().await.map_err(|e| WakeError::admin(&e))?;
            let learned = self.around.host.before_sleep(&self.shared.id, &door).await;
            learned.map_err(|e| WakeError::Admin(e.to_string()))
        };
        tokio::time::timeout(ASK_WITHIN, ask).await.map_err(|_| WakeError::TooSlow)?
    }

    /// Paused → Active.
    pub(super) async fn thaw(&mut self, cause: Cause) -> Result<(), WakeError> {
        let start = Mono::now();
        let Some(run) = self.run.clone() else { return Err(WakeError::NotActive) };
        if let Err(error) = run.group().thaw() {
            tracing::error!(%error, "cannot thaw");
            // Frozen for good is as good as dead.
            self.exited(Ending::Unknown).await;
            return Err(WakeError::Start { reason: "it could not be thawed".to_owned() });
        }
        self.around.host.thawed(&self.shared.id);
        self.open();
        let thaw_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.around.metrics.observe("thaw", thaw_us);
        self.around.host.happened(&self.shared.id, Happening::Thawed { cause, thaw_us });
        Ok(())
    }

    pub(super) async fn suspend(&mut self, reason: SleepReason) {
        if reason == SleepReason::Pressure && self.state != State::Paused {
            // It was paused when it was chosen; by now somebody works with it.
            return;
        }
        if matches!(self.state, State::Active | State::Paused) {
            self.stop(reason).await;
        } else if self.state == State::Stopped {
            // Whoever asks for sleep does not want a crashed compute to come back by itself.
            self.heal_wanted = false;
        }
    }

    /// Active or Paused → Stopped. A wake that comes meanwhile waits in the actor's queue.
    pub(super) async fn stop(&mut self, reason: SleepReason) {
        let start = Mono::now();
        let Some(run) = self.run.clone() else { return };
        self.shared.gate.close();
        if self.step(Event::Suspend) == Step::ThawAndStop
            && let Err(error) = run.group().thaw()
        {
            tracing::error!(%error, "cannot thaw to stop");
        }
        run.close(Closing::Draining);
        let limit = if reason == SleepReason::Shutdown { DRAIN_AT_SHUTDOWN } else { DRAIN_WITHIN };
        let (drained, ()) = tokio::join!(self.drain(&run, limit), checkpoint(&run));
        let learned = self.learn(&run).await;
        run.close(Closing::Now);
        // Those who stay are cut off by PostgreSQL itself.
        let _some_stay = tokio::time::timeout(GOODBYE_WITHIN, self.shared.gate.emptied()).await;
        let ending = end(&run).await;

        let in_order = match ending {
            Ending::Code(code) => code == 0,
            Ending::Unknown => PidFile::read(run.data()).is_none(),
            Ending::Signal(_) => false,
        };
        self.run = None;
        self.remember_working_set(&run).await;
        self.clean_up(&run).await;
        self.note_end(in_order, learned).await;
        self.step(Event::Exited);
        let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(?reason, took_ms, drained, in_order, "stopped");
        self.around.host.happened(&self.shared.id, Happening::Stopped { reason, took_ms });
    }

    /// For the next start, where that is wanted.
    async fn remember_working_set(&self, run: &Arc<Run>) {
        if self.spec.as_ref().is_some_and(|spec| spec.prewarm) {
            let (run, home) = (Arc::clone(run), self.dir());
            if let Err(error) = task::blocking(move || prewarm::record(&home, run.data())).await {
                tracing::debug!(%error, "the working set is not remembered");
            }
        }
    }

    async fn note_end(&mut self, in_order: bool, learned: Result<SleepNotes, WakeError>) {
        let noted = match (in_order, learned) {
            (true, Ok(_)) => {
                self.around.host.stopped_cleanly(&self.shared.id).await.map_err(|e| e.to_string())
            }
            (true, Err(error)) => Err(format!("roles could not be read before sleep: {error}")),
            (false, _) => Err("PostgreSQL did not stop in order; the next start recovers".to_owned()),
        };
        if let Err(message) = noted {
            tracing::warn!(message, "the metadata may be stale");
            self.around.host.happened(&self.shared.id, Happening::Trouble { message });
        }
    }

    /// Lets running work finish. Tells whether all of it did.
    async fn drain(&self, run: &Arc<Run>, limit: Duration) -> bool {
        let finish = async {
            self.shared.gate.emptied().await;
            // A pipelined statement may still run although its session looks idle.
            while matches!(self.check_for_statements(run).await, Ok(n) if n > 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            result = tokio::time::timeout(limit, finish) => result.is_ok(),
            _ = run.held().ended() => false,
        }
    }

    async fn check_for_statements(&self, run: &Arc<Run>) -> Result<i64, WakeError> {
        let client = run.admin(ADMIN_DATABASE).await.map_err(|e| WakeError::admin(&e))?;
        let activity = Activity::ask(&client).await.map_err(|e| WakeError::query(&e))?;
        Ok(activity.statements)
    }

    /// Removes what a run leaves behind, first of all every process: even after a stop in order, a
    /// program that a superuser started may live on.
    pub(super) async fn clean_up(&self, run: &Arc<Run>) {
        self.shared.run.lock().take();
        run.end().await;
        let (run, config, dir) = (Arc::clone(run), Arc::clone(&self.around.config), self.dir());
        let (watcher, id) = (self.around.watcher.clone(), self.shared.id.clone());
        task::blocking(move || {
            // Empty it is gone; if not, the next start uses another one anyway.
            let _left = std::fs::remove_dir_all(&run.socket().dir);
            let other = |postmaster: Fingerprint| postmaster.pid != run.pid() && postmaster.is_alive();
            if Record::read(&dir).is_some_and(|record| other(record.postmaster)) {
                tracing::error!(pid = run.pid(), "another run has begun here: nothing of it is touched");
                return;
            }
            let segment = PidFile::read(run.data()).and_then(|file| file.shm_segment);
            if !run.group().members().is_empty() && !run.group().kill() {
                tracing::error!(data = %run.data().display(), "processes survive SIGKILL");
            }
            if let Some(identity) = Identity::owner_of(run.data()) {
                shm::clean(identity, config.identities.is_private(identity), segment);
            }
            run.group().remove();
            watcher.end(&id);
            Record::remove(&dir);
        })
        .await;
    }
}

/// A checkpoint while still serving makes the stop itself short. Best effort: the stop does it again.
async fn checkpoint(run: &Arc<Run>) {
    let work = async {
        let client = run.admin(ADMIN_DATABASE).await.ok()?;
        client.batch_execute("CHECKPOINT").await.ok()
    };
    if !matches!(tokio::time::timeout(DRAIN_AT_SHUTDOWN, work).await, Ok(Some(()))) {
        tracing::debug!("no checkpoint before sleep");
    }
}

/// Fast, then immediate, then by force.
async fn end(run: &Arc<Run>) -> Ending {
    for (signal, limit) in [(Signal::INT, FAST_STOP_WITHIN), (Signal::QUIT, IMMEDIATE_STOP_WITHIN)] {
        if let Err(error) = run.held().signal(signal) {
            tracing::error!(%error, ?signal, "cannot signal the postmaster");
        }
        if let Ok(ending) = tokio::time::timeout(limit, run.held().ended()).await {
            return ending;
        }
        tracing::warn!(?signal, "the postmaster does not end");
    }
    let group = run.group().clone();
    let _all_gone = task::blocking(move || group.kill()).await;
    // A process that not even SIGKILL ends (it waits for a dead disk) must not hold up everything else.
    tokio::time::timeout(IMMEDIATE_STOP_WITHIN, run.held().ended()).await.unwrap_or(Ending::Unknown)
}

//! Looks at every active compute four times a second, and sets new limits.
//!
//! Those who sleep cost nothing: they are not in the list. With nobody in it there is no timer either.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_base::clock::Mono;
use dormouse_runtime::task::{self, Scope};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, OwnedRwLockReadGuard};
use tokio::time::MissedTickBehavior;

use super::decide::{IDLE_FOR, SAMPLE_EVERY, Window};
use super::gauge::{Begun, Gauge, Resize};
use super::sizing::{Fit, Machine, Sizing};
use super::{Bounds, Controllers};
use crate::endpoint::Run;
use crate::event::Happening;
use crate::host::Host;
use crate::metrics::Metrics;

/// The environment variable by which a test gives a size fewer seconds than [`IDLE_FOR`] to become smaller.
pub const SHRINK_AFTER: &str = "DORMOUSE_TEST_SHRINK_AFTER";

/// Who knows what clients wait for: the proxy.
pub trait Clients: Send + Sync + 'static {
    /// How many clients of each of these wait for a backend, in their order. Must not block.
    fn waiting(&self, endpoints: &[EndpointId]) -> Vec<u32>;
}

/// One that is looked at.
pub(crate) trait Subject: Send + Sync {
    fn id(&self) -> &EndpointId;
    /// Its run, while it is Active.
    fn active(&self) -> Option<Arc<Run>>;
    fn bounds(&self) -> Bounds;
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Watcher {
    inner: Arc<Inner>,
}

struct Inner {
    controllers: Controllers,
    machine: Machine,
    subjects: Mutex<Vec<Arc<dyn Subject>>>,
    clients: RwLock<Option<Arc<dyn Clients>>>,
    /// Somebody is to be looked at who was not, or by other bounds.
    news: Notify,
    host: Arc<dyn Host>,
    metrics: Metrics,
    /// Where limits are set.
    scope: Scope,
    /// A size that is idle for so long becomes smaller.
    idle_for: Duration,
}

/// A change that is to be made.
struct Due {
    subject: Arc<dyn Subject>,
    run: Arc<Run>,
    resize: Resize,
}

impl Watcher {
    pub(crate) fn new(
        controllers: Controllers,
        host: Arc<dyn Host>,
        metrics: Metrics,
        scope: &Scope,
    ) -> Self {
        let inner = Inner {
            controllers,
            machine: Machine::this(),
            subjects: Mutex::default(),
            clients: RwLock::default(),
            news: Notify::new(),
            host,
            metrics,
            scope: scope.clone(),
            idle_for: idle_for(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Looks until the scope ends. Nothing is done while somebody else holds `turns` for himself.
    pub(crate) fn start(&self, turns: Arc<tokio::sync::RwLock<()>>) {
        let (inner, token) = (Arc::clone(&self.inner), self.inner.scope.token());
        self.inner.scope.spawn("sizes", async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = inner.watch(&turns) => {}
            }
        });
    }

    /// Who knows about clients.
    pub(crate) fn attach(&self, clients: Arc<dyn Clients>) {
        *self.inner.clients.write() = Some(clients);
    }

    /// It is Active: it is looked at until it is not any more.
    pub(crate) fn join(&self, subject: Arc<dyn Subject>) {
        let mut subjects = self.inner.subjects.lock();
        if !subjects.iter().any(|known| known.id() == subject.id()) {
            subjects.push(subject);
        }
        drop(subjects);
        self.inner.news.notify_one();
    }

    /// Its bounds are others: acts at once.
    pub(crate) fn rebound(&self) {
        self.inner.news.notify_one();
    }

    /// A run has served its first client: from now on it is limited. Blocks for some 10 ms in version 1.
    pub(crate) fn begin(&self, endpoint: &EndpointId, run: &Run, bounds: Bounds, adopted: bool) {
        let Inner { controllers, machine, .. } = &*self.inner;
        let group = run.group();
        let sizing = controllers.make(endpoint.as_str()).and_then(|()| {
            controllers.enter(endpoint.as_str(), || group.members())?;
            Sizing::open(controllers, endpoint.as_str(), group.v2_dir(), *machine)
        });
        let sizing = match sizing {
            Ok(sizing) => Some(sizing),
            Err(error) => {
                // Whoever ends it takes its groups away meanwhile.
                if !matches!(controllers, Controllers::Missing(_)) && !run.is_closing() {
                    tracing::warn!(%endpoint, %error, "a compute cannot be limited");
                }
                None
            }
        };
        let bounds = Gauge::possible(bounds, machine.cores);
        let (mut cu, mut fit) = (bounds.min, None);
        if let Some(sizing) = &sizing {
            // What an earlier server gave it stays, until there is a reason.
            let before = adopted.then(|| sizing.limit()).flatten();
            let whole = |cores: f64| dormouse_base::Cu::nearest(cores.min(machine.cores));
            cu = before.map_or(cu, whole).clamp(bounds.min, bounds.max);
            fit = match sizing.apply(cu, bounds.max) {
                Ok(fit) => Some(fit),
                Err(error) => {
                    if !run.is_closing() {
                        tracing::warn!(%endpoint, %error, "a compute cannot be limited");
                    }
                    None
                }
            };
        }
        let begun = Begun { cu, max: bounds.max, fit };
        run.measure_by(Gauge::new(sizing, machine.cores, begun, Window::new(self.inner.idle_for)));
        // Whoever ended it meanwhile has perhaps removed its groups before they were made.
        if run.is_closing() {
            controllers.forget(endpoint.as_str());
        }
    }

    /// A run is over: its groups go.
    pub(crate) fn end(&self, endpoint: &EndpointId) {
        self.inner.controllers.forget(endpoint.as_str());
    }

    /// The server ends.
    pub(crate) fn remove(&self) {
        self.inner.controllers.remove();
    }
}

fn idle_for() -> Duration {
    let seconds = std::env::var(SHRINK_AFTER).ok().and_then(|text| text.parse::<u32>().ok());
    seconds.map_or(IDLE_FOR, |seconds| Duration::from_secs(seconds.into()).min(IDLE_FOR))
}

impl Inner {
    async fn watch(self: &Arc<Self>, turns: &Arc<tokio::sync::RwLock<()>>) {
        let mut ticks = tokio::time::interval(SAMPLE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let sample = if self.subjects.lock().is_empty() {
                self.news.notified().await;
                ticks.reset();
                false
            } else {
                tokio::select! {
                    _ = ticks.tick() => true,
                    () = self.news.notified() => false,
                }
            };
            // Another server may be taking over, and then it decides.
            if let Ok(acting) = Arc::clone(turns).try_read_owned() {
                let acting = Arc::new(acting);
                for due in self.look(sample) {
                    self.carry_out(due, Arc::clone(&acting));
                }
            }
        }
    }

    /// Looks at all of them; without `sample` only at their bounds.
    fn look(&self, sample: bool) -> Vec<Due> {
        let start = Mono::now();
        let mut subjects = self.subjects.lock().clone();
        let mut runs = Vec::with_capacity(subjects.len());
        subjects.retain(|subject| {
            let run = subject.active();
            let is_active = run.is_some();
            runs.extend(run);
            is_active
        });
        if runs.len() < self.subjects.lock().len() {
            self.subjects.lock().retain(|subject| subject.active().is_some());
        }
        let mut waiting = Vec::new();
        if sample && let Some(clients) = &*self.clients.read() {
            let ids: Vec<_> = subjects.iter().map(|subject| subject.id().clone()).collect();
            waiting = clients.waiting(&ids);
        }
        waiting.resize(subjects.len(), 0);
        let (mut due, mut cu) = (Vec::new(), 0.0);
        for ((subject, run), waiting) in subjects.into_iter().zip(runs).zip(waiting) {
            let resize = run.gauge(|gauge| {
                let looked = if sample {
                    gauge.sample(waiting, subject.bounds())
                } else {
                    Ok(gauge.settle(subject.bounds()))
                };
                cu += gauge.cu().as_f64();
                looked.unwrap_or_else(|error| {
                    // It has just ended.
                    tracing::debug!(endpoint = %subject.id(), %error, "cannot be looked at");
                    None
                })
            });
            due.extend(resize.flatten().map(|resize| Due { subject, run, resize }));
        }
        self.metrics.looked(start.elapsed(), cu);
        due
    }

    /// Sets new limits. Each compute by itself: taking memory back from one may take long, and nobody else waits for
    /// that. No other server takes over meanwhile.
    fn carry_out(self: &Arc<Self>, due: Due, acting: Arc<OwnedRwLockReadGuard<()>>) {
        let inner = Arc::clone(self);
        self.scope.spawn("resize", async move {
            let (due, outcome) = task::blocking(move || {
                let outcome = due.set();
                (due, outcome)
            })
            .await;
            inner.resized(&due, &outcome);
            drop(acting);
        });
    }

    fn resized(&self, due: &Due, outcome: &io::Result<Fit>) {
        let Due { subject, run, resize } = due;
        if let Err(error) = outcome
            && !run.is_closing()
        {
            tracing::warn!(endpoint = %subject.id(), %error, "a new size cannot be set");
        }
        let is_another = run.gauge(|gauge| gauge.resized(resize, outcome)).unwrap_or(false);
        // What was asked for meanwhile holds at once as well.
        self.news.notify_one();
        let Some(change) = resize.change.filter(|_| is_another) else { return };
        let Resize { from, to, .. } = *resize;
        tracing::info!(endpoint = %subject.id(), %from, %to, reason = change.reason.name(),
            cpu = change.cores, waiting = change.waiting, "resized");
        self.metrics.resized(change.reason);
        self.host.happened(subject.id(), Happening::resized(from, &change));
    }
}

impl Due {
    /// Blocks.
    fn set(&self) -> io::Result<Fit> {
        // The groups of a run that is over may be those of the next one already.
        if self.run.is_closing() {
            return Err(io::ErrorKind::NotFound.into());
        }
        match self.run.gauge(|gauge| gauge.sizing()).flatten() {
            Some(sizing) => sizing.apply(self.resize.to, self.resize.max),
            None => Ok(Fit::Now),
        }
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("controllers", &self.inner.controllers).finish_non_exhaustive()
    }
}

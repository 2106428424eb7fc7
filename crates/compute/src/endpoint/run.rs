//! One run of a compute, from spawn to end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_base::EndpointId;
pub use dormouse_runtime::gate::Closing;
use dormouse_runtime::task::{self, Scope};
use tokio::sync::{Mutex, OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use crate::limits::watch::Watcher;
use crate::limits::{Bounds, Gauge};
use crate::postgres::ADMIN_DATABASE;
use crate::postgres::admin::{self, AdminError, Door, Kept, Socket};
use crate::sandbox::cgroup::Group;
use crate::sandbox::priority;
use crate::sandbox::process::Held;

/// How long the tasks of a run may take to end.
const END_WITHIN: Duration = Duration::from_secs(2);

/// One run of a compute. Sessions hold it; it tells them when it ends.
#[derive(Debug)]
pub struct Run {
    held: Held,
    socket: Socket,
    data: PathBuf,
    group: Group,
    closing: watch::Sender<Option<Closing>>,
    admin: Mutex<Option<Arc<Kept>>>,
    scope: Scope,
    settled: AtomicBool,
    /// Cancelled when it is settled.
    calm: CancellationToken,
    urgent: parking_lot::Mutex<Option<OwnedSemaphorePermit>>,
    log_start: u64,
    sizer: Sizer,
    /// From the first row on.
    gauge: parking_lot::Mutex<Option<Gauge>>,
}

impl Run {
    pub(super) fn new(
        held: Held,
        place: Place,
        scope: Scope,
        urgent: Option<OwnedSemaphorePermit>,
        sizer: Sizer,
    ) -> Self {
        Self {
            sizer,
            gauge: parking_lot::Mutex::default(),
            held,
            socket: place.socket,
            data: place.data,
            group: place.group,
            closing: watch::Sender::new(None),
            admin: Mutex::new(None),
            scope,
            settled: AtomicBool::new(false),
            calm: CancellationToken::new(),
            urgent: parking_lot::Mutex::new(urgent),
            log_start: place.log_start,
        }
    }

    /// The postmaster's process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.held.pid()
    }

    /// The Unix socket that accepts connections.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Tells when and how this run ends.
    #[must_use]
    pub fn closing(&self) -> watch::Receiver<Option<Closing>> {
        self.closing.subscribe()
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.borrow().is_some()
    }

    /// A superuser connection. The one to the administrative database is kept.
    pub(super) async fn admin(&self, database: &str) -> Result<Arc<Kept>, AdminError> {
        if database != ADMIN_DATABASE {
            return admin::connect(&self.socket, database, &self.scope).await.map(Kept::new);
        }
        let mut kept = self.admin.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| !kept.client().is_closed()) {
            return Ok(Arc::clone(kept));
        }
        let client = Kept::new(admin::connect(&self.socket, database, &self.scope).await?);
        *kept = Some(Arc::clone(&client));
        Ok(client)
    }

    /// What a host learns from.
    ///
    /// # Errors
    /// When PostgreSQL refuses or does not answer in time.
    pub async fn door(&self) -> Result<Door, AdminError> {
        let kept = self.admin(ADMIN_DATABASE).await?;
        Ok(Door::new(Arc::clone(kept.client()), self.socket.clone(), self.scope.clone()))
    }

    /// The wake is over: back to ordinary priority, into the cgroup, and ready for questions (the next
    /// login asks for a password and should not wait for a new backend). Only the first call acts.
    pub(super) fn settle(self: &Arc<Self>) {
        if self.settled.swap(true, Ordering::AcqRel) {
            return;
        }
        let was_urgent = self.urgent.lock().take().is_some();
        let (run, group, limited) = (Arc::clone(self), self.group.clone(), Arc::clone(self));
        // Reading /proc and moving between cgroups blocks for milliseconds.
        self.scope.spawn("settle", async move {
            let group = task::blocking(move || {
                if was_urgent {
                    priority::calm(&group.members());
                    // A child born in between inherited the priority from a parent that is calm now.
                    priority::calm(&group.members());
                }
                group.enter_late();
                limited.limit();
                group
            });
            let group = group.await;
            run.calm.cancel();
            if !run.is_closing()
                && let Err(error) = run.admin(ADMIN_DATABASE).await
            {
                tracing::debug!(%error, "no administrative connection yet");
            }
            if was_urgent {
                tokio::time::sleep(priority::LATE_BIRTH).await;
                task::blocking(move || priority::calm(&group.members())).await;
            }
        });
    }

    /// Its limits begin.
    fn limit(&self) {
        if !self.is_closing() {
            let Sizer { watcher, endpoint, bounds, adopted } = &self.sizer;
            watcher.begin(endpoint, self, *bounds.lock(), *adopted);
        }
    }

    pub(crate) fn measure_by(&self, gauge: Gauge) {
        *self.gauge.lock() = Some(gauge);
    }

    /// Asks about its size; `None` before its first row.
    pub(crate) fn gauge<T>(&self, ask: impl FnOnce(&mut Gauge) -> T) -> Option<T> {
        self.gauge.lock().as_mut().map(ask)
    }

    /// Waits until its wake is over.
    pub(super) async fn calmed(&self) {
        self.calm.cancelled().await;
    }

    pub(super) fn close(&self, how: Closing) {
        self.closing.send_replace(Some(how));
    }

    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    pub(super) fn log_start(&self) -> u64 {
        self.log_start
    }

    /// Ends the run's own tasks (administrative connections).
    pub(super) async fn end(&self) {
        self.admin.lock().await.take();
        self.scope.close(END_WITHIN).await;
    }
}

/// What gives a run its size.
#[derive(Debug, Clone)]
pub(super) struct Sizer {
    pub(super) watcher: Watcher,
    pub(super) endpoint: EndpointId,
    pub(super) bounds: Arc<parking_lot::Mutex<Bounds>>,
    /// It may have a size already.
    pub(super) adopted: bool,
}

/// Where a run takes place.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) socket: Socket,
    pub(super) data: PathBuf,
    pub(super) group: Group,
    pub(super) log_start: u64,
}

//! `measure`: looks at everything that is awake once a second, and keeps what it saw as statistics.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::{Cu, EndpointId, Timestamp, clock};
use dormouse_compute::limits::Live;
use dormouse_pricing::Pricing;
use dormouse_runtime::task;
use dormouse_statistics::{Recorder, Subject};

use super::pressure::available_bytes;
use super::{Reconciler, Report, Trouble};
use crate::computes::Computes;
use crate::control::Control;
use crate::db::{Db, DbError, endpoints, events};
use crate::keeper::Keeper;
use crate::measure::colds::{HOUR, Lately, MAX_REMEMBERED};
use crate::measure::exported::Exported;
use crate::measure::samples::{Known, Rates, Seen, samples};
use crate::measure::storage::{Stored, disk};
use crate::model::defaults;
use crate::pooler::Attached;

/// From one look to the next.
pub const EVERY: Duration = Duration::from_secs(1);
/// Seconds between two flushes: what a crash may lose.
pub const FLUSH_EVERY: i64 = 10;
/// Seconds between two removals of what is old.
const TRIM_EVERY: i64 = 600;
/// Seconds between two looks at the disk.
const DISK_EVERY: i64 = 60;
/// What the metadata said of an endpoint is asked again after so many seconds.
const FRESH_FOR: i64 = 30;

/// See the module.
#[derive(Debug)]
pub struct Measure {
    db: Db,
    recorder: Recorder,
    computes: Arc<dyn Computes>,
    keeper: Keeper,
    pooler: Attached,
    exported: Exported,
    stored: Stored,
    data: PathBuf,
    pricing: Arc<Pricing>,
    known: HashMap<EndpointId, Option<Known>>,
    lately: Lately,
    /// When each of the slower things was done last, seconds since 1970.
    done: Done,
}

#[derive(Debug, Default)]
struct Done {
    flush: i64,
    trim: i64,
    known: i64,
    disk: i64,
}

/// Whether something that is done every so many seconds is due; then it counts as done.
fn is_due(last: &mut i64, every: i64, now: i64) -> bool {
    // A clock that was put back must not stop it for ever.
    let due = now - *last >= every || now < *last;
    if due {
        *last = now;
    }
    due
}

/// The wakes of the last hour before this process: without them a restart would end an alert about their number.
fn before(db: &Db, now: i64) -> Lately {
    let since = Timestamp::from_second(now - HOUR).unwrap_or_default();
    let mut lately = Lately::default();
    match db.read("read the last wakes", |db| events::wakes_since(db, since, MAX_REMEMBERED)) {
        Ok(wakes) => wakes.iter().for_each(|(at, endpoint, project)| {
            lately.note(at.as_second(), endpoint, project);
        }),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "wakes of the last hour are not counted"
            );
        }
    }
    lately
}

impl Measure {
    pub(super) fn new(control: &Control) -> Self {
        let foundation = &control.foundation;
        let now = clock::now().as_second();
        Self {
            db: foundation.db.clone(),
            recorder: foundation.recorder.clone(),
            computes: Arc::clone(&control.computes),
            keeper: foundation.keeper(),
            pooler: Arc::clone(&control.pooler),
            exported: foundation.exported.clone(),
            stored: Arc::clone(&foundation.stored),
            data: foundation.config.data.clone(),
            pricing: Arc::clone(&foundation.config.pricing),
            known: HashMap::new(),
            lately: before(&foundation.db, now),
            // The first minutes are for people who wait.
            done: Done { trim: now, ..Done::default() },
        }
    }

    /// What the metadata says of an endpoint; `None` when it is gone.
    fn known(&mut self, endpoint: &EndpointId) -> Result<Option<Known>, DbError> {
        if let Some(known) = self.known.get(endpoint) {
            return Ok(known.clone());
        }
        let row = self.db.read("read an endpoint", |db| endpoints::get(db, endpoint))?;
        let known = row.map(|row| Known {
            max_cu: row.autoscaling_limit_max_cu,
            max_connections: row
                .pg_settings
                .get("max_connections")
                .and_then(|text| text.parse().ok())
                .unwrap_or(defaults::MAX_CONNECTIONS),
            project: row.project_id,
        });
        self.known.insert(endpoint.clone(), known.clone());
        Ok(known)
    }

    /// What there is to see of each endpoint in this second.
    fn look(&mut self, now: i64) -> Result<Vec<Seen>, DbError> {
        if is_due(&mut self.done.known, FRESH_FOR, now) {
            self.known.clear();
        }
        let mut found: BTreeMap<EndpointId, (Option<Live>, _, Vec<f64>)> = BTreeMap::new();
        for (endpoint, live) in self.computes.awake() {
            found.insert(endpoint, (Some(live), None, Vec::new()));
        }
        let census = self.pooler.get().map(|pooler| pooler.census()).unwrap_or_default();
        for census in census {
            let endpoint = census.endpoint.clone();
            found.entry(endpoint).or_default().1 = Some(census);
        }
        for (endpoint, took) in self.keeper.cold_starts().take() {
            found.entry(endpoint).or_default().2.push(took);
        }
        let mut seen = Vec::with_capacity(found.len());
        for (endpoint, (live, census, wakes)) in found {
            let Some(known) = self.known(&endpoint)? else { continue };
            wakes.iter().for_each(|_| self.lately.note(now, &endpoint, &known.project));
            seen.push(Seen { endpoint, known, live, census, wakes });
        }
        Ok(seen)
    }

    fn record(&self, seen: &[Seen], now: i64) {
        let storage = |subject: &Subject| {
            let bytes = self.stored.lock().billed(subject);
            // Without what a machine costs that never sleeps.
            self.pricing.per_hour(0, bytes).to_f64() - self.pricing.per_hour(0, 0).to_f64()
        };
        let compute = |cu: Cu| self.pricing.per_hour(u64::from(cu.milli()), 0).to_f64();
        let rates = Rates { compute: &compute, storage: &storage };
        self.recorder.record(now, samples(seen, available_bytes().unwrap_or(u64::MAX), &rates));
    }

    async fn flush(&self, now: i64, trim: bool) -> Result<usize, Trouble> {
        let recorder = self.recorder.clone();
        let written = task::blocking(move || {
            let written = recorder.flush(now)?;
            if trim {
                recorder.trim(now)?;
            }
            Ok::<_, dormouse_statistics::StoreError>(written)
        });
        written.await.map_err(Trouble::in_doing("write the statistics"))
    }
}

#[async_trait::async_trait]
impl Reconciler for Measure {
    fn name(&self) -> &'static str {
        "measure"
    }

    fn retry(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn last(&mut self) {
        if let Err(trouble) = self.flush(clock::now().as_second(), false).await {
            tracing::warn!(error = &trouble as &dyn std::error::Error, "the last statistics are lost");
        }
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let start = Mono::now();
        let now = clock::now().as_second();
        let seen = self.look(now).map_err(Trouble::in_doing("read the endpoints"))?;
        let awake = seen.iter().filter_map(|one| Some((&one.endpoint, one.live.as_ref()?)));
        self.exported.look(awake, start);
        self.record(&seen, now);
        if is_due(&mut self.done.disk, DISK_EVERY, now) {
            let full = disk(&self.data).map_err(Trouble::in_doing("measure the disk"))?;
            self.recorder.record(now, [full]);
        }
        let mut text = format!("{} seen", seen.len());
        if is_due(&mut self.done.flush, FLUSH_EVERY, now) {
            let rates = self.lately.samples(now);
            self.recorder.record(now, rates);
            let trim = is_due(&mut self.done.trim, TRIM_EVERY, now);
            let written = self.flush(now, trim).await?;
            text = format!("{text}, {written} periods written");
        }
        Ok(Report { text, next: EVERY.saturating_sub(start.elapsed()) })
    }
}

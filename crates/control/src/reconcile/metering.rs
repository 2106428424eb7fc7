//! `metering`: the heartbeat. Stores what was used, soon after something changed and at least every [`HEARTBEAT`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::{self, Mono};
use dormouse_base::{EndpointId, Lsn, Timestamp};

use super::quotas::Quotas;
use super::{Reconciler, Report, Trouble};
use crate::calendar::Calendar;
use crate::computes::Computes;
use crate::db::{Db, usage};
use crate::metering::{HEARTBEAT, Meter};
use crate::vault::Vault;

/// Between a change and its being stored, so that a storm of wakes costs few transactions.
const GATHER: Duration = Duration::from_millis(100);

/// The shortest time between two heartbeats that nothing else asks for.
const AT_LEAST: Duration = Duration::from_millis(200);

/// Writers whose position is remembered.
const MAX_WRITERS: usize = 20_000;

/// How often old rows go.
const PRUNE_EVERY: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Debug)]
pub struct Metering {
    pub(super) db: Db,
    pub(super) meter: Meter,
    pub(super) computes: Arc<dyn Computes>,
    /// The metadata's generation of which deleted branches are known.
    pub(super) seen: Option<u64>,
    pub(super) pruned: Option<Mono>,
    pub(super) calendar: Calendar,
    pub(super) quotas: Quotas,
    pub(super) vault: Arc<dyn Vault>,
    /// How far each writer's WAL was in the store.
    pub(super) filed: HashMap<EndpointId, Lsn>,
}

impl Metering {
    /// Computes may know better than the ledger: after a start about those that were adopted, and about sizes.
    fn compare(&self) {
        for endpoint in self.meter.unheard() {
            self.meter.hear(&endpoint, self.computes.state(&endpoint));
        }
        for endpoint in self.meter.living() {
            if let Some(live) = self.computes.live(&endpoint) {
                self.meter.size(&endpoint, live.cu);
            }
        }
    }

    /// What was written is what is filed of it, so that it is right after a sleep, too.
    fn count_written(&mut self) {
        if self.filed.len() > MAX_WRITERS {
            // Deleted endpoints, for the most part. Of the others it costs what they wrote since the last time.
            self.filed.clear();
        }
        for (endpoint, filed) in self.vault.filed() {
            let before = self.filed.insert(endpoint.clone(), filed);
            // Another line of history begins anew, and so does this server.
            let bytes = before.filter(|before| *before <= filed).map_or(0, |before| filed.since(before));
            self.meter.written(&endpoint, bytes);
        }
    }

    /// What branches had that are gone. A look at the store may have found something of one just when it went.
    fn clear(&mut self) -> Result<(), Trouble> {
        let (generation, stocked) = (self.db.generation(), self.meter.stocked());
        if self.seen == Some(generation) {
            return Ok(());
        }
        let gone = self.db.read("look for deleted branches", |db| usage::gone(db, stocked));
        for branch in gone.map_err(Trouble::in_doing("look for deleted branches"))? {
            self.meter.level(&branch, 0, 0);
        }
        self.seen = Some(generation);
        Ok(())
    }

    async fn write(&mut self, all: bool) -> Result<usize, Trouble> {
        let prune = self.pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY);
        // Asked whether or not there is anything to store: that is how the calendar knows the clocks.
        let today = if prune { self.calendar.today().await } else { Timestamp::UNIX_EPOCH };
        self.compare();
        self.count_written();
        self.clear()?;
        let Some(batch) = self.meter.beat(all) else { return Ok(0) };
        let (sent, now) = (Arc::clone(&batch), clock::now());
        let before = self.db.generation();
        let stored = self.db.write("store what was used", move |db| {
            usage::store(db, &sent, now)?;
            if prune { usage::prune(db, today) } else { Ok(()) }
        });
        stored.await.map_err(Trouble::in_doing("store what was used"))?;
        self.meter.done(&batch);
        if prune {
            self.pruned = Some(Mono::now());
        }
        // Our own change deletes no branch; any other in between may have.
        if self.seen == Some(before) && self.db.generation() == before + 1 && batch.levels.is_empty() {
            self.seen = Some(before + 1);
        }
        Ok(batch.gains.len())
    }
}

#[async_trait::async_trait]
impl Reconciler for Metering {
    fn name(&self) -> &'static str {
        "metering"
    }

    fn retry(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn signalled(&self) {
        self.meter.news().await;
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        tokio::time::sleep(GATHER).await;
        let count = self.write(false).await?;
        // A limit that is about to be reached is looked at just then, and not up to a heartbeat later.
        let soon = self.quotas.enforce().await?.map_or(HEARTBEAT, |soon| soon.clamp(AT_LEAST, HEARTBEAT));
        Ok(Report { text: format!("{count} hours of branches grew"), next: soon.saturating_sub(GATHER) })
    }

    async fn last(&mut self) {
        // A batch that was on its way when the server was told to stop is sent again, as it was: what came after it is
        // in the next one.
        for _ in 0..2 {
            if let Err(trouble) = self.write(true).await {
                tracing::warn!(error = &trouble as &dyn std::error::Error, "the last usage is lost");
            }
        }
    }
}

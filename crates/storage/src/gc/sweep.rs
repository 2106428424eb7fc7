//! One run: project by project, registers first, then objects.

use std::collections::BTreeSet;

use dormouse_base::{ProjectId, Timestamp, clock};

use super::look::{Registers, Seen};
use super::plan::{Change, Dead, Kind, Live, Look, Pin, Plan, Strange, Templates, packs, plan, templates};
use super::{Collected, Collector, GcError, MAX_LOOKS, MAX_STRANGE, hit, rewrite};
use crate::branch::record::BranchRecord;
use crate::branch::register::{UpdateError, kinds};
use crate::key;
use crate::pack::PackReader;

/// Objects that are deleted with one request, where the store can do that.
const BATCH: usize = 500;

/// The register is not the one of the look any more.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the register has changed meanwhile")]
struct Moved;

/// What became of an attempt at a project.
enum Attempt {
    Done,
    /// Something changed: look again.
    Again,
}

impl Collector {
    /// Collects garbage in the whole store. A project that fails does not keep the others from it.
    ///
    /// # Errors
    /// When the projects cannot be listed, or the last failure of a project, when all others are done.
    pub async fn collect(&self) -> Result<Collected, GcError> {
        self.collect_at(self.windows.now().await).await
    }

    pub(crate) async fn collect_at(&self, now: Timestamp) -> Result<Collected, GcError> {
        let mut run = Run::new(self, now);
        let mut failed = None;
        for project in kinds::projects(&self.store).await.map_err(GcError::Store)? {
            if let Err(error) = run.project(&project).await {
                tracing::warn!(%project, error = dormouse_base::with_causes(&error), "garbage not collected");
                self.metrics.failures.inc();
                run.all_known = false;
                failed = Some(error);
            }
        }
        if run.all_known {
            run.templates().await?;
        }
        self.metrics.runs.inc();
        let report = run.report;
        self.metrics.waiting.set(i64::try_from(report.waiting).unwrap_or(i64::MAX));
        self.metrics.strange.set(i64::try_from(report.strange_count).unwrap_or(i64::MAX));
        self.metrics.frozen.set(i64::try_from(report.frozen.len()).unwrap_or(i64::MAX));
        failed.map_or(Ok(report), Err)
    }

    /// Collects garbage of one project.
    ///
    /// # Errors
    /// When the store or a register fails.
    pub async fn collect_project(&self, project: &ProjectId) -> Result<Collected, GcError> {
        let mut run = Run::new(self, self.windows.now().await);
        run.project(project).await?;
        Ok(run.report)
    }
}

struct Run<'a> {
    collector: &'a Collector,
    reader: PackReader,
    now: Timestamp,
    report: Collected,
    users: Templates,
    /// Whether all users of templates are known.
    all_known: bool,
}

impl<'a> Run<'a> {
    fn new(collector: &'a Collector, now: Timestamp) -> Self {
        let mut users = Templates::default();
        collector.options.templates.iter().for_each(|template| users.want(template));
        let reader = PackReader::new(collector.store.clone());
        Self { collector, reader, now, report: Collected::default(), users, all_known: true }
    }

    async fn project(&mut self, project: &ProjectId) -> Result<(), GcError> {
        self.report.projects += 1;
        if self.collector.options.others.contains(project) {
            self.freeze(project, "another server has taken over a branch of it".to_owned());
            return Ok(());
        }
        let mut registers = Registers::new(&self.collector.store, project);
        for _ in 0..MAX_LOOKS {
            if let Attempt::Done = self.attempt(project, &mut registers).await? {
                return Ok(());
            }
        }
        self.freeze(project, "it is changing all the time".to_owned());
        Ok(())
    }

    fn freeze(&mut self, project: &ProjectId, why: String) {
        tracing::warn!(%project, why, "garbage is left alone");
        self.all_known = false;
        self.report.frozen.push((project.clone(), why));
    }

    fn strange(&mut self, found: Vec<Strange>) {
        self.report.strange_count += found.len() as u64;
        let room = MAX_STRANGE.saturating_sub(self.report.strange.len());
        self.report.strange.extend(found.into_iter().take(room));
    }

    async fn attempt(&mut self, project: &ProjectId, registers: &mut Registers) -> Result<Attempt, GcError> {
        // Other projects may have taken hours of this run: what is taken off a list is taken off now.
        self.now = self.now.max(self.collector.windows.now().await);
        let options = &self.collector.options;
        let Seen { mut look, .. } = registers.look(Some((&*self.collector.windows, self.now))).await?;
        look.pins = self.collector.leases.of(project);
        hit("gc.look.after").await?;
        let plan = plan(&look, &options.limits, self.now);
        if let Some(why) = plan.frozen {
            self.freeze(project, why);
            return Ok(Attempt::Done);
        }
        if !options.dry_run && !plan.changes.is_empty() {
            self.change(registers, &look, plan.changes).await?;
            return Ok(Attempt::Again);
        }
        let listed = look.branches.values().flat_map(|known| &known.record.snapshots);
        let listed: BTreeSet<_> = listed.map(|snapshot| snapshot.manifest.clone()).collect();
        let live = super::reach::live(&self.reader, &plan, &listed).await;
        hit("gc.references.after").await?;
        if !options.dry_run && !registers.is_still(&look).await? {
            return Ok(Attempt::Again);
        }
        look.branches.values().for_each(|known| self.users.used_by(known));
        self.finish(&look, plan, live, registers).await
    }

    /// Writes new versions of registers; one that has moved is left to the next look.
    async fn change(
        &mut self,
        registers: &mut Registers,
        look: &Look,
        changes: Vec<Change>,
    ) -> Result<(), GcError> {
        for change in changes {
            let before = &look.branches[&change.branch].record;
            let (mut wanted, metrics) = (change.record, &self.collector.metrics);
            if wanted.history_start > before.history_start
                && let Some(window) = self.collector.windows.window(&wanted.project, before)
            {
                wanted.history_start_at = wanted.history_start_at.max(self.now - window);
            }
            // Whoever found it listed until now has the whole grace period, also when time that stood still goes on.
            let taken_off = wanted.retired.iter_mut().filter(|retired| !before.retired.contains(retired));
            taken_off.for_each(|retired| retired.at = retired.at.max(clock::now()));
            hit("gc.register.before").await?;
            if self.passes_a_point(before, &wanted) {
                continue;
            }
            let update = registers
                .branch(&change.branch)
                .update(|now: BranchRecord| if now == *before { Ok(wanted.clone()) } else { Err(Moved) });
            match update.await {
                Ok(_) => {
                    self.report.retired += change.retired as u64;
                    metrics.retired.inc_by(change.retired as u64);
                    metrics.restored.inc_by(change.restored as u64);
                    let (branch, start) = (&change.branch, wanted.history_start);
                    let (retired, restored, expired) = (change.retired, change.restored, change.expired);
                    tracing::info!(%branch, retired, restored, expired, %start, "history moved on");
                }
                Err(UpdateError::Refused(Moved)) => {}
                Err(UpdateError::Register(error)) => return Err(GcError::Register(error)),
            }
            hit("gc.register.after").await?;
        }
        Ok(())
    }

    /// Whether somebody wants a point to be kept since the look: the next one sees it.
    fn passes_a_point(&self, before: &BranchRecord, wanted: &BranchRecord) -> bool {
        let passed = before.history_start..wanted.history_start;
        !passed.is_empty()
            && self
                .collector
                .windows
                .points(&wanted.project, before)
                .is_none_or(|points| points.iter().any(|point| passed.contains(point)))
    }

    /// Deletes what a settled plan says, then rewrites what is worth it.
    async fn finish(
        &mut self,
        look: &Look,
        plan: Plan,
        live: Result<Live, String>,
        registers: &mut Registers,
    ) -> Result<Attempt, GcError> {
        let options = &self.collector.options;
        let mut dead = plan.dead;
        let mut waiting = plan.waiting.len() as u64;
        let mut sparse = Vec::new();
        match &live {
            Ok(live) => {
                self.users.used_in(live);
                let found = packs(look, live, &options.limits, self.now);
                let at = dead.partition_point(|dead| dead.kind < Kind::Pack);
                dead.splice(at..at, found.dead);
                waiting += found.waiting.len() as u64;
                sparse = found.sparse;
                self.strange(found.strange);
            }
            Err(why) => self.freeze(&look.project, why.clone()),
        }
        self.strange(plan.strange);
        if let Attempt::Again = self.delete(look, dead).await? {
            return Ok(Attempt::Again);
        }
        self.report.waiting += waiting;
        if let (Ok(live), true) = (&live, options.rewrite && !options.dry_run) {
            self.report.rewritten +=
                rewrite::packs(self.collector, look, &sparse, live, (registers, self.now)).await?;
        }
        Ok(Attempt::Done)
    }

    async fn delete(&mut self, look: &Look, mut dead: Vec<Dead>) -> Result<Attempt, GcError> {
        let options = &self.collector.options;
        let room = options.max_deletes.saturating_sub(self.report.deleted);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        self.report.waiting += dead.len().saturating_sub(room) as u64;
        dead.truncate(room);
        let from = dead.partition_point(|dead| dead.kind < Kind::Manifest);
        let to = dead.partition_point(|dead| dead.kind <= Kind::Boot);
        self.delete_kinds(&dead[..from]).await?;
        if from < to {
            // Uploads that begin from here on wait until what they could have found is gone.
            let _closed = self.collector.leases.close_uploads().await;
            let pins = self.collector.leases.of(&look.project);
            let is_new = |pin: &Pin| matches!(pin, Pin::Upload { .. }) && !look.pins.contains(pin);
            if pins.iter().any(is_new) {
                return Ok(Attempt::Again);
            }
            self.delete_kinds(&dead[from..to]).await?;
        }
        self.delete_kinds(&dead[to..]).await?;
        Ok(Attempt::Done)
    }

    async fn delete_kinds(&mut self, dead: &[Dead]) -> Result<(), GcError> {
        for batch in dead.chunk_by(|a, b| a.kind == b.kind).flat_map(|of_kind| of_kind.chunks(BATCH)) {
            self.delete_batch(batch).await?;
        }
        Ok(())
    }

    async fn delete_batch(&mut self, batch: &[Dead]) -> Result<(), GcError> {
        let bytes = batch.iter().map(|dead| dead.size).sum();
        if !self.collector.options.dry_run {
            let keys: Vec<_> = batch.iter().map(|dead| dead.key.clone()).collect();
            hit("gc.delete.before").await?;
            // Versions of a register go oldest first, or an old one could be taken for the newest.
            if batch.iter().any(|dead| dead.kind >= Kind::Version) {
                for key in &keys {
                    self.collector.store.delete(key).await.map_err(GcError::Store)?;
                    hit("gc.delete.version").await?;
                }
            } else {
                self.collector.store.delete_all(&keys).await.map_err(GcError::Store)?;
            }
            hit("gc.delete.after").await?;
            self.collector.metrics.deleted.inc_by(batch.len() as u64);
            self.collector.metrics.deleted_bytes.inc_by(bytes);
        }
        self.report.deleted += batch.len() as u64;
        self.report.deleted_bytes += bytes;
        Ok(())
    }

    async fn templates(&mut self) -> Result<(), GcError> {
        let options = &self.collector.options;
        let objects = self.collector.store.list(&key::templates(), None).await.map_err(GcError::Store)?;
        let (dead, strange) = templates(&objects, &self.users, &options.limits, self.now);
        self.strange(strange);
        self.delete_kinds(&dead).await
    }
}

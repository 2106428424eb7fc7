//! Makes an endpoint's directory ready to start on.
//!
//! ```text
//!   it is there, of the right branch ──────────────────────────────► as it is (after a stop: 0 ms)
//!   new branch, its parent stopped there on this node ─────────────► a clone of the parent's  (node::twin)
//!   else: which snapshot, which WAL?  (branch::line::plan)
//!     files      spare copy of the template ─► what differs ─► holes for the rest    (restore, hydrate)
//!     WAL        from the snapshot's redo to the point, cut behind its last record   (wal::read)
//!     resident   written, then the directory gets its name
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_base::clock::Mono;
use dormouse_base::{Epoch, Lsn, Timeline, with_causes};
use dormouse_compute::postgres::promote::RECOVERS;
use dormouse_compute::sandbox::identity::Identity;
use dormouse_compute::spec::{Directory, Mode, Recovery, Spec};
use dormouse_runtime::{failpoint, task};
use dormouse_storage::branch::line::{self, Plan, Records};
use dormouse_storage::gc::Lease;
use dormouse_storage::gc::plan::Pin;
use dormouse_storage::manifest::Manifest;
use dormouse_storage::pack::boot::BootPack;
use dormouse_storage::restore::{self, Materialised};
use dormouse_storage::snapshot;
use dormouse_storage::wal::read::Target;
use futures_util::future::BoxFuture;

use super::capture::hold_wal;
use super::home::{Held, Home};
use super::near::{self, Near};
use super::resident::{Fresh, Purpose, Resident, SNAPSHOT_STATE};
use super::{Node, NodeError, head, left, reader};

/// What a directory is to be made for.
pub(super) struct Wish<'a> {
    pub(super) spec: &'a Spec,
    pub(super) purpose: Purpose,
    pub(super) target: Lsn,
    pub(super) records: Records,
}

impl Wish<'_> {
    /// The directory that it becomes.
    pub(super) fn fresh(&self, timeline: Timeline, from: Lsn) -> Fresh {
        Fresh {
            project: self.spec.project.clone(),
            branch: self.spec.branch.clone(),
            pg_major: self.spec.pg_major,
            purpose: self.purpose,
            seen: self.records.get(&self.spec.branch).map_or(Epoch(0), |record| record.epoch),
            timeline,
            from,
        }
    }
}

/// A draft that is complete.
struct Made {
    resident: Resident,
    recovery: Recovery,
    /// What it lacks, if it lacks something.
    holes: Option<Materialised>,
    /// What its recovery will touch, in order.
    touched: Vec<(String, u32)>,
}

/// WAL that a draft was given.
struct Replay {
    recovery: Recovery,
    end: Lsn,
    /// What the recovery will touch, in order.
    touched: Vec<(String, u32)>,
}

/// A boot pack that was read on suspicion.
struct Early {
    from: restore::From,
    loaded: (BootPack, u64),
}

impl Node {
    /// See the module. Ends what is being done with the directory meanwhile.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(crate) async fn ready(&self, spec: &Spec) -> Result<Directory, NodeError> {
        let home = self.home(&spec.endpoint);
        home.quiet().await;
        let mut held = home.held().await?;
        let purpose = purpose_of(spec);
        let data = home.data();
        if let Some(resident) = &held.resident {
            if resident.branch == spec.branch
                && resident.purpose == purpose
                && held.is_whole()
                && data.join("PG_VERSION").is_file()
            {
                if let Some(directory) = self.existing(&home, &mut held, spec).await? {
                    return Ok(directory);
                }
            } else {
                self.leave(&home, &mut held).await?;
            }
        }
        drop(held);
        let making: BoxFuture<'_, _> = Box::pin(self.make(&home, spec, purpose));
        let made = making.await;
        if let Err(error) = &made {
            tracing::warn!(endpoint = %spec.endpoint, branch = %spec.branch, error = with_causes(error),
                "the directory of a start cannot be made");
            let draft = home.path.join("data.new");
            let _next_try_does = task::blocking(move || std::fs::remove_dir_all(draft)).await;
        }
        made
    }

    /// The directory that is there; `None`: it was not usable, never let anybody in, and is gone now.
    async fn existing(
        &self,
        home: &Arc<Home>,
        held: &mut Held,
        spec: &Spec,
    ) -> Result<Option<Directory>, NodeError> {
        let data = home.data();
        if let Some(error) = held.overtaken() {
            return Err(error);
        }
        if let Some(resident) = held.resident.clone().filter(Resident::writes) {
            let looked_at = data.clone();
            if task::blocking(move || left::missed_promotion(&looked_at, &resident)).await {
                tracing::warn!(endpoint = %home.endpoint,
                    "a crash interrupted its promotion before anybody was let in; it is made again");
                self.discard(home, held).await?;
                return Ok(None);
            }
        }
        held.starts = true;
        // From now on it may write more.
        held.stopped_at = None;
        if held.resident.as_ref().is_some_and(|resident| resident.lazy) {
            self.resume_filling(home, held, spec.slot).await?;
        }
        if held.resident.is_none() {
            return Ok(None);
        }
        let recovery = if data.join(RECOVERS).is_file() { recovery_of(spec) } else { Recovery::Ordinary };
        let mut directory = Directory { recovery, ..Directory::plain(data) };
        self.behind_front(held, &mut directory)?;
        Ok(Some(directory))
    }

    async fn make(&self, home: &Arc<Home>, spec: &Spec, purpose: Purpose) -> Result<Directory, NodeError> {
        // Before anything is read that says what will be used.
        let pin = Pin::Point { branch: spec.branch.clone(), lsn: spec.pinned.unwrap_or(Lsn(u64::MAX)) };
        let lease = self.inner.leases.pin(&spec.project, pin).map_err(NodeError::part("keep a point"))?;
        // The last snapshot that is remembered is probably the right one: it comes while the register is read.
        let family = self.inner.registers.family(&spec.project, &spec.branch);
        let (records, early) = tokio::join!(family, self.early(spec));
        let records = records?;
        let record = &records[&spec.branch];
        let target = match purpose {
            Purpose::Read { pinned: Some(lsn) } => lsn,
            Purpose::Read { pinned: None } => self.newest(&spec.project, record).await?,
            Purpose::Write => self.stored_end(record).await?,
        };
        let wish = Wish { spec, purpose, target, records };
        let draft = home.path.join("data.new");
        let made = match self.twin(home, &wish, &draft).await? {
            Some(twin) => {
                lease.change(Pin::Snapshot { branch: spec.branch.clone(), manifest: twin.base.0.clone() });
                Made {
                    resident: twin.resident(&wish),
                    recovery: Recovery::Ordinary,
                    holes: None,
                    touched: Vec::new(),
                }
            }
            None => self.materialised(home, wish, &draft, &lease, early).await?,
        };
        hold_wal(&draft, &made.resident, self.inner.identities.for_slot(spec.slot)).await?;
        let directory = self.place(home, &draft, made, spec.slot).await?;
        home.held().await?.lease = Some(lease);
        Ok(directory)
    }

    /// The draft of a directory, made of a snapshot and WAL.
    async fn materialised(
        &self,
        home: &Arc<Home>,
        wish: Wish<'_>,
        draft: &Path,
        lease: &Lease,
        early: Option<Early>,
    ) -> Result<Made, NodeError> {
        let spec = wish.spec;
        // What the parent has not filed yet is read from its files, if it is on this node.
        let spans = line::line(&wish.records, &spec.branch, wish.target).map_err(NodeError::Line)?;
        let near = self.near(Some(home), &spans).await?;
        let plan = line::plan(&wish.records, &spec.branch, wish.target).map_err(NodeError::Line)?;
        let manifest = plan.snapshot.manifest.clone();
        lease.change(Pin::Snapshot { branch: spec.branch.clone(), manifest });
        let identity = self.inner.identities.for_slot(spec.slot);
        let early = early.filter(|early| early.from == restore::From::Boot(plan.snapshot.boot.clone()));
        let made = self.files(home, draft, &plan, (spec, identity), early).await?;
        // So that the first snapshot of this directory need not read all of it again. WAL does not count there.
        let state = home.path.join(SNAPSHOT_STATE);
        let remembering: BoxFuture<'_, _> =
            Box::pin(snapshot::remember(draft, &plan.snapshot.manifest, &state));
        let replaying: BoxFuture<'_, _> =
            Box::pin(self.wal(draft, &plan, &wish, &made.manifest, &near, identity));
        let (remembered, replay) = tokio::join!(remembering, replaying);
        remembered.map_err(NodeError::part("remember what a new directory looks like"))?;
        let Replay { recovery, end, touched } = replay?;
        failpoint::hit("ready.files.made").await.map_err(NodeError::file("make", draft))?;
        let timeline = if recovery == Recovery::Promote { plan.timeline().next() } else { plan.timeline() };
        let snapshot = &plan.snapshot;
        let base = Some((snapshot.manifest.clone(), snapshot.redo, snapshot.lsn));
        let mut resident = Resident::new(wish.fresh(timeline, end), base, !made.lazy.is_empty());
        resident.hot.clone_from(&made.hot);
        let holes = Some(made).filter(|made| !made.lazy.is_empty());
        Ok(Made { resident, recovery, holes, touched })
    }

    /// The boot pack of the snapshot that is remembered as the last one. A wrong guess costs a request.
    async fn early(&self, spec: &Spec) -> Option<Early> {
        if spec.pinned.is_some() {
            return None;
        }
        let record = self.inner.registers.hint(&spec.project, &spec.branch)?;
        let from = restore::From::Boot(record.snapshots.last()?.boot.clone());
        match restore::load(&self.inner.store, &from).await {
            Ok(loaded) => Some(Early { from, loaded }),
            // It is tried again where it counts.
            Err(_) => None,
        }
    }

    /// The files of the snapshot, in the draft.
    async fn files(
        &self,
        home: &Home,
        draft: &Path,
        plan: &Plan,
        (spec, identity): (&Spec, Identity),
        early: Option<Early>,
    ) -> Result<Materialised, NodeError> {
        let started = Mono::now();
        let (directories, major) = (self.inner.directories.clone(), spec.pg_major);
        let (path, to) = (home.path.clone(), draft.to_owned());
        let spared = task::blocking(move || directories.spare_to(&path, &to, major)).await;
        let base = match spared.map_err(NodeError::Directory)? {
            true => Some(Arc::clone(&self.template(major).await?.manifest)),
            false => None,
        };
        let order = restore::Order {
            store: self.inner.store.clone(),
            from: restore::From::Boot(plan.snapshot.boot.clone()),
            dir: draft.to_owned(),
            base,
            mode: self.mode(spec),
            owner: Some((identity.uid, identity.gid)),
            durable: false,
        };
        let making: BoxFuture<'_, _> = match early {
            Some(early) => Box::pin(restore::materialise_loaded(order, early.loaded, started)),
            None => Box::pin(restore::materialise(order)),
        };
        making.await.map_err(NodeError::part("make a directory from the store"))
    }

    /// The WAL behind the snapshot, and how PostgreSQL shall take it. Tells where it ends.
    async fn wal(
        &self,
        draft: &Path,
        plan: &Plan,
        wish: &Wish<'_>,
        manifest: &Manifest,
        near: &[Near],
        identity: Identity,
    ) -> Result<Replay, NodeError> {
        let writes = wish.purpose == Purpose::Write;
        let (mut end, mut touched) = (plan.target, Vec::new());
        if plan.is_direct() && writes {
            return Ok(Replay { recovery: Recovery::Ordinary, end, touched });
        }
        if !plan.is_direct() {
            let spans = line::line(&wish.records, &wish.spec.branch, plan.target).map_err(NodeError::Line)?;
            let line = head::reader_line(&wish.spec.project, head::major(wish.spec.pg_major)?, spans);
            let dir = draft.join("pg_wal");
            let target = Target {
                redo: plan.snapshot.redo,
                upto: plan.target,
                dir: &dir,
                system_identifier: Some(manifest.header.system_identifier),
            };
            let brought = near::brought(plan, manifest);
            let assembling: BoxFuture<'_, _> = Box::pin(self.assembled(&line, target, near, brought));
            let assembled = assembling.await;
            let assembled = assembled.map_err(NodeError::part("bring the write-ahead log back"))?;
            (end, touched) = (assembled.end, assembled.touched);
            own_files(assembled.files, identity).await?;
            if !writes {
                let on = line.timeline_at(Lsn(end.0.saturating_sub(1))).unwrap_or(assembled.timeline);
                reader::not_before(draft.to_owned(), end, on).await?;
            }
        }
        let signal = draft.join(RECOVERS);
        std::fs::write(&signal, b"").map_err(NodeError::file("write", &signal))?;
        own_files(vec![signal], identity).await?;
        Ok(Replay { recovery: recovery_of(wish.spec), end, touched })
    }

    /// The draft becomes the directory.
    async fn place(
        &self,
        home: &Arc<Home>,
        draft: &Path,
        made: Made,
        slot: u32,
    ) -> Result<Directory, NodeError> {
        let Made { resident, recovery, holes, touched } = made;
        let mut held = home.held().await?;
        let (path, data, from, kept) = (home.path.clone(), home.data(), draft.to_owned(), resident.clone());
        let [plan, spool] = [super::filling::STATE, super::capture::SPOOL].map(|name| home.path.join(name));
        let placed = task::blocking(move || {
            // What an earlier directory lacked or sent says nothing of this one.
            for old in [&data, &plan, &spool] {
                match std::fs::remove_dir_all(old) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            // Neither is on the disk before it is published; until then it may be made again.
            kept.note(&path)?;
            failpoint::hit_blocking("ready.place.rename")?;
            std::fs::rename(&from, &data)?;
            failpoint::hit_blocking("ready.place.after")
        });
        placed.await.map_err(NodeError::file("place the directory of", &home.path))?;
        (held.resident, held.made) = (Some(resident), true);
        held.stopped_at = None;
        let mut directory = Directory { recovery, ..Directory::plain(home.data()) };
        if let Some(holes) = holes {
            self.begin_filling(home, &mut held, (holes, touched), slot).await?;
            self.behind_front(&held, &mut directory)?;
        }
        Ok(directory)
    }
}

/// How a directory comes up that has WAL to replay: who is to write is promoted, readers stay.
fn recovery_of(spec: &Spec) -> Recovery {
    match spec.mode {
        Mode::ReadWrite => Recovery::Promote,
        Mode::ReadOnly => Recovery::Standby,
    }
}

fn purpose_of(spec: &Spec) -> Purpose {
    match spec.mode {
        Mode::ReadWrite => Purpose::Write,
        Mode::ReadOnly => Purpose::Read { pinned: spec.pinned },
    }
}

async fn own_files(files: Vec<PathBuf>, identity: Identity) -> Result<(), NodeError> {
    task::blocking(move || {
        for file in files {
            use std::os::unix::fs::PermissionsExt;
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&file, private).map_err(NodeError::file("protect", &file))?;
            identity.own(&file).map_err(NodeError::file("give away", &file))?;
        }
        Ok(())
    })
    .await
}

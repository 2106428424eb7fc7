//! Directories with holes: the filler of each, and what a start needs of it.

use std::collections::HashMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dormouse_base::EndpointId;
use dormouse_compute::event::SleepReason;
use dormouse_compute::sandbox::process;
use dormouse_compute::spec::{Directory, Spec};
use dormouse_runtime::task;
use dormouse_storage::gc::Lease;
use dormouse_storage::gc::plan::Pin;
use dormouse_storage::hydrate::{
    self, HydrateError, Hydration, LazyFile, Life, Place, Plan, Source, SourceError, Tuning, symbols,
};
use dormouse_storage::key::Key;
use dormouse_storage::manifest::Manifest;
use dormouse_storage::pack::{DataError, PackReader};
use dormouse_storage::restore::{self, ChunkSource, Materialised, Mode};
use dormouse_storage::snapshot::control_file;

use super::home::{Held, Home};
use super::resident::Resident;
use super::{Node, NodeError};

/// The filler's own files, beside the cluster.
pub(super) const STATE: &str = "hydrate";

/// A start and the client's first rows come first; what they need is filled at once all the same.
const AFTER_START: Duration = Duration::from_millis(500);

/// Chunks from packs, in the filler's words.
#[derive(Debug)]
struct FromPacks(ChunkSource);

#[async_trait]
impl Source for FromPacks {
    async fn chunk(&self, file: u32, chunk: u32) -> Result<Bytes, SourceError> {
        self.0.chunk(file, chunk).await.map_err(|error| {
            let again = matches!(
                &error,
                restore::SourceError::Data(DataError::Store(source)) if !source.is_not_found()
            );
            let cause: Arc<dyn std::error::Error + Send + Sync> = Arc::new(error);
            if again { SourceError::Temporary(cause) } else { SourceError::Permanent(cause) }
        })
    }
}

impl Node {
    /// Lazy where holes can be found and the front can stand before this version's `postgres`, else eager.
    pub(super) fn mode(&self, spec: &Spec) -> Mode {
        if !self.finds_holes() {
            return Mode::Eager;
        }
        let mut known = self.inner.found.fronts.lock();
        *known.entry(spec.pg_major).or_insert_with(|| {
            let Some(installation) = self.inner.directories.installations().get(spec.pg_major) else {
                return Mode::Eager;
            };
            let program = std::fs::read(installation.bin.join("postgres")).unwrap_or_default();
            match symbols::check(&program) {
                Ok(()) => Mode::Lazy,
                Err(unfit) => {
                    tracing::warn!(version = installation.version, %unfit,
                        "this PostgreSQL is started on complete directories only");
                    Mode::Eager
                }
            }
        })
    }

    /// Whether the file system tells where files have holes, which are all that is filled. Asked of the file system once.
    fn finds_holes(&self) -> bool {
        *self.inner.found.holes.get_or_init(|| {
            let data = self.inner.data.as_path();
            let why = match hydrate::maps_holes(data) {
                Ok(true) => return true,
                Ok(false) => "its file system does not tell where files have holes".to_owned(),
                Err(error) => error.to_string(),
            };
            tracing::warn!(data = %data.display(), why, "directories are made complete before they are started on");
            false
        })
    }

    /// Starts filling a directory that was just made. `touched`: the chunks that its recovery will touch, in order.
    pub(super) async fn begin_filling(
        &self,
        home: &Arc<Home>,
        held: &mut Held,
        (made, touched): (Materialised, Vec<(String, u32)>),
        slot: u32,
    ) -> Result<(), NodeError> {
        // What starts were seen to read came with the boot pack; what a recovery will read is fetched ahead of it.
        let hot = numbered(&made.lazy, &touched);
        let plan = Plan { files: made.lazy, hot };
        let source = Arc::new(FromPacks(made.source));
        let (place, metrics) = (self.filler_place(home, slot), self.inner.metrics.hydration.clone());
        let begun = Hydration::begin(place, plan, source, tuning(), metrics, &self.inner.scope).await;
        held.hydration = Some(Arc::new(begun.map_err(NodeError::part("begin to fill a directory"))?));
        Ok(())
    }

    /// Goes on filling after a restart of the server. Does nothing when it is being filled already. A directory
    /// that was never finished is removed: nobody was ever let into it.
    pub(super) async fn resume_filling(
        &self,
        home: &Arc<Home>,
        held: &mut Held,
        slot: u32,
    ) -> Result<(), NodeError> {
        self.note_spoilt(home, held);
        if let Some(spoilt) = held.spoilt {
            return self.give_up(home, held, spoilt).await;
        }
        if held.hydration.is_some() {
            return Ok(());
        }
        let Some(resident) = held.resident.clone() else { return Ok(()) };
        if !resident.is_whole() {
            // What the disk has of it, the plan included, is anything.
            return self.make_again(home, held).await;
        }
        let place = self.filler_place(home, slot);
        let state = place.state.clone();
        let plan = task::blocking(move || hydrate::stored_plan(&state)).await;
        let plan = plan.map_err(NodeError::part("read what a directory lacks"))?;
        let source = match &plan {
            Some(plan) => {
                // Also while the store does not answer: what it is filled from may be off every list by now.
                held.lease = Some(self.keep(&resident, key_of(&resident)?)?);
                self.source_of(&resident, plan).await?
            }
            None if home.data().join(control_file::PATH).is_file() => {
                return self.note_complete(home, held).await;
            }
            // A crash came between its new name and the plan of what it lacks.
            None => return self.make_again(home, held).await,
        };
        let metrics = self.inner.metrics.hydration.clone();
        let life = life_of(home).await;
        let resumed = Hydration::resume(place, life, source, tuning(), metrics, &self.inner.scope).await;
        match resumed {
            Ok(Some(hydration)) => held.hydration = Some(Arc::new(hydration)),
            Ok(None) => self.note_complete(home, held).await?,
            Err(HydrateError::NotDurable) => self.make_again(home, held).await?,
            Err(HydrateError::Moved) => self.give_up(home, held, Spoilt::Moved).await?,
            Err(HydrateError::Suspect) => self.give_up(home, held, Spoilt::Refused).await?,
            Err(error) => return Err(NodeError::part("go on filling a directory")(error)),
        }
        Ok(())
    }

    /// A directory that cannot be trusted is made again when nobody was ever let into it.
    async fn give_up(&self, home: &Arc<Home>, held: &mut Held, why: Spoilt) -> Result<(), NodeError> {
        if held.writer().is_none() {
            return self.make_again(home, held).await;
        }
        held.lease = None;
        if held.spoilt.replace(why).is_none() {
            self.trouble(&home.endpoint, why.error().to_string());
        }
        Err(why.error())
    }

    /// Looks whether the disk has refused a part of the directory meanwhile.
    pub(super) fn note_spoilt(&self, home: &Home, held: &mut Held) {
        if held.spoilt.is_none() && held.hydration.as_ref().is_some_and(|hydration| hydration.is_suspect()) {
            held.spoilt = Some(Spoilt::Refused);
            self.trouble(&home.endpoint, Spoilt::Refused.error().to_string());
        }
    }

    /// Stops the compute of a directory that cannot be trusted; it cannot start again.
    pub(super) async fn stop_spoilt(&self, home: &Home) -> Result<(), NodeError> {
        let stopped = self.computes()?.suspend(&home.endpoint, SleepReason::Request).await;
        stopped.map_err(NodeError::part("stop the compute of a spoilt directory"))
    }

    async fn make_again(&self, home: &Arc<Home>, held: &mut Held) -> Result<(), NodeError> {
        if held.writer().is_some() {
            // It was on the disk before it was published, so this is something else.
            return Err(NodeError::Nothing("the directory of a writer is not complete any more".to_owned()));
        }
        tracing::warn!(endpoint = %home.endpoint, "a directory that was never finished is made again");
        self.discard(home, held).await
    }

    /// Chunks for a plan, by the manifest of the snapshot that the directory was made from.
    async fn source_of(&self, resident: &Resident, plan: &Plan) -> Result<Arc<dyn Source>, NodeError> {
        let manifest = Manifest::load(&self.inner.store, &key_of(resident)?).await;
        let manifest = manifest.map_err(NodeError::part("read the snapshot of a directory with holes"))?;
        let entries: Option<Vec<_>> = plan.files.iter().map(|file| manifest.file(&file.path)).collect();
        let entries = entries.ok_or_else(unknown_origin)?;
        let reader = PackReader::new(self.inner.store.clone());
        Ok(Arc::new(FromPacks(ChunkSource::new(reader, entries.into_iter(), None))))
    }

    /// Keeps the snapshot that a directory is filled from in the store, for as long as the lease lives.
    pub(super) fn keep(&self, resident: &Resident, manifest: Key) -> Result<Lease, NodeError> {
        let pin = Pin::Snapshot { branch: resident.branch.clone(), manifest };
        self.inner.leases.pin(&resident.project, pin).map_err(NodeError::part("keep a snapshot in the store"))
    }

    /// What a start behind the front needs.
    pub(super) fn behind_front(&self, held: &Held, directory: &mut Directory) -> Result<(), NodeError> {
        let Some(hydration) = held.hydration.as_ref().filter(|hydration| !hydration.is_complete()) else {
            return Ok(());
        };
        let front = self.front()?;
        let environment = hydration.environment(&front);
        directory.environment = environment.map_err(NodeError::part("prepare the front of a directory"))?;
        directory.read.extend([front, hydration.reach().to_owned()]);
        Ok(())
    }

    /// The front's file, put in place the first time.
    fn front(&self) -> Result<PathBuf, NodeError> {
        if let Some(path) = self.inner.found.front.get() {
            return Ok(path.clone());
        }
        let dir = self.inner.data.join("front");
        let open = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&dir);
        open.map_err(NodeError::file("create", &dir))?;
        let path = hydrate::install_front(&dir).map_err(NodeError::file("install the front in", &dir))?;
        Ok(self.inner.found.front.get_or_init(|| path).clone())
    }

    /// Notes that a directory has no holes any more, once.
    pub(super) async fn note_complete(&self, home: &Home, held: &mut Held) -> Result<(), NodeError> {
        let Some(resident) = held.resident.as_mut().filter(|resident| resident.lazy) else { return Ok(()) };
        resident.lazy = false;
        if let Some(hydration) = &held.hydration {
            resident.hot = resident.hot_with(&hydration.touched_paths());
        }
        let (resident, path) = (resident.clone(), home.path.clone());
        let written = task::blocking(move || resident.write(&path)).await;
        held.hydration = None;
        held.lease = None;
        written.map_err(NodeError::file("record the completion of", &home.path))
    }

    fn filler_place(&self, home: &Home, slot: u32) -> Place {
        let identity = self.inner.identities.for_slot(slot);
        Place {
            data: home.data(),
            state: home.path.join(STATE),
            runtime: self.inner.run_root.join(short_name(&home.endpoint)),
            uid: identity.uid,
            gid: identity.gid,
        }
    }
}

/// The chunks of files with holes among these, by the files' numbers.
fn numbered(files: &[LazyFile], chunks: &[(String, u32)]) -> Vec<(u32, u32)> {
    let numbers: HashMap<&str, u32> = files.iter().map(|file| file.path.as_str()).zip(0..).collect();
    let known = |(path, chunk): &(String, u32)| Some((*numbers.get(path.as_str())?, *chunk));
    let absent = |(file, chunk): &(u32, u32)| {
        let file = &files[*file as usize];
        *chunk < file.chunks() && !file.present.get(*chunk)
    };
    chunks.iter().filter_map(known).filter(absent).collect()
}

/// What an adoption would find: nobody who works in the directory means that nothing kept its file system in place.
async fn life_of(home: &Home) -> Life {
    let data = home.data();
    match task::blocking(move || process::of_cluster(&data)).await.is_empty() {
        true => Life::Rests,
        false => Life::Runs,
    }
}

/// Why a directory is no longer what was made: nothing is started on it, and only its WAL is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoilt {
    /// It is a copy of what had holes.
    Moved,
    /// The disk did not take a part of it, and nobody can tell which.
    Refused,
}

impl Spoilt {
    /// What whoever wants to use it is told.
    pub(super) fn error(self) -> NodeError {
        let why = match self {
            Self::Moved => {
                "the directory was copied or moved while parts of it were in the store only, and cannot be told from \
                    what it lacks"
            }
            Self::Refused => "the disk refused a part of the directory while it was filled from the store",
        };
        NodeError::Busy(format!(
            "{why}: `dormouse endpoint evict` stores its WAL and has it made again (docs/reference/recovery.md)"
        ))
    }
}

fn tuning() -> Tuning {
    Tuning { rest: AFTER_START, ..Tuning::default() }
}

fn unknown_origin() -> NodeError {
    NodeError::Nothing("nobody knows what the directory was made from".to_owned())
}

fn key_of(resident: &Resident) -> Result<Key, NodeError> {
    resident.made_from.clone().ok_or_else(unknown_origin)
}

/// A socket's path is short, and an endpoint's ID need not be; its end is the random part.
fn short_name(endpoint: &EndpointId) -> String {
    let id = endpoint.as_str();
    let tail = id.len().saturating_sub(24);
    format!("h-{}", &id[tail..])
}

#[cfg(test)]
mod tests {
    use dormouse_base::{Epoch, Lsn};
    use dormouse_compute::postgres::discover::Installations;
    use dormouse_compute::sandbox::identity::{Identities, Identity};

    use super::super::resident::Fresh;
    use super::*;
    use crate::computes::recorder::Recorder;
    use crate::directory::Directories;

    /// A store that is away.
    #[derive(Debug)]
    struct Away;

    #[async_trait]
    impl Source for Away {
        async fn chunk(&self, _: u32, _: u32) -> Result<Bytes, SourceError> {
            Err(SourceError::Temporary(Arc::new(std::io::Error::other("away"))))
        }
    }

    #[tokio::test]
    async fn what_a_directory_is_filled_from_stays_while_the_store_does_not_answer() {
        let dir = tempfile::tempdir().unwrap();
        let me =
            Identity { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
        let directories =
            Directories::open(dir.path(), Installations::default(), Identities::Own(me)).unwrap();
        let node = Node::in_memory(dir.path(), directories);
        let key = dormouse_storage::key::manifest(
            &"p".parse().unwrap(),
            &"br-a".parse().unwrap(),
            Lsn(1),
            Epoch(1),
        );
        let resident = Resident::new(Fresh::sample(0, 100), Some((key, Lsn(1), Lsn(1))), true);
        let endpoint = EndpointId::generate();
        let home = node.home(&endpoint);
        std::fs::create_dir_all(home.data().join("global")).unwrap();
        std::fs::create_dir_all(&node.inner.run_root).unwrap();
        let file = std::fs::File::create(home.data().join("file")).unwrap();
        file.set_len(100).unwrap();
        let lazy = LazyFile { path: "file".to_owned(), size: 100, present: hydrate::Bits::none(1) };
        let (place, plan) = (node.filler_place(&home, 0), Plan { files: vec![lazy], hot: Vec::new() });
        let (metrics, scope) = (node.inner.metrics.hydration.clone(), &node.inner.scope);
        let begun = Hydration::begin(place, plan, Arc::new(Away), tuning(), metrics, scope).await.unwrap();
        assert!(begun.stop().await);
        let mut held = home.held().await.unwrap();
        held.resident = Some(resident);
        node.resume_filling(&home, &mut held, 0).await.unwrap_err();
        assert_eq!(node.inner.leases.len(), 1);
    }

    #[tokio::test]
    async fn what_has_holes_that_nobody_fills_is_neither_stored_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identities::Own(Identity { uid: 1, gid: 1 });
        let directories = Directories::open(dir.path(), Installations::default(), identity).unwrap();
        let node = Node::in_memory(dir.path(), directories);
        node.attach(Arc::new(Recorder::default()));
        let mut resident = Resident::new(Fresh::sample(0, 100), None, true);
        resident.epoch = Some(Epoch(1));
        let endpoint = EndpointId::generate();
        let home = node.home(&endpoint);
        std::fs::create_dir_all(home.data()).unwrap();
        resident.write(&home.path).unwrap();
        let shot = node.shoot(&home).await;
        assert!(matches!(shot, Err(NodeError::Busy(_))), "{shot:?}");
        let evicted = node.evict_endpoint(&endpoint).await;
        assert!(matches!(evicted, Err(NodeError::Busy(_))), "{evicted:?}");
        assert!(home.data().is_dir() && node.is_here(&endpoint));
    }
}

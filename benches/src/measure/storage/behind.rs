//! A cluster behind the hydration front, in the states that matter for speed.
//!
//! *Present*: every page is there, but not every page of the directory is: one file that belongs to nobody has
//! a hole, so the front never learns that it is done. *Complete*: PostgreSQL was started behind the front, and
//! then the last hole was filled. *Absent*: made lazily a moment ago.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dormouse_hydrate::layout::{CONTROL, HIDDEN_CONTROL};
use dormouse_storage::chunk;
use dormouse_storage::hydrate::{
    Bits, Hydration, LazyFile, Metrics, Place, Plan, Source, SourceError, Tuning, install_front,
};
use dormouse_storage::restore::{ChunkSource, Materialised};

use super::lab::{Lab, broke};
use super::size;
use crate::bare::Bare;
use crate::error::Error;

/// The file that belongs to nobody; PostgreSQL counts its own from 16384 and is far from this one.
const NOBODYS: &str = "base/1/4000000000";

/// How soon one hole is filled.
const COMPLETE_WITHIN: Duration = Duration::from_secs(60);

/// A hydration and where its things are.
#[derive(Debug)]
pub(super) struct Behind {
    /// The filler.
    pub(super) hydration: Hydration,
    /// What PostgreSQL is to be started with.
    pub(super) environment: Vec<(String, String)>,
    data: PathBuf,
    state: PathBuf,
    _runtime: tempfile::TempDir,
}

/// Zeros, for the file that belongs to nobody.
#[derive(Debug)]
struct Zeros;

#[async_trait]
impl Source for Zeros {
    async fn chunk(&self, _: u32, _: u32) -> Result<Bytes, SourceError> {
        Ok(Bytes::from(vec![0; usize::try_from(chunk::CHUNK).unwrap_or_default()]))
    }
}

/// Chunks from packs, in the filler's words.
#[derive(Debug)]
struct FromPacks(ChunkSource);

#[async_trait]
impl Source for FromPacks {
    async fn chunk(&self, file: u32, chunk: u32) -> Result<Bytes, SourceError> {
        self.0.chunk(file, chunk).await.map_err(|error| {
            let again = error.is_temporary();
            let cause: Arc<dyn std::error::Error + Send + Sync> = Arc::new(error);
            if again { SourceError::Temporary(cause) } else { SourceError::Permanent(cause) }
        })
    }
}

/// All pages of this complete cluster are present. With `completing` the directory is complete soon after.
///
/// # Errors
/// When the hydration cannot begin.
pub(super) fn present(lab: &Lab, bare: &Bare, completing: bool) -> Result<Behind, Error> {
    let mut files = Vec::new();
    for dir in relations_below(&bare.data())? {
        files.extend(whole_files(&bare.data(), &dir)?);
    }
    let path = bare.data().join(NOBODYS);
    File::create(&path)
        .and_then(|file| file.set_len(chunk::CHUNK))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
        .and_then(|()| bare.identity().own(&path))
        .map_err(Error::system("make a file with a hole"))?;
    files.push(LazyFile { path: NOBODYS.to_owned(), size: chunk::CHUNK, present: Bits::none(1) });
    let background = if completing { Tuning::default().background } else { 0 };
    begin(lab, bare, files, Arc::new(Zeros), background)
}

/// What was made lazily is filled.
///
/// # Errors
/// When the hydration cannot begin.
pub(super) fn absent(lab: &Lab, bare: &Bare, made: Materialised) -> Result<Behind, Error> {
    let source = Arc::new(FromPacks(made.source));
    begin(lab, bare, made.lazy, source, Tuning::default().background)
}

fn begin(
    lab: &Lab,
    bare: &Bare,
    files: Vec<LazyFile>,
    source: Arc<dyn Source>,
    background: usize,
) -> Result<Behind, Error> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let runtime = tempfile::Builder::new().prefix("dm-bench-").tempdir_in(parent);
    let runtime = runtime.map_err(Error::system("make a directory in memory"))?;
    size::passable(runtime.path())?;
    let front = install_front(lab.path()).map_err(Error::system("install the front"))?;
    let (data, identity) = (bare.data(), bare.identity());
    let state = data.with_file_name("hydrate");
    let place = Place {
        data: data.clone(),
        state: state.clone(),
        runtime: runtime.path().join("run"),
        uid: identity.uid,
        gid: identity.gid,
    };
    let tuning = Tuning { background, ..Tuning::default() };
    let plan = Plan { files, hot: Vec::new() };
    let begun = Hydration::begin(place, plan, source, tuning, Metrics::default(), &lab.scope);
    let hydration = lab.wait(begun).map_err(broke)?;
    let environment = hydration.environment(&front).map_err(broke)?;
    Ok(Behind { hydration, environment, data, state, _runtime: runtime })
}

impl Behind {
    /// Waits until nothing is missing.
    ///
    /// # Errors
    /// When that takes too long.
    pub(super) fn complete(&self, lab: &Lab) -> Result<(), Error> {
        let mut complete = self.hydration.complete();
        let done =
            async { tokio::time::timeout(COMPLETE_WITHIN, complete.wait_for(|done| *done)).await.is_ok() };
        if lab.wait(done) { Ok(()) } else { Err(Error::unexpected("a hole was not filled")) }
    }

    /// After PostgreSQL has ended: an ordinary directory again, if all its pages are there.
    ///
    /// # Errors
    /// When a file cannot be moved back.
    pub(super) fn end(self, lab: &Lab) -> Result<(), Error> {
        lab.wait(self.hydration.stop());
        if !self.hydration.is_complete() {
            fs::rename(self.data.join(HIDDEN_CONTROL), self.data.join(CONTROL))
                .map_err(Error::system("put a control file back"))?;
        }
        // Completion removes both.
        let _gone = fs::remove_dir_all(&self.state);
        let _gone = fs::remove_file(self.data.join(NOBODYS));
        Ok(())
    }
}

/// The directories with files of relations.
fn relations_below(data: &Path) -> Result<Vec<String>, Error> {
    let listed = fs::read_dir(data.join("base")).map_err(Error::system("list databases"))?;
    let databases = listed.filter_map(|entry| Some(format!("base/{}", entry.ok()?.file_name().to_str()?)));
    Ok(std::iter::once("global".to_owned()).chain(databases).collect())
}

fn whole_files(data: &Path, dir: &str) -> Result<Vec<LazyFile>, Error> {
    let listed = fs::read_dir(data.join(dir)).map_err(Error::system("list relations"))?;
    let file = |entry: fs::DirEntry| {
        let (name, size) = (entry.file_name().into_string().ok()?, entry.metadata().ok()?.len());
        let relation = name.starts_with(|c: char| c.is_ascii_digit()) && size > 0;
        let present = Bits::all(chunk::count(size));
        relation.then(|| LazyFile { path: format!("{dir}/{name}"), size, present })
    };
    Ok(listed.filter_map(|entry| file(entry.ok()?)).collect())
}

//! Snapshots: manifest, boot pack, chunks. Each object is read once in a check.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use dormouse_base::with_causes;

use super::Sizes;
use crate::branch::record::SnapshotRecord;
use crate::chunk::{self, Hash};
use crate::gc::reach;
use crate::key::Key;
use crate::manifest::{FileEntry, Manifest};
use crate::object::{Listed, Store};
use crate::pack::boot::BootPack;
use crate::pack::reader::Wanted;
use crate::pack::{DataError, PackReader};

/// Chunks that are read at once of a damaged pack, at most 16 MiB.
const CHUNKS_AT_ONCE: usize = 64;

/// The most findings about the files of one snapshot.
const MAX_FILES: usize = 20;

/// Entries of a proven pack by place: stored length, plain length, hash.
type Entries = HashMap<u32, (u32, u32, Hash)>;

/// Checks snapshots.
pub(super) struct Data {
    reader: PackReader,
    quick: bool,
    templates: Sizes,
    sizes: Sizes,
    done: HashMap<Key, Option<u16>>,
    /// Packs as far as they were read; `None` = not whole, each chunk has to be asked for.
    packs: HashMap<Arc<Key>, Option<Entries>>,
    /// Packs that are not whole, and have not been told yet.
    damaged: Vec<(Key, String)>,
    /// Packs that snapshots of the project refer to.
    pub(super) used: BTreeSet<Key>,
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

fn sizes(listed: &[Listed]) -> Sizes {
    listed.iter().map(|listed| (listed.key.clone(), listed.size)).collect()
}

impl Data {
    pub(super) fn new(store: &Store, quick: bool, templates: &[Listed]) -> Self {
        Self {
            reader: PackReader::new(store.clone()),
            quick,
            templates: sizes(templates),
            sizes: Sizes::new(),
            done: HashMap::new(),
            packs: HashMap::new(),
            damaged: Vec::new(),
            used: BTreeSet::new(),
            objects: 0,
            bytes: 0,
        }
    }

    /// The next project.
    pub(super) fn begin(&mut self, objects: &[Listed]) {
        self.sizes = sizes(objects);
        self.used.clear();
        // Packs of templates are shared by projects, those of a project are not.
        self.packs.retain(|key, _| self.templates.contains_key(&**key));
        self.done.clear();
    }

    /// Checks a snapshot; tells the version of PostgreSQL when the manifest can be read.
    pub(super) async fn snapshot(
        &mut self,
        snapshot: &SnapshotRecord,
        mut found: impl FnMut(String, String),
    ) -> Option<u16> {
        if let Some(done) = self.done.get(&snapshot.manifest) {
            return *done;
        }
        let manifest = self.manifest(snapshot, &mut found).await;
        let major = manifest.as_ref().map(|manifest| manifest.header.pg_major);
        if let Some(manifest) = manifest {
            if self.quick {
                self.quick_refs(&manifest, &snapshot.manifest, &mut found).await;
            } else {
                self.boot(snapshot, &manifest, &mut found).await;
                self.refs(&manifest, &mut found).await;
            }
        }
        if self.quick {
            self.objects += 1;
            if self.size(&snapshot.boot).is_none_or(|size| size == 0) {
                found(snapshot.boot.to_string(), "the boot pack is missing".to_owned());
            }
        }
        self.done.insert(snapshot.manifest.clone(), major);
        major
    }

    fn size(&self, key: &Key) -> Option<u64> {
        self.sizes.get(key).or_else(|| self.templates.get(key)).copied()
    }

    async fn manifest(
        &mut self,
        snapshot: &SnapshotRecord,
        found: &mut impl FnMut(String, String),
    ) -> Option<Manifest> {
        self.objects += 1;
        self.bytes += self.size(&snapshot.manifest).unwrap_or_default();
        match reach::manifest(&self.reader, &snapshot.manifest).await {
            Ok(manifest) => {
                let header = &manifest.header;
                if (header.kind, header.lsn, header.redo) != (snapshot.kind, snapshot.lsn, snapshot.redo) {
                    let problem = "the manifest is of another snapshot than the register says";
                    found(snapshot.manifest.to_string(), problem.to_owned());
                }
                Some(manifest)
            }
            Err(error) => {
                found(snapshot.manifest.to_string(), with_causes(&error));
                None
            }
        }
    }

    async fn boot(
        &mut self,
        snapshot: &SnapshotRecord,
        manifest: &Manifest,
        found: &mut impl FnMut(String, String),
    ) {
        self.objects += 1;
        let problem = match self.reader.store().get(&snapshot.boot).await {
            Ok(bytes) => {
                self.bytes += bytes.len() as u64;
                match BootPack::decode(&snapshot.boot, &bytes) {
                    Ok(boot) if *boot.manifest == *manifest => return,
                    Ok(_) => "the boot pack has another manifest than the snapshot".to_owned(),
                    Err(error) => with_causes(&error),
                }
            }
            Err(error) => with_causes(&error),
        };
        found(snapshot.boot.to_string(), problem);
    }

    /// Whether everything that it refers to is there and long enough.
    async fn quick_refs(&mut self, manifest: &Manifest, key: &Key, found: &mut impl FnMut(String, String)) {
        let references = match manifest.references(&self.reader).await {
            Ok(references) => references,
            Err(error) => return found(error.object().to_string(), with_causes(&error)),
        };
        let mut ends: HashMap<&Arc<Key>, u64> = HashMap::new();
        for extent in references.extents() {
            let end = u64::from(extent.offset) + u64::from(extent.len);
            let longest = ends.entry(&extent.pack).or_default();
            *longest = end.max(*longest);
        }
        for (pack, end) in ends {
            self.objects += u64::from(self.used.insert((**pack).clone()));
            match self.size(pack) {
                None => found(pack.to_string(), format!("the pack is missing; {key} needs it")),
                Some(size) if size < end => {
                    found(pack.to_string(), format!("the pack has {size} bytes; {key} needs {end}"));
                }
                Some(_) => {}
            }
        }
    }

    /// Whether every chunk of every file is what the manifest says.
    async fn refs(&mut self, manifest: &Manifest, found: &mut impl FnMut(String, String)) {
        let mut told = 0;
        for file in &manifest.files {
            let checked = self.file(file).await;
            for (pack, problem) in self.damaged.drain(..) {
                found(pack.to_string(), problem);
            }
            if let Err(error) = checked {
                found(error.object().to_string(), format!("{}: {}", file.path, with_causes(&error)));
                told += 1;
                if told == MAX_FILES {
                    return;
                }
            }
        }
    }

    async fn file(&mut self, file: &FileEntry) -> Result<(), DataError> {
        if let crate::manifest::Content::Maps(maps) = &file.content {
            self.used.extend(maps.iter().map(|at| (*at.pack).clone()));
        }
        let refs = file.resolve(&self.reader).await?;
        let mut doubtful = Vec::new();
        for (at, number) in refs.into_iter().zip(0..) {
            if at.is_zeros() {
                continue;
            }
            let plain = chunk::plain_len(file.size, number);
            match self.entries(&at.pack).await {
                Some(entries) => match entries.get(&at.offset) {
                    Some(entry) if *entry == (at.len, plain, at.hash) => {}
                    _ => {
                        let problem = "the pack has another chunk there than the manifest says";
                        return Err(DataError::damaged(&at.pack, u64::from(at.offset), problem));
                    }
                },
                None => doubtful.push(Wanted { at, plain }),
            }
        }
        for group in doubtful.chunks(CHUNKS_AT_ONCE) {
            self.reader.plain(group).await?;
        }
        Ok(())
    }

    /// The entries of a pack, all proven; nothing when a part of it is damaged.
    async fn entries(&mut self, pack: &Arc<Key>) -> Option<&Entries> {
        if !self.packs.contains_key(pack) {
            self.used.insert((**pack).clone());
            self.objects += 1;
            self.bytes += self.size(pack).unwrap_or_default();
            let entries = match self.reader.prove(pack).await {
                Ok(entries) => {
                    Some(entries.into_iter().map(|e| (e.offset, (e.len, e.plain, e.hash))).collect())
                }
                Err(error) => {
                    self.damaged.push(((**pack).clone(), with_causes(&error)));
                    None
                }
            };
            self.packs.insert(Arc::clone(pack), entries);
        }
        self.used.insert((**pack).clone());
        self.packs.get(pack).and_then(Option::as_ref)
    }
}

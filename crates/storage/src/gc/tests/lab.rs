//! A store in memory with real objects: packs, manifests, boot packs, pieces of valid WAL, registers.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dormouse_base::lsn::WAL_SEGMENT;
use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Timeline, Timestamp, clock};
use object_store::memory::InMemory;

use super::super::*;
use crate::branch::record::{BranchRecord, Origin, ProjectRecord, SnapshotKind, SnapshotRecord, Span};
use crate::branch::register::{BranchRegister, ProjectRegister};
use crate::chunk::{self, CHUNK, ChunkRef, Compressor, Hash};
use crate::key::{self, FORMAT_VERSION};
use crate::manifest::{Content, FileEntry, Header, INLINE_CHUNKS, Manifest, Owner, segment};
use crate::pack::PackReader;
use crate::pack::boot;
use crate::pack::index::Kind;
use crate::pack::reader::Wanted;
use crate::pack::writer::PackWriter;
use crate::wal::Major;
use crate::wal::piece::{self, PieceHeader};

/// Bytes of one record of WAL here.
const RECORD: u64 = 40;

/// 2000-01-01 in microseconds of the Unix clock.
const EPOCH_2000: i64 = 946_684_800_000_000;

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Where the `n`-th record begins: all in one page, behind its header.
pub(crate) fn at(n: u64) -> Lsn {
    Lsn(WAL_SEGMENT + 40 + n * RECORD)
}

pub(crate) fn id(name: &str) -> BranchId {
    format!("br-{name}").parse().unwrap()
}

pub(crate) fn project() -> ProjectId {
    "quiet-meadow-1".parse().unwrap()
}

pub(crate) struct Lab {
    pub(crate) store: Store,
    pub(crate) leases: Leases,
}

fn major() -> Major {
    Major::new(18).unwrap()
}

/// A commit record, as PostgreSQL writes it.
fn record(n: u64, time: u64) -> Vec<u8> {
    let mut body = vec![255, 8];
    body.extend_from_slice(&time.to_le_bytes());
    let mut bytes = vec![0; 24];
    bytes.extend_from_slice(&body);
    let len = u32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    bytes[8..16].copy_from_slice(&(at(n).0 - RECORD).to_le_bytes());
    bytes[17] = 1;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&body), &bytes[..20]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    bytes.resize(RECORD as usize, 0);
    bytes
}

/// Contents that differ for each seed, some chunks long.
pub(crate) fn content(seed: u8, chunks: usize) -> Vec<u8> {
    (0..chunks)
        .flat_map(|n| vec![seed.wrapping_add(u8::try_from(n % 200).unwrap()); CHUNK as usize])
        .collect()
}

/// Contents that do not compress.
pub(crate) fn noise(seed: u64, chunks: usize) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..chunks * CHUNK as usize / 8).flat_map(|_| next()).collect()
}

/// Chunks of each file that are in the boot pack.
const BOOT_CHUNKS: usize = 1;

impl Lab {
    pub(crate) fn new() -> Self {
        let store = Store::with_limits(Arc::new(InMemory::new()), crate::object::Limits::default());
        Self { store, leases: Leases::default() }
    }

    pub(crate) fn register(&self, branch: &BranchId) -> BranchRegister {
        BranchRegister::of(&self.store, &project(), branch)
    }

    pub(crate) async fn record(&self, branch: &BranchId) -> BranchRecord {
        self.register(branch).version().await.unwrap().value
    }

    pub(crate) async fn update(&self, branch: &BranchId, change: impl Fn(&mut BranchRecord)) {
        let register = self.register(branch);
        let update = register.update(|mut record| {
            change(&mut record);
            Ok::<_, GcError>(record)
        });
        update.await.unwrap();
    }

    pub(crate) async fn create(&self, name: &str, origin: Origin, start: Lsn) -> BranchId {
        let branch = id(name);
        let record = BranchRecord {
            format: FORMAT_VERSION,
            project: project(),
            branch: branch.clone(),
            created_at: clock::now(),
            origin,
            epoch: Epoch(0),
            spans: Vec::new(),
            snapshots: Vec::new(),
            retired: Vec::new(),
            history_start: start,
            history_start_at: Timestamp::UNIX_EPOCH,
            meta: serde_json::Value::Null,
        };
        self.register(&branch).create_first(record).await.unwrap();
        branch
    }

    /// A project with a branch that has an empty beginning at record 0.
    pub(crate) async fn root(&self) -> BranchId {
        let marker = r#"{"format":1,"product":"dormouse","version":"0","created_at":"2026-11-25T21:33:18Z","store":"x"}"#;
        self.store.put(&key::format(), marker.into()).await.unwrap();
        let (format, pg_version) = (FORMAT_VERSION, 18);
        let meta = serde_json::Value::Null;
        let record = ProjectRecord { format, project: project(), created_at: clock::now(), pg_version, meta };
        ProjectRegister::of(&self.store, &project()).create_first(record).await.unwrap();
        let main = self.create("main", Origin::Import, at(0)).await;
        self.snapshot(&main, 0, 0, &Files::new()).await;
        self.open(&main, 0).await;
        main
    }

    pub(crate) async fn child(&self, name: &str, parent: &BranchId, n: u64) -> BranchId {
        self.create(
            name,
            Origin::Branch { parent: parent.clone(), lsn: at(n), at: None, writer: None },
            at(n),
        )
        .await
    }

    /// A new writer begins at record `n`.
    pub(crate) async fn open(&self, branch: &BranchId, n: u64) {
        self.update(branch, |record| {
            record.epoch = record.epoch.next();
            if let Some(last) = record.spans.last_mut() {
                last.to = Some(at(n));
            }
            record.spans.push(Span {
                epoch: record.epoch,
                timeline: Timeline(1),
                from: at(n),
                to: None,
                mark: None,
            });
        })
        .await;
    }

    /// Files records `from`..`to`; their commits are at `time`.
    pub(crate) async fn file(&self, branch: &BranchId, from: u64, to: u64, time: Timestamp) -> Key {
        let last_commit = u64::try_from(time.as_microsecond() - EPOCH_2000).unwrap();
        let plain: Vec<u8> = (from..to).flat_map(|n| record(n, last_commit)).collect();
        let header = PieceHeader {
            major: major(),
            timeline: Timeline(1),
            start: at(from),
            end: at(to),
            first_record: Some(at(from)),
            last_end: Some(at(to)),
            commits: Some((last_commit, last_commit)),
            last_commit,
        };
        let epoch = self.record(branch).await.epoch;
        let key = header.name().key(&key::wal(&project(), branch, epoch));
        self.store.put(&key, piece::encode(&header, &plain)).await.unwrap();
        key
    }

    /// Takes and publishes a snapshot; `redo` and `lsn` are numbers of records.
    pub(crate) async fn snapshot(
        &self,
        branch: &BranchId,
        redo: u64,
        lsn: u64,
        files: &Files,
    ) -> SnapshotRecord {
        let taken = self.take(branch, redo, lsn, files).await;
        self.update(branch, |record| record.snapshots.push(taken.clone())).await;
        taken
    }

    /// Takes a snapshot without publishing it. Chunks that the newest one has are not written again.
    pub(crate) async fn take(&self, branch: &BranchId, redo: u64, lsn: u64, files: &Files) -> SnapshotRecord {
        let record = self.record(branch).await;
        let mut known = match record.snapshots.last() {
            Some(base) => self.chunks_of(&base.manifest).await,
            None => BTreeMap::new(),
        };
        let mut writer = PackWriter::new(self.store.clone(), key::packs(&project()), record.epoch);
        let mut compressor = Compressor::new(1).unwrap();
        let (mut entries, mut boot_chunks) = (Vec::new(), Vec::new());
        for (path, bytes) in files {
            let mut refs = Vec::new();
            for plain in bytes.chunks(CHUNK as usize) {
                let hash = Hash::of(plain);
                let stored = compressor.compress(plain).unwrap();
                if let Entry::Vacant(new) = known.entry(hash) {
                    let len = u32::try_from(plain.len()).unwrap();
                    new.insert(writer.add(Kind::Chunk, len, hash, &stored).await.unwrap());
                }
                if refs.len() < BOOT_CHUNKS {
                    boot_chunks.push((hash, Bytes::from(stored)));
                }
                refs.push(known[&hash].clone());
            }
            let content = if refs.len() > INLINE_CHUNKS as usize {
                let map = segment::encode(&refs);
                let at = writer.add(Kind::Map, map.plain, map.hash, &map.stored).await.unwrap();
                boot_chunks.push((map.hash, Bytes::from(map.stored)));
                Content::Maps(vec![at])
            } else {
                Content::Chunks(refs)
            };
            entries.push(FileEntry { path: path.clone(), mode: 0o600, size: bytes.len() as u64, content });
        }
        writer.finish().await.unwrap();
        boot_chunks.dedup_by_key(|(hash, _)| *hash);
        let kind = if redo == lsn { SnapshotKind::Clean } else { SnapshotKind::Online };
        let header = self.header(&record, kind, redo, lsn);
        let (taken_at, logical_bytes) = (header.taken_at, files.values().map(|f| f.len() as u64).sum());
        let manifest = Manifest { header, dirs: Vec::new(), files: entries, wal: Vec::new() };
        let bytes = manifest.encode();
        let manifest = key::manifest(&project(), branch, at(lsn), record.epoch);
        let boot = key::boot(&project(), branch, at(lsn), record.epoch);
        self.store.put(&boot, boot::encode(&bytes, &boot_chunks).into()).await.unwrap();
        self.store.put(&manifest, bytes.into()).await.unwrap();
        let (lsn, redo, timeline, epoch) = (at(lsn), at(redo), Timeline(1), record.epoch);
        SnapshotRecord {
            kind,
            lsn,
            redo,
            timeline,
            epoch,
            manifest,
            boot,
            taken_at,
            logical_bytes,
            added_bytes: 0,
        }
    }

    fn header(&self, record: &BranchRecord, kind: SnapshotKind, redo: u64, lsn: u64) -> Header {
        Header {
            owner: Owner::Branch { project: project(), branch: record.branch.clone() },
            pg_major: 18,
            system_identifier: 7,
            checksums: true,
            wal_segment: u32::try_from(WAL_SEGMENT).unwrap(),
            kind,
            lsn: at(lsn),
            redo: at(redo),
            checkpoint: at(redo),
            timeline: Timeline(1),
            epoch: record.epoch,
            taken_at: clock::now(),
            base: None,
        }
    }

    pub(crate) async fn manifest(&self, key: &Key) -> Manifest {
        Manifest::decode(&self.store.get(key).await.unwrap()).unwrap()
    }

    async fn chunks_of(&self, manifest: &Key) -> BTreeMap<Hash, ChunkRef> {
        let reader = PackReader::new(self.store.clone());
        let mut all = BTreeMap::new();
        for file in &self.manifest(manifest).await.files {
            all.extend(file.resolve(&reader).await.unwrap().into_iter().map(|at| (at.hash, at)));
        }
        all
    }

    /// All files of a snapshot, read back and proven.
    pub(crate) async fn read(&self, manifest: &Key) -> Files {
        let reader = PackReader::new(self.store.clone());
        let mut files = Files::new();
        for file in &self.manifest(manifest).await.files {
            let refs = file.resolve(&reader).await.unwrap();
            let wanted: Vec<Wanted> = refs
                .into_iter()
                .zip(0..)
                .map(|(at, n)| Wanted { at, plain: chunk::plain_len(file.size, n) })
                .collect();
            files.insert(file.path.clone(), reader.plain(&wanted).await.unwrap().concat());
        }
        files
    }

    /// A collector with a window.
    pub(crate) fn collector(&self, window: Duration) -> Collector {
        let options = Options::default();
        Collector::new(self.store.clone(), self.leases.clone(), Arc::new(Always(Some(window))), options)
    }

    /// The keys of all objects whose key contains `part`.
    pub(crate) async fn keys(&self, part: &str) -> Vec<Key> {
        let all = self.store.list(&key::projects(), None).await.unwrap();
        all.into_iter().map(|listed| listed.key).filter(|key| key.as_str().contains(part)).collect()
    }

    /// main: snapshots at 0, 10, 20; WAL up to 30; child of record 15, with WAL up to 20. Everything
    /// happens now.
    pub(crate) async fn family(&self) -> (BranchId, BranchId) {
        let main = self.root().await;
        let now = clock::now();
        for (n, seed) in [(0, 1), (1, 2)] {
            self.file(&main, n * 10, n * 10 + 10, now).await;
            let files = Files::from([
                ("base/1".to_owned(), content(1, 3)),
                ("base/2".to_owned(), content(seed * 50, 20)),
            ]);
            self.snapshot(&main, n * 10 + 8, n * 10 + 10, &files).await;
        }
        self.file(&main, 20, 30, now).await;
        let child = self.child("child", &main, 15).await;
        self.open(&child, 15).await;
        self.file(&child, 15, 20, now).await;
        (main, child)
    }
}

/// So much later.
pub(crate) fn later(hours: u64) -> Timestamp {
    clock::now() + Duration::from_secs(hours * 3600)
}

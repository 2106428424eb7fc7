//! The end of a snapshot: packs complete, then the boot pack, then the manifest; the index is written
//! after what it lists.

use std::sync::Arc;

use bytes::Bytes;
use dormouse_base::clock::Mono;
use dormouse_runtime::failpoint;

use super::error::SnapshotError;
use super::take::Copied;
use super::{Places, Request, Stats, Taken, hot, state};
use crate::branch::record::SnapshotRecord;
use crate::manifest::Manifest;
use crate::object::Created;
use crate::pack::boot::{self, BootPack};

impl Copied {
    pub(super) async fn publish(mut self, request: Request, started: Mono) -> Result<Taken, SnapshotError> {
        self.manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
        let hit = |name| async move { failpoint::hit(name).await.map_err(SnapshotError::Interrupted) };
        let mut stats = self.collector.stats;
        let written = tokio::select! {
            written = self.collector.writer.finish() => written.map_err(SnapshotError::Pack)?,
            () = request.cancel.cancelled() => return Err(SnapshotError::Cancelled),
        };
        (stats.packs, stats.pack_bytes) = (written.packs, written.bytes);
        let recorded = hot::recorded(&self.manifest, &request.hot, &self.reader).await?;
        let chosen = hot::choose(&self.manifest, recorded);
        let base_boot = request.base.as_ref().and_then(|base| base.boot.as_ref());
        let chunks = hot::gather(&chosen, &self.collector.fresh, base_boot, &self.reader).await?;
        let bytes = Bytes::from(self.manifest.encode());
        let places = Places::of(&request.owner, self.manifest.header.lsn, request.epoch);
        if request.cancel.is_cancelled() {
            return Err(SnapshotError::Cancelled);
        }
        hit("snapshot.boot.before_put").await?;
        let (manifest, bytes, ours) =
            boot_pack(&request, &places, Arc::new(self.manifest), bytes, &chunks, &mut stats).await?;
        hit("snapshot.manifest.before_put").await?;
        stats.manifest_bytes = bytes.len() as u64;
        request.store.put(&places.manifest, bytes).await.map_err(SnapshotError::Store)?;
        hit("snapshot.manifest.after_put").await?;
        if let Some(path) = request.state.filter(|_| ours) {
            let (key, files, at) = (places.manifest.clone(), self.files, self.scanned_at);
            let saved = dormouse_runtime::task::blocking(move || {
                let files = files.iter().map(|f| (f.path.as_str(), state::Remembered::scanned(f, at)));
                state::State::save(&path, &key, files)
            });
            if let Err(error) = saved.await {
                tracing::warn!(%error, "the state of the directory is not remembered: the next snapshot reads all of it");
            }
        }
        stats.time = started.elapsed();
        Ok(Taken { record: record(&manifest, places, &stats), manifest, stats })
    }
}

/// Makes the boot pack, or takes the manifest of the one that an earlier try of this writer has made.
async fn boot_pack(
    request: &Request,
    places: &Places,
    manifest: Arc<Manifest>,
    bytes: Bytes,
    chunks: &[(crate::chunk::Hash, Bytes)],
    stats: &mut Stats,
) -> Result<(Arc<Manifest>, Bytes, bool), SnapshotError> {
    let pack = Bytes::from(boot::encode(&bytes, chunks));
    stats.boot_bytes = pack.len() as u64;
    match request.store.create(&places.boot, pack).await.map_err(SnapshotError::Store)? {
        Created::New => Ok((manifest, bytes, true)),
        Created::Exists => {
            let there = request.store.get(&places.boot).await.map_err(SnapshotError::Store)?;
            // A retry of the request that succeeded unheard, or an earlier try of ours.
            let there = BootPack::decode(&places.boot, &there).map_err(SnapshotError::Base)?;
            let (theirs, ours) = (&there.manifest.header, &manifest.header);
            let same = theirs.system_identifier == ours.system_identifier
                && theirs.owner == ours.owner
                && theirs.kind == ours.kind
                && (theirs.lsn, theirs.redo, theirs.epoch) == (ours.lsn, ours.redo, ours.epoch);
            if same {
                let ours = there.manifest_bytes == bytes;
                Ok((there.manifest, there.manifest_bytes, ours))
            } else {
                Err(SnapshotError::Exists(places.boot.clone()))
            }
        }
    }
}

fn record(manifest: &Manifest, places: Places, stats: &Stats) -> SnapshotRecord {
    let header = &manifest.header;
    SnapshotRecord {
        kind: header.kind,
        lsn: header.lsn,
        redo: header.redo,
        timeline: header.timeline,
        epoch: header.epoch,
        manifest: places.manifest,
        boot: places.boot,
        taken_at: header.taken_at,
        logical_bytes: manifest.logical_bytes(),
        added_bytes: stats.written_bytes(),
    }
}

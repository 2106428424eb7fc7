//! What the snapshots that stay refer to, added up. One manifest is in memory at a time.

use std::collections::BTreeSet;

use super::plan::{Live, Plan};
use super::unreadable;
use crate::key::Key;
use crate::manifest::Manifest;
use crate::object::StoreError;
use crate::pack::boot::BootPack;
use crate::pack::{DataError, PackReader};

/// Reads a manifest.
pub(crate) async fn manifest(reader: &PackReader, key: &Key) -> Result<Manifest, DataError> {
    let bytes = reader.store().get(key).await.map_err(DataError::Store)?;
    Manifest::decode(&bytes).map_err(|error| DataError::damaged(key, 0, error))
}

async fn add(reader: &PackReader, manifest: &Manifest, live: &mut Live) -> Result<(), DataError> {
    for extent in manifest.references(reader).await?.extents() {
        live.add(&extent.pack, extent.offset, extent.len);
    }
    Ok(())
}

fn is_gone(error: &DataError) -> bool {
    matches!(error, DataError::Store(StoreError::NotFound(_)))
}

/// All that must stay according to a plan; the text says why it cannot be known.
pub(crate) async fn live(reader: &PackReader, plan: &Plan, listed: &BTreeSet<Key>) -> Result<Live, String> {
    let mut live = Live::default();
    for key in &plan.manifests {
        let added = match manifest(reader, key).await {
            // One that nobody lists may have been deleted by another collector.
            Err(error) if is_gone(&error) && !listed.contains(key) => Ok(()),
            Err(error) => Err(error),
            Ok(manifest) => add(reader, &manifest, &mut live).await,
        };
        added.map_err(|error| unreadable(key, &error))?;
    }
    for key in &plan.unlisted {
        let bytes = match reader.store().get(key).await {
            Ok(bytes) => bytes,
            Err(StoreError::NotFound(_)) => continue,
            Err(error) => return Err(unreadable(key, &error)),
        };
        let boot = BootPack::decode(key, &bytes).map_err(|error| unreadable(key, &error))?;
        // Its packs may be half written: then no second try can use it.
        match add(reader, &boot.manifest, &mut live).await {
            Err(error) if !is_gone(&error) => return Err(unreadable(key, &error)),
            _ => {}
        }
    }
    Ok(live)
}

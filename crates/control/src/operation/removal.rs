//! What deletions of many endpoints have in common.

use std::sync::Arc;

use dormouse_compute::event::SleepReason;
use dormouse_runtime::task;

use super::StepFailure;
use crate::computes::Computes;
use crate::directory::Directories;
use crate::model::record::Endpoint;
use crate::vault::Vault;

/// Stops computes for good.
pub(super) async fn stop(computes: &Arc<dyn Computes>, endpoints: &[Endpoint]) -> Result<(), StepFailure> {
    for endpoint in endpoints {
        computes.suspend(&endpoint.id, SleepReason::Request).await?;
        computes.forget(&endpoint.id).await;
    }
    Ok(())
}

/// Removes their files, also what was set aside of them; nothing in them is worth storing.
pub(super) async fn remove_files(
    vault: &Arc<dyn Vault>,
    directories: &Directories,
    endpoints: Vec<Endpoint>,
) -> Result<(), StepFailure> {
    for endpoint in &endpoints {
        vault.abandon(&endpoint.id).await?;
    }
    let directories = directories.clone();
    let remove = move |endpoint: &Endpoint| {
        directories.remove(&endpoint.id)?;
        directories.remove_set_aside(&endpoint.id)
    };
    Ok(task::blocking(move || endpoints.iter().try_for_each(remove)).await?)
}

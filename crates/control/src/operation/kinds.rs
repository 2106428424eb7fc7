//! Every kind of operation, with what it works on. A new kind is a file beside this one and an entry here.

use std::sync::Arc;

use super::Work;
use super::apply_config::ApplyConfig;
use super::create_branch::CreateBranch;
use super::create_endpoint::CreateEndpoint;
use super::create_project::CreateProject;
use super::delete_branch::DeleteBranch;
use super::delete_endpoint::DeleteEndpoint;
use super::delete_project::DeleteProject;
use super::evict_compute::EvictCompute;
use super::import_directory::ImportDirectory;
use super::restart_compute::RestartCompute;
use super::restore_branch::RestoreBranch;
use super::set_aside_compute::SetAsideCompute;
use super::start_compute::StartCompute;
use super::suspend_compute::SuspendCompute;
use crate::computes::Computes;
use crate::control::Foundation;
use crate::vault::Vault;

/// Every kind of operation, with what it works on.
pub(crate) fn all(
    foundation: &Foundation,
    computes: &Arc<dyn Computes>,
    vault: &Arc<dyn Vault>,
) -> Vec<Arc<dyn Work>> {
    let db = || foundation.db.clone();
    let keeper = || foundation.keeper.clone();
    let directories = || foundation.directories.clone();
    let computes = || Arc::clone(computes);
    let vault = || Arc::clone(vault);
    vec![
        Arc::new(CreateProject { db: db(), directories: directories(), vault: vault(), keeper: keeper() }),
        Arc::new(ImportDirectory { db: db(), directories: directories(), keeper: keeper(), vault: vault() }),
        Arc::new(DeleteProject {
            db: db(),
            directories: directories(),
            computes: computes(),
            vault: vault(),
            keeper: keeper(),
        }),
        Arc::new(CreateBranch { db: db(), vault: vault(), keeper: keeper() }),
        Arc::new(DeleteBranch {
            db: db(),
            directories: directories(),
            computes: computes(),
            vault: vault(),
            keeper: keeper(),
        }),
        Arc::new(RestoreBranch {
            db: db(),
            secrets: Arc::clone(&foundation.secrets),
            directories: directories(),
            computes: computes(),
            vault: vault(),
            keeper: keeper(),
        }),
        Arc::new(CreateEndpoint { db: db(), keeper: keeper() }),
        Arc::new(DeleteEndpoint {
            db: db(),
            directories: directories(),
            computes: computes(),
            vault: vault(),
            keeper: keeper(),
        }),
        Arc::new(EvictCompute { computes: computes(), vault: vault() }),
        Arc::new(SetAsideCompute { computes: computes(), vault: vault() }),
        Arc::new(StartCompute { computes: computes() }),
        Arc::new(SuspendCompute { computes: computes() }),
        Arc::new(RestartCompute { computes: computes() }),
        Arc::new(ApplyConfig { db: db(), computes: computes(), keeper: keeper() }),
    ]
}

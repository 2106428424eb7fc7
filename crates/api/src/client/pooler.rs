//! Calls about the pooler.

use super::Call;
use crate::pooler::{Pooler, PoolerAnswer, PoolerCommand, UpdatePooler};
use crate::routes::{self, Method};

/// Its settings.
pub fn get() -> Call<Pooler> {
    Call::new(Method::Get, routes::POOLER, &[])
}

/// Changes settings, all or none.
pub fn update(request: &UpdatePooler) -> Call<Pooler> {
    Call::new(Method::Patch, routes::POOLER, &[]).with_body(request)
}

/// Runs a command of the console. PAUSE and WAIT_CLOSE may take long.
pub fn command(request: &PoolerCommand) -> Call<PoolerAnswer> {
    Call::new(Method::Post, routes::POOLER_COMMAND, &[]).with_body(request)
}

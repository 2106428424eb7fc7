//! Names in commands, and the pools that they mean.

use std::sync::Arc;

use dormouse_pooler::admin::AdminError;

use crate::pooled::{Pool, Pools, Target};

/// The databases that are the console.
pub(super) const CONSOLE: [&str; 2] = ["dormouse", "pgbouncer"];

/// The pools that a command means; at least one, when it names something.
pub(super) fn pools(
    pools: &Pools,
    verb: &'static str,
    name: Option<String>,
) -> Result<(Target, Vec<Arc<Pool>>), AdminError> {
    let Some(name) = name else { return Ok((Target::All, pools.list())) };
    let target = Target::Named(name.clone());
    let meant: Vec<_> = pools.list().into_iter().filter(|pool| target.means(&pool.key)).collect();
    match meant.is_empty() {
        false => Ok((target, meant)),
        true if CONSOLE.contains(&name.as_str()) => Err(AdminError::AdminDatabase { verb, name }),
        true => Err(AdminError::NoSuchDatabase(name)),
    }
}

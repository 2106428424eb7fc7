//! Names in commands, and the pools that they mean.

use std::sync::Arc;

use dormouse_pooler::admin::{AdminError, Width};

use crate::pooled::{Pool, Target};
use crate::session::Shared;
use crate::upstream::CONSOLE_NAME;

/// The databases that are the console: ours, whose tables have our columns, too, and PgBouncer's.
pub(super) const CONSOLE: [&str; 2] = ["dormouse", CONSOLE_NAME];

/// What the tables of one of them have.
pub(super) fn width(database: &str) -> Width {
    if database == CONSOLE_NAME { Width::Theirs } else { Width::Ours }
}

/// Commands that mean nothing where no order holds.
const UNDOING: [&str; 2] = ["resume", "enable"];

/// The pools that a command means; at least one, when it names something.
pub(super) fn pools(
    shared: &Shared,
    verb: &'static str,
    name: Option<String>,
) -> Result<(Target, Vec<Arc<Pool>>), AdminError> {
    let pools = &shared.pools;
    let Some(name) = name else { return Ok((Target::All, pools.list())) };
    let target = Target::Named(name.clone());
    let meant: Vec<_> = pools.list().into_iter().filter(|pool| target.means(&pool.key)).collect();
    match meant.is_empty() {
        false => Ok((target, meant)),
        // A file's databases are known before anybody uses them.
        true if shared.upstream.as_ref().is_some_and(|it| it.knows(&name)) => Ok((target, meant)),
        true if CONSOLE.contains(&name.as_str()) => Err(AdminError::AdminDatabase { verb, name }),
        // An order may come before the first client, right after a start; what undoes one may not.
        true if !UNDOING.contains(&verb) && shared.upstream.as_ref().is_some_and(|it| it.register(&name)) => {
            Ok((target, meant))
        }
        true => Err(AdminError::NoSuchDatabase(name)),
    }
}

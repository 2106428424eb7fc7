//! Asking a backend for its settings, when a text did not tell.
//!
//! ```text
//!  role                                      not listed: now, and what RESET would make of it
//!  pg_settings where source = 'session'      everything that was set since the session began
//!  session_authorization                     not in that view: against whom PostgreSQL's list of activity says that
//!                                            the connection was made as
//!  custom names (with a dot)                 nor are these: each that is known is asked for
//! ```
//!
//! Names have their schema, operators too: the path on which PostgreSQL looks for the others is the client's.
//!
//! Some settings are shown only to who may read all (`dynamic_library_path`). Whoever logged in could set them and then
//! play a role that may not see them. So no role is played while PostgreSQL is asked, up to the end of the question.
//!
//! To be asked outside a transaction: inside one, what is local would look like the session's.

use std::collections::BTreeSet;

use super::map::{Settings, small};
use super::replay::literal;

/// What comes in front of [`capture_sql`], in the same message: the role that is played, and the one that the backend
/// began with. From then on none is, up to the end of the message.
pub const CAPTURE_ROLE: &str = "SELECT 'r', pg_catalog.current_setting('role'), \
     pg_catalog.set_config('role', NULL, true); SET LOCAL ROLE NONE; ";

/// Settings that PostgreSQL shows only to who may read all, and that others can be allowed to set. The third is Debian's.
const HIDDEN: [&str; 4] =
    ["dynamic_library_path", "extension_control_path", "extension_destdir", "session_preload_libraries"];

/// Whether a setting may be missing in the answer although it is set.
#[must_use]
pub fn may_be_hidden(name: &str) -> bool {
    HIDDEN.iter().any(|hidden| name.eq_ignore_ascii_case(hidden))
}

/// One query that returns a row (name, value) for each setting of the session that differs from its start, the role
/// apart. The tracker takes them by [`super::Tracker::replace`]. `tracked` is what is believed so far, `doubtful` the
/// setting that raised the question.
#[must_use]
pub fn capture_sql(tracked: &Settings, doubtful: Option<&str>) -> String {
    let mut sql = String::from(
        "SELECT name, setting FROM pg_catalog.pg_settings WHERE source OPERATOR(pg_catalog.=) 'session' \
         AND name OPERATOR(pg_catalog.<>) ALL ('{transaction_isolation,transaction_read_only,\
         transaction_deferrable}'::pg_catalog.text[]) \
         UNION ALL SELECT 'session_authorization', pg_catalog.current_setting('session_authorization') \
         FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a, pg_catalog.pg_roles r \
         WHERE r.rolname OPERATOR(pg_catalog.=) session_user AND r.oid OPERATOR(pg_catalog.<>) a.usesysid",
    );
    let doubtful = doubtful.map(small);
    let known = tracked.iter().map(|(name, _)| name);
    let asked: BTreeSet<_> = known.chain(doubtful.as_deref()).collect();
    for name in asked.into_iter().filter(|name| name.contains('.')) {
        let mut quoted = String::new();
        literal(&mut quoted, name, false);
        // A placeholder that was reset is an empty text for ever after: that is what it was before, too.
        sql.push_str(&format!(
            " UNION ALL SELECT {quoted}, pg_catalog.current_setting({quoted}, true) \
             WHERE pg_catalog.current_setting({quoted}, true) IS NOT NULL"
        ));
    }
    sql
}

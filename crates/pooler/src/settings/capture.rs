//! Asking a backend for its settings, when a text did not tell.
//!
//! ```text
//!  pg_settings where source = 'session'      everything that was set since the session began
//!  custom names (with a dot)                 not in that view: each that is known is asked for
//!  role, session_authorization               nor are these: against "none", and against whom PostgreSQL's list of
//!                                            activity says that the connection was made as
//! ```
//!
//! Names have their schema, operators too: the path on which PostgreSQL looks for the others is the client's.
//!
//! To be asked outside a transaction: inside one, what is local would look like the session's.

use std::collections::BTreeSet;

use super::map::{Settings, small};
use super::replay::literal;

/// One query that returns a row (name, value) for each setting of the session that differs from its start. The
/// tracker takes them by [`super::Tracker::replace`]. `tracked` is what is believed so far, `doubtful` the setting
/// that raised the question.
#[must_use]
pub fn capture_sql(tracked: &Settings, doubtful: Option<&str>) -> String {
    let mut sql = String::from(
        "SELECT name, setting FROM pg_catalog.pg_settings WHERE source OPERATOR(pg_catalog.=) 'session' \
         AND name OPERATOR(pg_catalog.<>) ALL ('{transaction_isolation,transaction_read_only,\
         transaction_deferrable}'::pg_catalog.text[]) \
         UNION ALL SELECT 'role', pg_catalog.current_setting('role') \
         WHERE pg_catalog.current_setting('role') OPERATOR(pg_catalog.<>) 'none' \
         UNION ALL SELECT 'session_authorization', pg_catalog.current_setting('session_authorization') \
         FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a, pg_catalog.pg_roles r \
         WHERE r.rolname OPERATOR(pg_catalog.=) session_user AND r.oid OPERATOR(pg_catalog.<>) a.usesysid",
    );
    let doubtful = doubtful.map(small);
    let known = tracked.iter().map(|(name, _)| name);
    let asked: BTreeSet<_> = known.chain(doubtful.as_deref()).collect();
    for name in asked.into_iter().filter(|name| name.contains('.')) {
        let mut quoted = String::new();
        literal(&mut quoted, name);
        // A placeholder that was reset is an empty text for ever after: that is what it was before, too.
        sql.push_str(&format!(
            " UNION ALL SELECT {quoted}, pg_catalog.current_setting({quoted}, true) \
             WHERE pg_catalog.current_setting({quoted}, true) IS NOT NULL"
        ));
    }
    sql
}

//! What each path of a cluster is, and what a snapshot does with it. Pure.
//!
//! The list of what is left out is the one of `pg_basebackup`, for the same reasons: PostgreSQL makes
//! these again at start, or must not find them. The text logs are ours: they are not data, and they grow.

/// Directories whose content is left out; they themselves are kept.
const CONTENT_LEFT_OUT: [&str; 9] = [
    "log",
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_wal",
];

/// Files of the top directory that are left out: of a running server, of another backup or recovery.
const LEFT_OUT: [&str; 12] = [
    "postmaster.pid",
    "postmaster.opts",
    "backup_label",
    "backup_label.old",
    "tablespace_map",
    "tablespace_map.old",
    "backup_manifest",
    "recovery.signal",
    "standby.signal",
    "promote",
    "postgresql.auto.conf.tmp",
    "current_logfiles.tmp",
];

/// Directories of transaction status: many files, of which the last is needed at every start.
const STATUS: [&str; 4] = ["pg_xact", "pg_multixact/members", "pg_multixact/offsets", "pg_commit_ts"];

/// OIDs below this are made by `initdb`: the catalogs.
const FIRST_NORMAL: u32 = 16384;

/// Databases that nobody connects to.
const TEMPLATE_DATABASES: [u32; 2] = [1, 4];

/// Which part of a relation a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// Its data.
    Main,
    /// Its map of free space.
    FreeSpace,
    /// Its visibility map.
    Visibility,
    /// What an unlogged relation begins with after a crash.
    Init,
}

/// A file of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation {
    /// Its database; 0 for those that all databases share.
    pub database: u32,
    /// Its number there.
    pub node: u32,
    /// Which part.
    pub fork: Fork,
    /// Which gibibyte.
    pub segment: u32,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not part of a snapshot.
    LeftOut,
    /// A file of a relation.
    Relation(Relation),
    /// A file of transaction status.
    Status,
    /// Anything else.
    Other,
}

/// How much a start needs a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing starts without it, and it is read in ways that no front sees.
    Must,
    /// Every session reads it.
    Soon,
    /// Perhaps never.
    Later,
}

/// What this path is.
#[must_use]
pub fn verdict(path: &str) -> Verdict {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    // Timeline histories are small and tell how the past hangs together.
    let history = dir == "pg_wal" && name.ends_with(".history");
    let inside = |outer: &&str| dir.strip_prefix(*outer).is_some_and(|r| r.is_empty() || r.starts_with('/'));
    if (CONTENT_LEFT_OUT.iter().any(inside) && !history)
        || (dir.is_empty() && LEFT_OUT.contains(&name))
        || name.starts_with("pg_internal.init")
        || path.split('/').any(|part| part.starts_with("pgsql_tmp"))
        || path == super::control_file::HIDDEN_PATH
    {
        return Verdict::LeftOut;
    }
    let database = match dir.strip_prefix("base/") {
        Some(oid) => number(oid),
        None => (dir == "global").then_some(0),
    };
    match database {
        Some(_) if is_temporary(name) => Verdict::LeftOut,
        Some(database) => relation(database, name).map_or(Verdict::Other, Verdict::Relation),
        None if STATUS.contains(&dir) => Verdict::Status,
        None => Verdict::Other,
    }
}

/// Whether a directory is part of a snapshot. Those inside of directories whose content is left out are
/// kept when they belong to `pg_wal` (PostgreSQL wants `archive_status` and `summaries`).
#[must_use]
pub fn keeps_directory(path: &str) -> bool {
    let temporary = path.split('/').any(|part| part.starts_with("pgsql_tmp"));
    let inside = |outer: &&str| path.strip_prefix(*outer).is_some_and(|rest| rest.starts_with('/'));
    let left_out = CONTENT_LEFT_OUT.iter().filter(|outer| **outer != "pg_wal").any(inside);
    !temporary && !left_out
}

/// How much a start needs a file. `last_status` says that no later file of its directory exists.
#[must_use]
pub fn need(path: &str, last_status: bool) -> Need {
    match verdict(path) {
        Verdict::Relation(r) if r.node < FIRST_NORMAL && !TEMPLATE_DATABASES.contains(&r.database) => {
            Need::Soon
        }
        Verdict::Relation(_) => Need::Later,
        Verdict::Status if last_status => Need::Must,
        Verdict::Status => Need::Soon,
        // What is left out of the directory and is in a snapshot all the same was put there for the start: the label
        // of an online one.
        Verdict::Other | Verdict::LeftOut => Need::Must,
    }
}

/// `<node>[_fork][.segment]`.
fn relation(database: u32, name: &str) -> Option<Relation> {
    let (stem, segment) = match name.split_once('.') {
        Some((stem, segment)) => (stem, number(segment)?),
        None => (name, 0),
    };
    let (node, fork) = match stem.split_once('_') {
        None => (stem, Fork::Main),
        Some((node, "fsm")) => (node, Fork::FreeSpace),
        Some((node, "vm")) => (node, Fork::Visibility),
        Some((node, "init")) => (node, Fork::Init),
        Some(_) => return None,
    };
    Some(Relation { database, node: number(node)?, fork, segment })
}

/// `t<backend>_<node>…`: the temporary relation of a session.
fn is_temporary(name: &str) -> bool {
    let digits = |text: &str| text.chars().next().is_some_and(|c| c.is_ascii_digit());
    let parts = name.strip_prefix('t').and_then(|rest| rest.split_once('_'));
    parts.is_some_and(|(backend, node)| number(backend).is_some() && digits(node))
}

fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && !(text.len() > 1 && text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_relations() {
        let found = |path: &str| match verdict(path) {
            Verdict::Relation(r) => Some((r.database, r.node, r.fork, r.segment)),
            _ => None,
        };
        assert_eq!(found("base/5/16384"), Some((5, 16384, Fork::Main, 0)));
        assert_eq!(found("base/5/16384.3"), Some((5, 16384, Fork::Main, 3)));
        assert_eq!(found("base/5/16384_vm"), Some((5, 16384, Fork::Visibility, 0)));
        assert_eq!(found("base/5/16384_fsm.1"), Some((5, 16384, Fork::FreeSpace, 1)));
        assert_eq!(found("global/1262"), Some((0, 1262, Fork::Main, 0)));
        for other in
            ["base/5/PG_VERSION", "global/pg_control", "base/5/pg_filenode.map", "base/x/1", "base/5/1_x"]
        {
            assert_eq!(verdict(other), Verdict::Other, "{other}");
        }
        assert_eq!(verdict("pg_xact/0000"), Verdict::Status);
    }

    #[test]
    fn what_is_left_out() {
        for path in [
            "postmaster.pid",
            "pg_wal/000000010000000000000001",
            "pg_replslot/x/state",
            "base/5/t3_16401",
            "base/5/t3_16401_fsm",
            "base/pgsql_tmp/pgsql_tmp12.0",
            "global/pg_internal.init",
            "backup_label",
            "base/5/pg_internal.init.77",
            "pg_subtrans/0000",
            crate::snapshot::control_file::HIDDEN_PATH,
            "standby.signal",
            "promote",
        ] {
            assert_eq!(verdict(path), Verdict::LeftOut, "{path}");
        }
        for path in ["pg_wal/00000002.history", "pg_twophase/00000001", "base/5/t3", "x/postmaster.pid"] {
            assert_eq!(verdict(path), Verdict::Other, "{path}");
        }
        assert!(keeps_directory("pg_wal/archive_status") && keeps_directory("pg_replslot"));
        assert!(!keeps_directory("pg_replslot/dormouse") && !keeps_directory("base/pgsql_tmp"));
    }

    #[test]
    fn what_a_start_needs() {
        assert_eq!(need("global/pg_control", false), Need::Must);
        assert_eq!(need("backup_label", false), Need::Must);
        assert_eq!(need("pg_xact/0003", true), Need::Must);
        assert_eq!(need("pg_xact/0002", false), Need::Soon);
        assert_eq!(need("base/5/1259", false), Need::Soon);
        assert_eq!(need("base/1/1259", false), Need::Later);
        assert_eq!(need("base/5/16384", false), Need::Later);
    }
}

//! The arguments of a fast start.
//!
//! Every value here was measured (`wake` in `make bench`): most of a default start is spent on
//! things that a sleeping database does not need before its first row. Durability is never traded:
//! fsync, full_page_writes and checksums stay on. Settings given as arguments cannot be overridden
//! by `ALTER SYSTEM`, only by role, database or session, which is what a platform wants.

use std::path::Path;

use crate::spec::{Directory, Recovery, Spec};

/// `shared_buffers`: small on purpose; the page cache of the machine is the big cache and survives
/// sleep. (16 MB instead of 128 MB saves 3–7 ms a start and memory while paused.)
const SHARED_BUFFERS: &str = "16MB";

/// PostgreSQL counts how many files it may open by opening that many at each start. 17 refuses
/// values below about 200.
const MAX_FILES_PER_PROCESS: u32 = 200;

/// The WAL that replication slots may hold back.
const MAX_SLOT_WAL: &str = "4GB";

/// The WAL that is kept whether anybody has read it or not: where a slot has to be made by a statement, as after the loss
/// of one, it holds nothing from before the last checkpoint.
const WAL_KEEP: &str = "128MB";

/// PostgreSQL's default. One of them is the one that holds WAL.
const MAX_REPLICATION_SLOTS: &str = "10";

/// Connections kept for Dormouse itself.
const RESERVED: u32 = 3;

/// Settings that users may not change, because the product depends on them.
pub const FIXED: [&str; 19] = [
    "listen_addresses",
    "unix_socket_directories",
    "unix_socket_permissions",
    "port",
    "data_directory",
    "hba_file",
    "ident_file",
    "config_file",
    "external_pid_file",
    "logging_collector",
    "cluster_name",
    "fsync",
    "full_page_writes",
    "max_slot_wal_keep_size",
    "wal_keep_size",
    "idle_replication_slot_timeout",
    "recovery_init_sync_method",
    "restore_command",
    "hot_standby",
];

/// What the PostgreSQL that is installed here has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Installed<'a> {
    /// Those of [`Spec::preload`] that are there.
    pub libraries: &'a [&'a str],
    /// See [`super::discover::Installation::lz4`].
    pub lz4: bool,
}

/// What a setting must be so that the WAL can be replayed and a slot can hold it, when `value` is not that.
#[must_use]
pub fn needed(name: &str, value: &str) -> Option<&'static str> {
    let value = value.trim();
    let is = |names: &[&str]| names.iter().any(|name| value.eq_ignore_ascii_case(name));
    let is_some = || value.parse::<u32>().is_ok_and(|number| number > 0);
    let (good, needed) = match name.to_ascii_lowercase().as_str() {
        "wal_level" => (is(&["replica", "logical"]), "`replica` or `logical`"),
        "max_replication_slots" | "max_wal_senders" => (is_some(), "a number above 0"),
        _ => return None,
    };
    (!good).then_some(needed)
}

/// The arguments for one start. `private_user` says that no other compute runs as the same user.
#[must_use]
pub fn arguments(
    spec: &Spec,
    directory: &Directory,
    socket_dir: &Path,
    Installed { libraries, lz4 }: Installed<'_>,
    private_user: bool,
) -> Vec<String> {
    let mut args = vec!["-D".to_owned(), directory.data.display().to_string()];
    let mut set = |name: &str, value: &str| {
        args.push("-c".to_owned());
        args.push(format!("{name}={value}"));
    };
    set("shared_buffers", SHARED_BUFFERS);
    set("max_connections", &(spec.max_connections + RESERVED).to_string());
    set("superuser_reserved_connections", &RESERVED.to_string());
    set("max_files_per_process", &MAX_FILES_PER_PROCESS.to_string());
    // The launcher of logical replication costs a process at each start; who sets it above zero gets it.
    set("max_logical_replication_workers", "0");
    set("huge_pages", "off");
    if !private_user {
        // In /dev/shm other computes of the same user could read it.
        set("dynamic_shared_memory_type", "mmap");
    }
    set("wal_level", "replica");
    // The slot that holds WAL lies in the directory: with fewer PostgreSQL would not start, whoever may change that.
    set("max_replication_slots", MAX_REPLICATION_SLOTS);
    if lz4 {
        // Every page that is written for the first time behind a checkpoint is in the WAL as a whole. What that saves
        // is not written, filed, hashed, stored, fetched and replayed.
        set("wal_compression", "lz4");
    }
    set("log_line_prefix", "%m [%p] %q%u@%d ");
    if spec.pg_major >= 18 {
        // The io workers of 18's default cost 4 ms a start.
        set("io_method", "sync");
    }
    if libraries.contains(&"pg_cron") {
        set("cron.use_background_workers", "on");
        set("cron.database_name", cron_database(spec));
    }
    if !libraries.is_empty() {
        set("shared_preload_libraries", &libraries.join(","));
    }
    for (name, value) in &spec.settings {
        if !FIXED.contains(&name.as_str()) && needed(name, value).is_none() {
            set(name, value);
        }
    }
    set("listen_addresses", "");
    set("unix_socket_directories", &socket_dir.display().to_string());
    set("unix_socket_permissions", "0700");
    set("logging_collector", "off");
    set("fsync", "on");
    set("full_page_writes", "on");
    // Before a recovery everything is made durable: by one call, instead of opening each of a thousand files (measured:
    // 165 ms of a start behind WAL on two busy cores).
    set("recovery_init_sync_method", "syncfs");
    set("cluster_name", spec.endpoint.as_str());
    // What nobody fetches must not fill the disk: the WAL service takes an alarm and a snapshot instead.
    set("max_slot_wal_keep_size", MAX_SLOT_WAL);
    set("wal_keep_size", WAL_KEEP);
    if spec.pg_major >= 18 {
        // Our slot is idle by nature: it holds files that are read from the disk.
        set("idle_replication_slot_timeout", "0");
    }
    recovery(directory.recovery, &mut set);
    args
}

/// What somebody may have set in the cluster for recoveries of his own, and what it is in ours: all the WAL lies in
/// `pg_wal` already, there is nowhere else to fetch any from, and all of it counts at once. Without a command
/// none is started either: it costs a shell for each file and each look for a newer history.
const RECOVERY: [(&str, &str); 12] = [
    ("restore_command", ""),
    ("primary_conninfo", ""),
    ("primary_slot_name", ""),
    ("archive_cleanup_command", ""),
    ("recovery_end_command", ""),
    ("recovery_min_apply_delay", "0"),
    ("recovery_target", ""),
    ("recovery_target_lsn", ""),
    ("recovery_target_name", ""),
    ("recovery_target_time", ""),
    ("recovery_target_xid", ""),
    ("recovery_target_timeline", "latest"),
];

fn recovery(how: Recovery, set: &mut impl FnMut(&str, &str)) {
    let readers = match how {
        Recovery::Ordinary => return,
        // Nobody reads on the way.
        Recovery::Promote => "off",
        Recovery::Standby => "on",
    };
    RECOVERY.iter().for_each(|(name, value)| set(name, value));
    set("hot_standby", readers);
}

/// pg_cron lives in one database; the project's settings may name another.
fn cron_database(spec: &Spec) -> &str {
    spec.settings.iter().find(|(name, _)| name == "cron.database_name").map_or("app", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::PauseTimeout;

    fn spec(major: u16) -> Spec {
        Spec {
            endpoint: "ep-a-b-c".parse().unwrap(),
            project: "a-b-c".parse().unwrap(),
            branch: "br-a-b-c".parse().unwrap(),
            mode: crate::spec::Mode::ReadWrite,
            pinned: None,
            pg_major: major,
            slot: 0,
            idle_timeout: None,
            pause_timeout: PauseTimeout::Forever,
            size: crate::limits::Bounds::default(),
            prewarm: false,
            max_connections: 20,
            preload: Vec::new(),
            settings: vec![("fsync".into(), "off".into()), ("work_mem".into(), "8MB".into())],
        }
    }

    #[test]
    fn a_project_cannot_turn_durability_off() {
        let args =
            arguments(&spec(18), &Directory::plain("/d".into()), Path::new("/s"), Installed::default(), true);
        assert!(!args.contains(&"fsync=off".to_owned()));
        assert!(args.contains(&"fsync=on".to_owned()) && args.contains(&"work_mem=8MB".to_owned()));
    }

    #[test]
    fn a_project_cannot_take_away_what_the_capture_of_wal_needs() {
        let mut spec = spec(18);
        let wishes = [("wal_level", "Minimal"), ("max_replication_slots", "0"), ("max_wal_senders", "0")];
        let idle = [("idle_replication_slot_timeout", "1min"), ("Wal_Level", "logical")];
        spec.settings = wishes.iter().chain(&idle).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let args =
            arguments(&spec, &Directory::plain("/d".into()), Path::new("/s"), Installed::default(), true);
        let last = |name: &str| {
            let of_it = |a: &&String| a.to_ascii_lowercase().starts_with(&format!("{name}="));
            args.iter().rfind(of_it).map(|a| a.split_once('=').unwrap().1)
        };
        assert_eq!(last("wal_level"), Some("logical"));
        assert_eq!(last("idle_replication_slot_timeout"), Some("0"));
        assert_eq!((last("max_replication_slots"), last("max_wal_senders")), (Some("10"), None));
    }

    #[test]
    fn old_versions_do_not_get_settings_they_do_not_know() {
        let args = arguments(
            &spec(15),
            &Directory::plain("/d".into()),
            Path::new("/s"),
            Installed { libraries: &["pg_stat_statements"], lz4: false },
            true,
        );
        let of_others = ["io_method", "wal_compression", "idle_replication"];
        assert!(!args.iter().any(|a| of_others.iter().any(|name| a.starts_with(name))));
        assert!(args.contains(&"shared_preload_libraries=pg_stat_statements".to_owned()));
    }

    #[test]
    fn pages_in_the_wal_are_compressed_where_that_can_be_done_unless_somebody_says_otherwise() {
        let at = |spec: &Spec| {
            let here = Installed { libraries: &[], lz4: true };
            let args = arguments(spec, &Directory::plain("/d".into()), Path::new("/s"), here, true);
            // PostgreSQL takes the last.
            args.into_iter().rfind(|arg| arg.starts_with("wal_compression="))
        };
        let mut spec = spec(15);
        assert_eq!(at(&spec).as_deref(), Some("wal_compression=lz4"));
        spec.settings.push(("wal_compression".into(), "off".into()));
        assert_eq!(at(&spec).as_deref(), Some("wal_compression=off"));
    }
}

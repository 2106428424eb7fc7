//! Which endpoint and PostgreSQL settings a project may choose.
//!
//! PostgreSQL settings come from a project's own API key, but PostgreSQL runs on a shared machine:
//! what runs programs, opens other files, listens, or takes durability away is refused. Everything
//! else is PostgreSQL's own business; a value that it does not like makes the next start fail, with
//! its log on the event list.

use std::collections::BTreeMap;
use std::time::Duration;

use dormouse_compute::spec::PauseTimeout;

use super::Refused;

/// Time without work before an endpoint sleeps, unless it says otherwise.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Time an endpoint stays Paused, unless it says otherwise.
pub const PAUSE_TIMEOUT: Duration = Duration::from_secs(3600);
/// The longest time-out that can be asked for, seconds (7 days).
pub const MAX_TIMEOUT_SECONDS: i64 = 604_800;
/// The longest history that can be kept, seconds (30 days).
pub const MAX_HISTORY_SECONDS: i64 = 30 * 24 * 3600;
/// The most PostgreSQL settings of one endpoint.
pub const MAX_PG_SETTINGS: usize = 100;
/// The longest value of a PostgreSQL setting, bytes.
pub const MAX_PG_VALUE: usize = 1024;
/// The most libraries a project may preload.
pub const MAX_PRELOAD: usize = 32;

/// Settings that the server decides, or that would reach outside the compute.
const REFUSED: [&str; 55] = [
    "allow_alter_system",
    "allow_in_place_tablespaces",
    "archive_cleanup_command",
    "archive_command",
    "archive_library",
    "archive_mode",
    "bonjour",
    "bonjour_name",
    "cluster_name",
    "config_file",
    "data_directory",
    "data_directory_mode",
    "data_sync_retry",
    "dynamic_library_path",
    "event_source",
    "extension_control_path",
    "external_pid_file",
    "fsync",
    "full_page_writes",
    "hba_file",
    "hot_standby",
    "ident_file",
    "idle_replication_slot_timeout",
    "ignore_checksum_failure",
    "ignore_invalid_pages",
    "ignore_system_indexes",
    "krb_server_keyfile",
    "listen_addresses",
    "local_preload_libraries",
    "log_destination",
    "log_directory",
    "log_filename",
    "log_file_mode",
    "logging_collector",
    "max_connections",
    "max_slot_wal_keep_size",
    "password_encryption",
    "port",
    "primary_conninfo",
    "primary_slot_name",
    "recovery_end_command",
    "recovery_init_sync_method",
    "recovery_min_apply_delay",
    "restart_after_crash",
    "restore_command",
    "session_preload_libraries",
    "shared_preload_libraries",
    "superuser_reserved_connections",
    "synchronous_standby_names",
    "syslog_facility",
    "syslog_ident",
    "unix_socket_directories",
    "unix_socket_group",
    "unix_socket_permissions",
    "wal_keep_size",
];
/// Families of settings that the server decides.
const REFUSED_PREFIXES: [&str; 5] = ["ssl", "debug_", "zero_damaged", "jit_provider", "recovery_target"];

/// What the server uses where an endpoint says "default".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Time without work before sleep; `None` = never.
    pub idle: Option<Duration>,
    /// Time Paused.
    pub pause: PauseTimeout,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { idle: Some(IDLE_TIMEOUT), pause: PauseTimeout::After(PAUSE_TIMEOUT) }
    }
}

impl Timeouts {
    /// The idle time of an endpoint: 0 = the server's default, −1 = never.
    #[must_use]
    pub fn idle_of(&self, seconds: i64) -> Option<Duration> {
        match u64::try_from(seconds) {
            Ok(0) => self.idle,
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => None,
        }
    }

    /// The pause time of an endpoint: `None` = the server's default, 0 = skip, −1 = for ever.
    #[must_use]
    pub fn pause_of(&self, seconds: Option<i64>) -> PauseTimeout {
        match seconds.map(u64::try_from) {
            None => self.pause,
            Some(Ok(0)) => PauseTimeout::Skip,
            Some(Ok(seconds)) => PauseTimeout::After(Duration::from_secs(seconds)),
            Some(Err(_)) => PauseTimeout::Forever,
        }
    }

    /// The server's pause time as the API writes it.
    #[must_use]
    pub fn pause_seconds(&self) -> i64 {
        match self.pause {
            PauseTimeout::Skip => 0,
            PauseTimeout::After(time) => i64::try_from(time.as_secs()).unwrap_or(MAX_TIMEOUT_SECONDS),
            PauseTimeout::Forever => -1,
        }
    }
}

/// Checks a time-out in seconds: −1, 0, or up to [`MAX_TIMEOUT_SECONDS`].
///
/// # Errors
/// When it is out of range.
pub fn timeout(field: &str, seconds: i64) -> Result<(), Refused> {
    if (-1..=MAX_TIMEOUT_SECONDS).contains(&seconds) {
        return Ok(());
    }
    Err(Refused::new(
        "bad-setting",
        format!("`{field}` is {seconds}: use -1, 0, or a number of seconds up to {MAX_TIMEOUT_SECONDS}"),
    ))
}

/// Checks how far back history is kept: 0 to [`MAX_HISTORY_SECONDS`].
///
/// # Errors
/// When it is out of range.
pub fn history(seconds: i64) -> Result<(), Refused> {
    if (0..=MAX_HISTORY_SECONDS).contains(&seconds) {
        return Ok(());
    }
    Err(Refused::new(
        "bad-setting",
        format!("`history_retention_seconds` is {seconds}: use 0 to {MAX_HISTORY_SECONDS} (30 days)"),
    ))
}

/// Checks the size limits of an endpoint, in compute units.
///
/// # Errors
/// When they are below 0.25, above 64, or the wrong way round.
pub fn size(min: f64, max: f64) -> Result<(), Refused> {
    if (0.25..=64.0).contains(&min) && (0.25..=64.0).contains(&max) && min <= max {
        return Ok(());
    }
    Err(Refused::new(
        "bad-setting",
        "`autoscaling_limit_min_cu` and `autoscaling_limit_max_cu` must lie between 0.25 and 64, the lower one first",
    ))
}

/// Settings that decide how much a recovery has room for: less than the one had who wrote the WAL, and
/// PostgreSQL does not start on it.
const ROOM: [&str; 5] = [
    "max_connections",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "max_worker_processes",
    "max_wal_senders",
];

/// An endpoint that replays what another one wrote begins with at least the room that that one has.
pub fn give_room(of: &BTreeMap<String, String>, to: &mut BTreeMap<String, String>) {
    for name in ROOM {
        let number = |text: Option<&String>| text.and_then(|text| text.trim().parse::<u64>().ok());
        if let Some(value) = of.get(name)
            && number(to.get(name)) < number(Some(value))
        {
            to.insert(name.to_owned(), value.clone());
        }
    }
}

/// Checks PostgreSQL settings.
///
/// # Errors
/// When one has an impossible name or value, or is one that the server decides.
pub fn pg_settings(settings: &BTreeMap<String, String>) -> Result<(), Refused> {
    if settings.len() > MAX_PG_SETTINGS {
        return Err(Refused::new(
            "bad-setting",
            format!("more than {MAX_PG_SETTINGS} PostgreSQL settings: use fewer"),
        ));
    }
    for (name, value) in settings {
        let lower = name.to_ascii_lowercase();
        let shape = !lower.is_empty()
            && lower.len() <= 63
            && lower.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
            && !lower.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        if !shape {
            return Err(Refused::new(
                "bad-setting",
                format!("`{name}` is not the name of a PostgreSQL setting"),
            ));
        }
        if REFUSED.contains(&lower.as_str()) || REFUSED_PREFIXES.iter().any(|p| lower.starts_with(p)) {
            return Err(Refused::new(
                "bad-setting",
                format!("the PostgreSQL setting `{name}` is decided by the server: leave it out"),
            ));
        }
        if let Some(needed) = dormouse_compute::postgres::settings::needed(&lower, value) {
            let why = "without it commits would not get into the store";
            return Err(Refused::new("bad-setting", format!("`{name}` must be {needed}: {why}")));
        }
        if value.len() > MAX_PG_VALUE || value.chars().any(char::is_control) {
            return Err(Refused::new(
                "bad-setting",
                format!(
                    "the value of `{name}` is longer than {MAX_PG_VALUE} bytes or has control characters"
                ),
            ));
        }
    }
    Ok(())
}

/// Checks a list of libraries to preload: plain names, never paths.
///
/// # Errors
/// When a name is not a plain library name, or there are too many.
pub fn preload(libraries: &[String]) -> Result<(), Refused> {
    let plain = |name: &String| {
        !name.is_empty()
            && name.len() <= 63
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    match libraries.iter().find(|l| !plain(l)) {
        Some(bad) => Err(Refused::new(
            "bad-setting",
            format!("`{bad}` is not a library name: letters, digits, `_`, `-`"),
        )),
        None if libraries.len() > MAX_PRELOAD => Err(Refused::new(
            "bad-setting",
            format!("more than {MAX_PRELOAD} libraries to preload: use fewer"),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_replays_has_the_room_of_who_wrote() {
        let map =
            |all: &[(&str, &str)]| all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let parent =
            map(&[("max_prepared_transactions", "5"), ("max_wal_senders", "9"), ("work_mem", "8MB")]);
        let mut child: BTreeMap<String, String> = map(&[("max_wal_senders", "12")]);
        give_room(&parent, &mut child);
        assert_eq!(child, map(&[("max_prepared_transactions", "5"), ("max_wal_senders", "12")]));
    }

    fn one(name: &str, value: &str) -> Result<(), Refused> {
        pg_settings(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn dangerous_settings_are_refused_in_any_case() {
        for name in
            ["archive_command", "FSYNC", "ssl_key_file", "shared_preload_libraries", "a b", "", "x\ny"]
        {
            assert!(one(name, "x").is_err(), "{name}");
        }
        assert!(one("work_mem", "64MB\nfsync=off").is_err());
        assert!(one("work_mem", "64MB").is_ok());
        assert!(one("pg_stat_statements.max", "1000").is_ok());
    }

    #[test]
    fn what_the_store_needs_of_the_wal_cannot_be_taken_away() {
        for (name, value) in [
            ("wal_level", "minimal"),
            ("WAL_level", " Minimal"),
            ("wal_level", ""),
            ("max_replication_slots", "0"),
            ("max_replication_slots", "0.4"),
            ("max_wal_senders", "0x0"),
            ("idle_replication_slot_timeout", "1min"),
            ("max_slot_wal_keep_size", "1MB"),
            ("recovery_target_time", "2026-01-01"),
            ("ignore_invalid_pages", "on"),
        ] {
            assert!(one(name, value).is_err(), "{name} = {value}");
        }
        for (name, value) in
            [("wal_level", "Logical"), ("wal_level", "replica"), ("max_replication_slots", "20")]
        {
            assert!(one(name, value).is_ok(), "{name} = {value}");
        }
        assert!(one("max_wal_senders", "3").is_ok() && one("recovery_prefetch", "off").is_ok());
    }

    #[test]
    fn timeouts_mean_what_the_contract_says() {
        let server = Timeouts::default();
        assert_eq!(server.idle_of(0), Some(IDLE_TIMEOUT));
        assert_eq!(server.idle_of(-1), None);
        assert_eq!(server.idle_of(7), Some(Duration::from_secs(7)));
        assert_eq!(server.pause_of(None), PauseTimeout::After(PAUSE_TIMEOUT));
        assert_eq!(server.pause_of(Some(0)), PauseTimeout::Skip);
        assert_eq!(server.pause_of(Some(-1)), PauseTimeout::Forever);
        assert!(timeout("x", -2).is_err() && timeout("x", 604_801).is_err() && timeout("x", 60).is_ok());
    }

    #[test]
    fn libraries_are_names_not_paths() {
        assert!(preload(&["pg_cron".to_owned()]).is_ok());
        assert!(preload(&["../../evil".to_owned()]).is_err());
    }
}

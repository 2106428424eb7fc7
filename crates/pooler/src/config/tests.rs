//! The table holds together, and layers lie on each other as they should.

use std::collections::HashSet;
use std::time::Duration;

use super::*;

#[test]
fn every_row_is_whole_and_its_defaults_can_be_read() {
    let mut seen = HashSet::new();
    for setting in table() {
        assert!(seen.insert(setting.name), "{} is there twice", setting.name);
        assert!(!setting.note.trim().is_empty(), "{} has no text", setting.name);
        assert!(!setting.note.contains('\n'), "{} has more than a line", setting.name);
        for value in [setting.pgbouncer, setting.default] {
            Settings::default().set(setting.name, value).unwrap();
        }
        let shown = Settings::default().get(setting.name).unwrap();
        assert_eq!(shown, setting.default, "{}", setting.name);
    }
    // PgBouncer 1.25 has so many; `service_name` is a second name of one.
    assert_eq!(seen.len(), 100);
}

#[test]
fn errors_say_what_would_do() {
    let mut settings = Settings::default();
    let text = |result: Result<(), ConfigError>| result.unwrap_err().to_string();
    assert_eq!(text(settings.set("pool_siz", "1")), "unknown setting \"pool_siz\"");
    assert_eq!(
        text(settings.set("pool_mode", "fast")),
        "\"fast\" is not a value for pool_mode: it takes `session`, `transaction` or `statement`"
    );
    assert!(text(settings.set("server_lifetime", "-1")).contains("seconds"));
    assert_eq!(text(settings.change("listen_port", "1")), "listen_port can only be changed by a restart");
    assert_eq!(
        text(Layer::default().set("max_client_conn", "5")),
        "max_client_conn cannot be set per endpoint, database or role: it holds for the whole pooler"
    );
    assert_eq!(settings, Settings::default());
    let error = settings.set("nonsense", "").unwrap_err().client_error();
    assert_eq!(error.code.as_str(), "22023");
}

#[test]
fn layers_override_in_order_and_can_be_taken_back() {
    let mut database = Layer::default();
    database.set("pool_size", "7").unwrap();
    database.set("POOL_MODE", "session").unwrap();
    database.set("pool_size", "8").unwrap();
    let mut role = Layer::default();
    role.set("pool_size", "3").unwrap();
    role.set("query_wait_timeout", "0.5").unwrap();

    let global = Settings::default();
    let both = global.with([&database, &role]);
    assert_eq!((both.default_pool_size, both.pool_mode), (3, PoolMode::Session));
    assert_eq!(Limits::from(&both).query_wait_timeout, Duration::from_millis(500));
    assert_eq!(database.get("default_pool_size"), Some("8"));

    role.unset("pool_size");
    assert_eq!(global.with([&database, &role]).default_pool_size, 8);
    assert_eq!(global.with([]), global);
}

#[test]
fn show_config_lists_all_sorted() {
    let mut settings = Settings::default();
    settings.set("server_lifetime", "1.5").unwrap();
    settings.set("listen_port", "7777").unwrap();
    let rows = shown(&settings, false);
    assert!(rows.is_sorted_by_key(|row| row.0));
    assert_eq!(rows.len(), table().count());
    let row = |name| rows.iter().find(|row| row.0 == name).unwrap().clone();
    assert_eq!(row("server_lifetime"), ("server_lifetime", String::from("1.5"), "3600", true));
    assert_eq!(row("listen_port"), ("listen_port", String::from("7777"), "6432", false));
    let default = |stands_in, name| {
        shown(&settings, stands_in).into_iter().find(|row| row.0 == name).map(|row| row.2).unwrap()
    };
    assert_eq!((default(true, "pool_mode"), default(false, "pool_mode")), ("session", "transaction"));
    assert_eq!((default(true, "default_pool_size"), default(false, "default_pool_size")), ("20", "25"));
}

#[test]
fn the_case_of_words_does_not_matter() {
    let mut settings = Settings::default();
    for (name, value) in [("auth_type", "SCRAM-SHA-256"), ("server_tls_sslmode", "Require")] {
        settings.set(name, value).unwrap();
        assert_eq!(settings.get(name), Some(value.to_ascii_lowercase()));
    }
    settings.set("auth_file", "/Etc/Users").unwrap();
    assert_eq!(settings.get("auth_file").as_deref(), Some("/Etc/Users"));
}

#[test]
fn what_is_only_accepted_must_be_a_value_too_and_is_kept_as_it_is_read() {
    let mut settings = Settings::default();
    for (name, value) in [
        ("tcp_user_timeout", "30s"),
        ("tcp_keepidle", "x"),
        ("tcp_keepcnt", "-1"),
        ("tcp_keepalive", "ture"),
        ("so_reuseport", "2"),
        ("peer_id", "x"),
        ("peer_id", "16384"),
        ("listen_port", "65536"),
        ("dns_max_ttl", "soon"),
        ("pkt_buf", "4k"),
    ] {
        let error = settings.set(name, value).unwrap_err();
        assert!(matches!(error, ConfigError::BadValue { .. }), "{name} = {value}: {error}");
    }
    assert_eq!(
        settings.set("peer_id", "20000").unwrap_err().to_string(),
        "\"20000\" is not a value for peer_id: it takes a whole number from 0 to 16383"
    );
    assert_eq!(settings, Settings::default());
    for (name, value, shown) in
        [("tcp_keepalive", "Off", "0"), ("so_reuseport", "TRUE", "1"), ("peer_id", "16383", "16383")]
    {
        settings.set(name, value).unwrap();
        assert_eq!(settings.get(name).as_deref(), Some(shown), "{name}");
    }
}

#[test]
fn lists_of_names() {
    assert_eq!(names(" a, b,,c ").collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(names("").count(), 0);
}

#[test]
fn the_reference_has_every_setting() {
    let page = include_str!("../../../../docs/reference/pooler.md");
    for setting in table() {
        let name = format!("`{}`", setting.name);
        if !setting.used {
            assert!(page.contains(&name), "{name} is missing");
            continue;
        }
        let row = page.lines().find(|line| line.starts_with(&format!("| {name} |")));
        let cells: Vec<_> = row.unwrap_or_else(|| panic!("{name} has no row")).split(" | ").collect();
        let written =
            |value: &str| if value.is_empty() { String::from("empty") } else { format!("`{value}`") };
        assert_eq!(
            (cells[2], cells[3]),
            (&*written(setting.pgbouncer), &*written(setting.default)),
            "{name}"
        );
        let place = if setting.scope == Scope::Pool { "pool" } else { "all" };
        assert_eq!(cells[4], place, "{name}");
        assert_eq!(cells[5].trim_end_matches(" |"), setting.note, "{name}");
        assert!(setting.changeable, "{name}: the page says that all can be changed");
    }
}

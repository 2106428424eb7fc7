//! What a client says besides who it is: parameters of the session, of which PgBouncer takes only some.
//!
//! A parameter of its own (`extra_float_digits`) is taken as it is and holds for that client, which PgBouncer would
//! refuse. In `options` what nobody has listed is refused as there: a typing error in it would go unnoticed for long.

use std::net::SocketAddr;

use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::Params;
use dormouse_pgwire::{ClientError, options};
use dormouse_pooler::config::{Settings, names};

use crate::bound::UNIX_PEER;

/// Settings that PgBouncer follows without being told.
const FOLLOWED: [&str; 5] =
    ["client_encoding", "datestyle", "timezone", "standard_conforming_strings", "application_name"];

/// The word for all of `options` in `ignore_startup_parameters`.
const OPTIONS: &str = "options";

/// Where a client is, for `application_name_add_host`: `from` a process of this machine, or an address.
pub(super) fn from(peer: SocketAddr, (process, port): (u32, u16)) -> String {
    if peer != UNIX_PEER {
        return peer.to_string();
    }
    let system = rustix::system::uname();
    format!("unix({process}@{}):{port}", system.nodename().to_string_lossy())
}

/// What the pool is to see of the startup message.
pub(super) fn prepare(
    params: &mut Params,
    settings: &Settings,
    role: &str,
    from: impl FnOnce() -> String,
) -> Result<(), ClientError> {
    if let Some(all) = params.options().map(str::to_owned) {
        let kept = filter(&all, settings)?;
        params.remove(OPTIONS);
        if !kept.is_empty() {
            set(params, OPTIONS, &kept)?;
        }
    }
    for name in names(&settings.ignore_startup_parameters) {
        if name != OPTIONS {
            drop(params.remove(name));
        }
    }
    set(params, "user", role)?;
    if settings.application_name_add_host {
        let name = params.get("application_name").unwrap_or("app").to_owned();
        set(params, "application_name", &format!("{name} - {}", from()))?;
    }
    Ok(())
}

fn set(params: &mut Params, name: &str, value: &str) -> Result<(), ClientError> {
    params.set(name, value).map_err(|error| ClientError::protocol_violation(error.to_string()))
}

/// The settings in `options` that are taken, as options again.
fn filter(all: &str, settings: &Settings) -> Result<String, ClientError> {
    let followed = |name: &str| {
        let mut known = FOLLOWED.into_iter().chain(names(&settings.track_extra_parameters));
        known.any(|known| known.eq_ignore_ascii_case(name))
    };
    let ignored = |name: &str| {
        names(&settings.ignore_startup_parameters).any(|known| known == OPTIONS || known == name)
    };
    let mut kept = Vec::new();
    let mut words = options::split(all).into_iter();
    while let Some(word) = words.next() {
        let pair = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") if word == "-c" => words.next().unwrap_or_default(),
            Some(pair) => pair.to_owned(),
            None => return Err(unsupported()),
        };
        let name = pair.split_once('=').map(|(name, _)| name.replace('-', "_"));
        let name = name.filter(|name| !name.is_empty()).ok_or_else(unsupported)?;
        if followed(&name) {
            kept.extend(["-c".to_owned(), pair]);
        } else if !ignored(&name) {
            let text = format!("unsupported startup parameter in options: {name}");
            return Err(ClientError::fatal(SqlState::PROTOCOL_VIOLATION, text).with_hint(
                "List it in track_extra_parameters of the pooler's configuration, or in ignore_startup_parameters.",
            ));
        }
    }
    Ok(options::join(kept))
}

fn unsupported() -> ClientError {
    let text = "unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed";
    ClientError::fatal(SqlState::PROTOCOL_VIOLATION, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(tracked: &str, ignored: &str) -> Settings {
        let mut settings = Settings::of_pgbouncer();
        settings.set("track_extra_parameters", tracked).unwrap();
        settings.set("ignore_startup_parameters", ignored).unwrap();
        settings
    }

    #[test]
    fn options_are_taken_ignored_or_refused() {
        let plain = settings("IntervalStyle", "extra_float_digits");
        let kept =
            filter("  -c TimeZone=Europe/Lisbon --datestyle=German,\\ YMD -cextra_float_digits=2", &plain);
        assert_eq!(
            options::split(&kept.unwrap()),
            ["-c", "TimeZone=Europe/Lisbon", "-c", "datestyle=German, YMD"]
        );
        assert_eq!(
            filter("--statement-timeout=5", &settings("statement_timeout", "")).unwrap(),
            "-c statement-timeout=5"
        );
        for bad in ["-d", "-c timezone", "-c", "x=1"] {
            assert!(filter(bad, &plain).unwrap_err().message.contains("only '-c config=val'"), "{bad}");
        }
        let error = filter("-c geqo=off", &plain).unwrap_err();
        assert_eq!(error.message, "unsupported startup parameter in options: geqo");
        assert_eq!(
            filter("-c geqo=off --timezone=UTC", &settings("", "options")).unwrap(),
            "-c timezone=UTC"
        );
    }

    #[test]
    fn the_pool_sees_its_own_role_and_perhaps_where_the_client_is() {
        let mut params = Params::default();
        for (name, value) in
            [("user", "anna"), ("application_name", "psql"), ("nonsense", "1"), ("geqo", "off")]
        {
            params.set(name, value).unwrap();
        }
        let mut settings = settings("", "nonsense");
        settings.application_name_add_host = true;
        let peer = from("127.0.0.1:9".parse().unwrap(), (0, 6432));
        prepare(&mut params, &settings, "forced", || peer).unwrap();
        assert_eq!(params.get("user"), Some("forced"));
        assert_eq!(params.get("application_name"), Some("psql - 127.0.0.1:9"));
        assert_eq!((params.get("nonsense"), params.get("geqo")), (None, Some("off")));
        let local = from(UNIX_PEER, (4711, 6432));
        assert!(local.starts_with("unix(4711@") && local.ends_with("):6432"), "{local}");
    }
}

//! From the command line's words to the server crates' types, and back.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_base::Lsn;
use dormouse_compute::postgres::discover::Installations;
use dormouse_compute::spec::PauseTimeout;
use dormouse_runtime::{failpoint, telemetry};
use dormouse_server::doctor::{self, DoctorOptions};
use dormouse_server::{
    CgroupChoice, ClientCerts, LocalClone, OidcSettings, Ready, ServerConfig, WalSource, Wanted, Ways,
};

use crate::commands::Context;
use crate::commands::doctor::{Doctor, Finding, Level};
use crate::commands::recover::{Branch, Problem, Project, Recover, Recovered};
use crate::commands::up::{self as words, Announcement, Cgroup, LogFormat, TlsClientCert, Up};
use crate::error::Error;
use crate::place;
use crate::timeout::Timeout;
use crate::ui::Ui;

/// What is logged when DORMOUSE_LOG says nothing: all that matters to a log, but on a terminal only
/// what a person should look at.
const DEFAULT_LOG_FILTER: (&str, &str) = ("info,rustls=error", "warn,rustls=error");

/// What a command logs that does its work and ends: its own words say the rest.
const QUIET_LOG_FILTER: &str = "error";

/// The idle time that `--idle-timeout 0` means.
const DEFAULT_IDLE: Duration = Duration::from_secs(300);

/// Runs the server until a signal asks it to stop.
pub(crate) fn up(args: Up, cx: Context) -> Result<(), Error> {
    telemetry::start_logging(
        match args.log_format {
            LogFormat::Text => telemetry::LogFormat::Text,
            LogFormat::Json => telemetry::LogFormat::Json,
        },
        if std::io::stderr().is_terminal() { DEFAULT_LOG_FILTER.1 } else { DEFAULT_LOG_FILTER.0 },
    );
    failpoint::arm_from_environment().map_err(Error::usage)?;
    let ui = cx.ui;
    let progress = ui.progress("Starting (the first start prepares a database template)");
    let config = config(args, place::data_directory(cx.data)?);
    config.oidc.as_ref().map_or(Ok(()), OidcSettings::check).map_err(Error::usage)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failed("cannot start the server").because(error))?
        .block_on(dormouse_server::run(config, move |ready| {
            drop(progress);
            announce(&ready, ui);
        }))
        .map_err(|error| Error::failed("the server cannot go on").because(error))
}

/// A server goes on when nobody reads what it says.
fn announce(ready: &Ready, ui: Ui) {
    let project = ready.project.as_ref();
    let announcement = Announcement {
        project_id: project.map(|p| p.project_id.as_str()),
        branch: project.map(|p| p.branch.as_str()),
        connection_string: project.map(|p| p.connection_string.expose().as_str()),
        pooled_connection_string: project.map(|p| p.pooled_connection_string.expose().as_str()),
        api: &ready.api,
        api_key: ready.api_key.expose(),
        console: &ready.console,
        console_link: ready.console_link.as_ref().map(|link| link.expose().as_str()),
    };
    if let Err(error) = announcement.print(ui) {
        ui.error(&error);
    }
}

fn config(args: Up, data: PathBuf) -> ServerConfig {
    ServerConfig {
        data,
        pg_listen: SocketAddr::new(args.listen, args.pg_port),
        http_listen: SocketAddr::new(args.listen, args.http_port),
        pg_dir: args.pg_dir,
        domain: args.domain,
        client_certs: args.client_certs.tls_client_ca.map(|ca| ClientCerts {
            ca,
            wanted: match args.client_certs.tls_client_cert {
                TlsClientCert::Optional => Wanted::Optional,
                TlsClientCert::Required => Wanted::Required,
            },
            names: args.client_certs.tls_client_map,
        }),
        max_conn_rate: args.max_conn_rate,
        pool_settings: args.pool_setting,
        idle_timeout: idle(args.idle_timeout),
        pause_timeout: pause(args.pause_timeout),
        compute_user: args.compute_user,
        cgroup: match args.cgroup {
            Cgroup::Auto => CgroupChoice::Auto,
            Cgroup::V2 => CgroupChoice::V2,
            Cgroup::V1 => CgroupChoice::V1,
            Cgroup::Off => CgroupChoice::Off,
        },
        oidc: args.oidc.oidc_issuer.zip(args.oidc.oidc_audience).map(|(issuer, audience)| OidcSettings {
            issuer,
            audience,
            subjects: args.oidc.oidc_subject,
        }),
        store: args.store,
        price_sheets: args.price_sheet,
        keep_computes: args.keep_computes,
        takeover: args.takeover.takeover,
        takeover_limit: Duration::from_secs(
            u64::try_from(args.takeover.takeover_limit.0).unwrap_or_default(),
        ),
        ways: Ways {
            local_clone: match args.local_clone {
                words::LocalClone::Auto => LocalClone::Auto,
                words::LocalClone::Always => LocalClone::Always,
                words::LocalClone::Never => LocalClone::Never,
            },
            wal_source: match args.wal_source {
                words::WalSource::Files => WalSource::Files,
                words::WalSource::Stream => WalSource::Stream,
            },
        },
    }
}

/// `None` = never sleep.
fn idle(timeout: Timeout) -> Option<Duration> {
    match timeout.0 {
        0 => Some(DEFAULT_IDLE),
        seconds => u64::try_from(seconds).ok().map(Duration::from_secs),
    }
}

fn pause(timeout: Timeout) -> PauseTimeout {
    match u64::try_from(timeout.0) {
        Ok(0) => PauseTimeout::Skip,
        Ok(seconds) => PauseTimeout::After(Duration::from_secs(seconds)),
        Err(_negative) => PauseTimeout::Forever,
    }
}

/// Makes a new data directory from a store.
pub(crate) fn recover(args: &Recover, cx: &Context) -> Result<Recovered, Error> {
    telemetry::start_logging(telemetry::LogFormat::Text, QUIET_LOG_FILTER);
    let data = place::data_directory(cx.data.clone())?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failed("cannot start").because(error))?
        .block_on(dormouse_server::recover::recover(&data, &args.store))
        .map(recovered)
        .map_err(|error| Error::failed("nothing was recovered").because(error))
}

fn recovered(made: dormouse_server::recover::Recovered) -> Recovered {
    let branch = |branch: dormouse_server::recover::RecoveredBranch| Branch {
        id: branch.id.to_string(),
        name: branch.name,
        endpoints: branch.endpoints.iter().map(ToString::to_string).collect(),
        restorable_lsn: (branch.restorable != Lsn::ZERO).then(|| branch.restorable.to_string()),
    };
    let projects = made.projects.into_iter().map(|project| Project {
        id: project.id.to_string(),
        name: project.name,
        pg_version: project.pg_version,
        branches: project.branches.into_iter().map(branch).collect(),
    });
    let problems = made.problems.into_iter().map(|problem| Problem { what: problem.what, why: problem.why });
    Recovered { projects: projects.collect(), problems: problems.collect() }
}

/// Looks at this machine.
pub(crate) fn examine(args: Doctor, cx: &Context) -> Result<Vec<Finding>, Error> {
    let data = place::data_directory(cx.data.clone())?;
    let findings = doctor::examine(&DoctorOptions { data, pg_dir: args.pg_dir });
    Ok(findings.into_iter().map(finding).collect())
}

fn finding(found: doctor::Finding) -> Finding {
    let level = match found.level {
        doctor::Level::Ok => Level::Ok,
        doctor::Level::Note => Level::Note,
        doctor::Level::Warn => Level::Warn,
        doctor::Level::Fail => Level::Fail,
    };
    Finding { area: found.area, level, what: found.what, advice: found.advice }
}

/// The directories of programs of the installations that the server would use.
pub(crate) fn installation_directories() -> Vec<PathBuf> {
    Installations::discover(&[]).iter().map(|installation| installation.bin.clone()).collect()
}

/// The newest `psql` among the installations that the server would use.
pub(crate) fn psql_of_installation() -> Option<PathBuf> {
    let installations = Installations::discover(&[]);
    let mut programs: Vec<PathBuf> =
        installations.iter().map(|installation| installation.bin.join("psql")).collect();
    programs.reverse();
    programs.into_iter().find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_rate_is_the_servers() {
        assert_eq!(crate::commands::up::DEFAULT_CONN_RATE, dormouse_server::DEFAULT_CONN_RATE);
    }

    #[test]
    fn special_timeouts() {
        assert_eq!(idle(Timeout(0)), Some(DEFAULT_IDLE));
        assert_eq!(idle(Timeout(60)), Some(Duration::from_secs(60)));
        assert_eq!(idle(Timeout(-1)), None);
        assert_eq!(pause(Timeout(0)), PauseTimeout::Skip);
        assert_eq!(pause(Timeout(60)), PauseTimeout::After(Duration::from_secs(60)));
        assert_eq!(pause(Timeout(-1)), PauseTimeout::Forever);
    }
}

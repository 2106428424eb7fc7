//! `dormouse psql`: becomes `psql`, connected to a branch.
//!
//! The password travels in the environment, which only the same user can read; arguments are for
//! everybody's eyes. What to run is a plain value ([`Plan`]), so that tests can look at it.

use std::env;
use std::ffi::OsString;
use std::net::ToSocketAddrs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_base::Secret;
use percent_encoding::percent_decode_str;
use url::Url;

use super::connection_string::{Login, fetch};
use super::{Context, wait};
use crate::args::{InProject, name};
use crate::error::Error;

#[cfg(test)]
mod tests;

/// Names below this domain are this machine (RFC 6761), also where no resolver knows it.
const LOCAL_DOMAIN: &str = ".localhost";

/// Connect to a branch with psql
#[derive(Debug, clap::Args)]
pub(crate) struct Psql {
    /// The branch, by ID or name, or PROJECT/BRANCH [default: the default branch].
    #[arg(value_parser = name)]
    branch: Option<String>,

    /// Connect through the transaction pool.
    #[arg(long)]
    pooled: bool,

    #[command(flatten)]
    login: Login,

    #[command(flatten)]
    of: InProject,

    /// Arguments for psql, such as `-- -c "select 1"`.
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

pub(crate) fn run(args: &Psql, cx: &Context) -> Result<(), Error> {
    let program = find_program(env::var_os("PATH").as_deref())?;
    let session = cx.session()?;
    let reply =
        wait(fetch(&session, args.of.project.as_deref(), args.branch.as_deref(), &args.login, args.pooled))?;
    let plan = plan(&reply.uri, resolves)?;
    let mut command = Command::new(&program);
    if let Some(password) = &plan.password {
        command.env("PGPASSWORD", password.expose());
    }
    if plan.needs_loopback {
        command.env("PGHOSTADDR", "127.0.0.1");
    }
    let failed = command.arg(&plan.connection).args(&args.args).exec();
    Err(Error::failed(format!("cannot run {}", program.display())).because(failed))
}

/// What psql gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The connection string without its password.
    pub(super) connection: String,
    /// Goes into `PGPASSWORD`.
    pub(super) password: Option<Secret<String>>,
    /// The host name means this machine, but the system's resolver does not know it.
    pub(super) needs_loopback: bool,
}

pub(super) fn plan(uri: &Secret<String>, resolves: impl Fn(&str, u16) -> bool) -> Result<Plan, Error> {
    // The error must not show the URI: the password is in it.
    let wrong = || Error::failed("the server sent a connection string that this version does not understand");
    let mut url = Url::parse(uri.expose()).map_err(|_| wrong())?;
    let password = match url.password() {
        Some(text) => {
            Some(Secret::new(percent_decode_str(text).decode_utf8().map_err(|_| wrong())?.into_owned()))
        }
        None => None,
    };
    url.set_password(None).map_err(|()| wrong())?;
    let host = url.host_str().ok_or_else(wrong)?;
    let needs_loopback = host.ends_with(LOCAL_DOMAIN) && !resolves(host, url.port().unwrap_or(0));
    Ok(Plan { connection: url.into(), password, needs_loopback })
}

pub(super) fn resolves(host: &str, port: u16) -> bool {
    (host, port).to_socket_addrs().is_ok_and(|mut found| found.next().is_some())
}

/// `psql` on the PATH, else the one of the newest installation.
fn find_program(path: Option<&std::ffi::OsStr>) -> Result<PathBuf, Error> {
    let on_path = path.and_then(|path| {
        env::split_paths(path).map(|directory| directory.join("psql")).find(|file| is_executable(file))
    });
    on_path.or_else(crate::serve::psql_of_installation).ok_or_else(|| {
        Error::failed("there is no psql on this machine")
            .hint(
                "Install PostgreSQL's client tools (on Debian and Ubuntu: `apt install postgresql-client`).",
            )
            .hint("Or give any other client the output of `dormouse connection-string`.")
    })
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

//! `dormouse pool`: a pooler in front of ordinary servers, with PgBouncer's files and options. Starting it is in
//! [`crate::serve`].

use std::path::PathBuf;

use super::Context;
use crate::args::name;
use crate::error::Error;

/// Pool connections to ordinary PostgreSQL servers, in PgBouncer's place
///
/// Reads a `pgbouncer.ini` and its `auth_file`, and stays in the foreground unless it is told `-d`. SIGHUP reads
/// them again, SIGUSR1 pauses, SIGUSR2 resumes, SIGINT ends it when nothing runs any more, SIGTERM when nobody is
/// connected any more, SIGQUIT at once. What differs from PgBouncer is in docs/reference/pgbouncer.md.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only a server reads its options"))]
pub(crate) struct Pool {
    /// The configuration: a `pgbouncer.ini`.
    #[arg(value_name = "FILE", required_unless_present_any = ["config", "version"], conflicts_with = "config")]
    pub(crate) file: Option<PathBuf>,

    /// The same, as an option.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Go to the background when it is ready; needs `pidfile` in the configuration, and logs to its `logfile` or `syslog`.
    #[arg(long, short)]
    pub(crate) daemon: bool,

    /// Log to the file only, not to standard error.
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// Log more. Repeatable.
    #[arg(long, short, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Run as this user, when started by root.
    #[arg(long, short, value_name = "USER", value_parser = name)]
    pub(crate) user: Option<String>,

    /// Take sockets and clients over from the pooler that runs with this configuration, which ends when nobody is left.
    #[arg(long, short = 'R')]
    pub(crate) reboot: bool,

    /// Print which PgBouncer this stands in for.
    #[arg(long, short = 'V')]
    pub(crate) version: bool,

    /// It has been started by itself, as who and how it is to run.
    #[arg(long, hide = true)]
    pub(crate) child: bool,
}

pub(crate) fn run(args: &Pool, cx: &Context) -> Result<(), Error> {
    crate::serve::pool(args, cx)
}

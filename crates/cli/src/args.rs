//! The command line: what can be typed. The doc comments are the help texts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::ui::Format;

#[cfg(test)]
mod tests;

/// PostgreSQL that sleeps when nobody works and wakes on the next connection.
///
/// `dormouse up` starts a server; every other command talks to one. The server is found by
/// `--data`, else by DORMOUSE_API_HOST and DORMOUSE_API_KEY, else in the default data directory.
#[derive(Debug, Parser)]
#[command(name = "dormouse", version, propagate_version = false, disable_help_subcommand = true)]
#[command(after_help = EXITS)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXITS: &str = "Exit status: 0 done, 1 failed, 2 wrong command line or value, 3 does not exist, \
                     4 server cannot be reached, 5 not allowed.";

const GLOBAL: &str = "Options of every command";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The server's data directory.
    ///
    /// Without it: $DORMOUSE_DATA, else /var/lib/dormouse/data for root, else
    /// ~/.local/share/dormouse/data.
    #[arg(long, global = true, value_name = "DIR", help_heading = GLOBAL)]
    pub(crate) data: Option<PathBuf>,

    /// How data is printed on standard output.
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = GLOBAL)]
    pub(crate) output: Format,
}

/// Which project is meant.
#[derive(Debug, Args)]
pub(crate) struct InProject {
    /// The project, by ID or name [default: the only one, or the one named `default`].
    #[arg(long, value_name = "PROJECT", value_parser = name)]
    pub(crate) project: Option<String>,
}

/// Which branch is meant.
#[derive(Debug, Args)]
pub(crate) struct OnBranch {
    #[command(flatten)]
    pub(crate) of: InProject,

    /// The branch, by ID or name [default: the project's default branch].
    #[arg(long, value_name = "BRANCH", value_parser = name)]
    pub(crate) branch: Option<String>,
}

/// Consent given beforehand.
#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Do it without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(commands::up::Up),
    Status(commands::status::Status),
    Doctor(commands::doctor::Doctor),
    Psql(commands::psql::Psql),
    ConnectionString(commands::connection_string::ConnectionString),
    Console(commands::console::Console),
    Init(commands::init::Init),
    #[command(subcommand)]
    Project(commands::project::Project),
    Import(Box<commands::import::Import>),
    #[command(subcommand)]
    Branch(commands::branch::Branch),
    #[command(subcommand)]
    Snapshot(commands::snapshot::Snapshot),
    #[command(subcommand)]
    Endpoint(commands::endpoint::Endpoint),
    #[command(subcommand)]
    Role(commands::role::Role),
    #[command(subcommand)]
    Database(commands::database::Database),
    #[command(subcommand)]
    Pooler(commands::pooler::Pooler),
    #[command(subcommand)]
    IpAllow(commands::ip_allow::IpAllow),
    #[command(subcommand)]
    Auth(commands::auth::Auth),
    #[command(subcommand)]
    ApiKey(commands::api_key::ApiKey),
    Usage(commands::usage::Usage),
    #[command(subcommand)]
    Quota(commands::quota::Quota),
    Audit(commands::audit::Audit),
    Statistics(commands::statistics::Arguments),
    #[command(subcommand)]
    Alert(commands::alert::Alert),
    Cost(commands::cost::Cost),
    #[command(subcommand)]
    Operation(commands::operation::Operation),
    Storage(commands::storage::Storage),
    Fsck(commands::fsck::Fsck),
    Gc(commands::gc::Gc),
    Recover(commands::recover::Recover),
    Pool(commands::pool::Pool),
    Completion(commands::completion::Completion),
    #[command(name = "__reference", hide = true)]
    Reference,
}

/// The file name by which the program is `dormouse pool`: a link of this name takes PgBouncer's place where nothing but
/// the path of a program can be set.
const PGBOUNCER: &str = "pgbouncer";

/// The command line, with what the program's own name adds to it.
pub(crate) fn called(mut arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let own = arguments.next();
    let is_pgbouncer =
        own.as_deref().is_some_and(|own| Path::new(own).file_name() == Some(PGBOUNCER.as_ref()));
    let first = if is_pgbouncer { vec!["dormouse".into(), "pool".into()] } else { own.into_iter().collect() };
    first.into_iter().chain(arguments)
}

/// A name that can stand in an address: `.` and `..` cannot, an empty one names nothing.
pub(crate) fn name(text: &str) -> Result<String, String> {
    match text {
        "" => Err("a name is not empty".into()),
        "." | ".." => Err(format!("`{text}` is not a name")),
        _ => Ok(text.to_owned()),
    }
}

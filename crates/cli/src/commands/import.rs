//! `dormouse import`: a project from a database that exists elsewhere.
//!
//! ```text
//!  postgresql://…   checks ──► project ──► for each database: dump ──► restore ──► compare ──► report
//!  /path/to/data    the server copies the directory                ([`directory`])
//! ```
//!
//! The work on a running source is done by PostgreSQL's own programs, found by [`tools`]: they speak
//! every option of every address and every version's catalogs. [`address`] keeps passwords out of
//! their arguments, [`program`] runs them so that an interrupt ends them, [`psql`] asks questions.
//! [`source`] and [`target`] are the two ends, [`transfer`] is between them (in the [`order`] that keeps
//! complaints readable), [`verify`] compares. What a dump of a database does not say of it is in [`locale`] and
//! [`settings`].
//!
//! A new check belongs to [`plan`], before anything is made, or to [`check`], when it needs the target.

use std::path::PathBuf;

use super::Context;
use crate::args::name;
use crate::error::Error;

mod address;
mod check;
mod databases;
mod directory;
mod failures;
mod locale;
mod order;
mod plan;
mod program;
mod psql;
mod report;
mod roles;
mod scratch;
mod server;
mod settings;
mod source;
mod target;
mod tools;
mod transfer;
mod verify;

/// The most connections that `--jobs` opens to either side.
const MAX_JOBS: i64 = 64;

/// Make a project from an existing database
///
/// SOURCE is the address of a running PostgreSQL, such as `postgresql://ann@db.example.com/shop`, or
/// the data directory of a stopped one on the server's machine.
///
/// From an address, the database that it names is imported; without one (or with `postgres`) all are.
/// The source is only read. PostgreSQL's client programs (pg_dump, pg_restore, psql) must be
/// installed, at least as new as the source; `scripts/postgres --extras` brings some. Everything
/// belongs to the project's owner afterwards, unless `--roles` is given.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Address or data directory.
    #[arg(value_name = "SOURCE")]
    source: String,

    /// The project's name [default: that of the database, if it is one].
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,

    /// PostgreSQL major version [default: the source's, else the next newer installed].
    #[arg(long, value_name = "VERSION")]
    pg_version: Option<u16>,

    /// A database to import, `SOURCE` or `SOURCE=NEWNAME`; can be repeated.
    #[arg(long = "database", value_name = "DATABASE")]
    databases: Vec<String>,

    /// How many tables are copied at the same time [default: the processors, at most 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_JOBS))]
    jobs: Option<u16>,

    /// Import into this project, by ID or name, instead of making one.
    #[arg(long, value_name = "PROJECT", value_parser = name)]
    into: Option<String>,

    /// With `--into`: remove databases of the same names first, with everything in them.
    #[arg(long, requires = "into")]
    clean: bool,

    /// Import definitions only, no rows.
    #[arg(long)]
    schema_only: bool,

    /// Make the source's roles, with new passwords, and keep what belongs to them and their rights.
    #[arg(long)]
    roles: bool,

    /// Where the server does not have the source's locale, import under its own: text is sorted differently.
    #[arg(long)]
    any_locale: bool,

    /// Do not compare rows and sequences at the end.
    #[arg(long)]
    no_verify: bool,

    /// Where the dump is kept meanwhile [default: the system's directory for temporary files].
    #[arg(long, value_name = "DIR")]
    temp: Option<PathBuf>,

    /// Use pg_dump, pg_restore and psql of this directory only.
    #[arg(long, value_name = "DIR")]
    tools: Option<PathBuf>,

    /// From a directory: the role that gets what the old superuser had [default: app_owner].
    #[arg(long, value_name = "ROLE", value_parser = name)]
    owner: Option<String>,
}

pub(crate) async fn run(args: Import, cx: &Context) -> Result<(), Error> {
    if address::is_address(&args.source) {
        if args.owner.is_some() {
            return Err(Error::usage("`--owner` is for data directories")
                .hint("Here everything belongs to the project's owner role; see `--roles`."));
        }
        return program::interruptible(server::run(&args, cx)).await;
    }
    if args.source.contains("://") {
        return Err(Error::usage("this is not an address of PostgreSQL")
            .hint("Write it like `postgresql://user@host:5432/database`."));
    }
    directory::run(&args, cx).await
}

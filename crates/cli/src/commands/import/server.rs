//! From a running server: checks, then one database after the other.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use super::address::Address;
use super::check::Making;
use super::databases::{self, Pair};
use super::program::Login;
use super::psql::{self, Psql};
use super::report::{Done, Report};
use super::scratch::Scratch;
use super::source::{Contents, Facts, Party};
use super::target::Target;
use super::tools::{self, Tools};
use super::transfer::Transfer;
use super::verify::{self, Counts};
use super::{Import, plan, report, roles, settings};
use crate::commands::Context;
use crate::error::{Class, Error};

/// The most tables at a time when nobody says.
const DEFAULT_JOBS: usize = 4;

/// What is known of the source.
pub(super) struct Source {
    address: Address,
    facts: Facts,
    /// What comes over, and what is in it.
    pub(super) databases: Vec<(Pair, Contents)>,
}

impl Source {
    fn login(address: &Address, database: &str) -> Login {
        Login {
            connection: address.connection(database),
            password: address.password.clone(),
            needs_loopback: false,
            ours: false,
        }
    }

    async fn ask(address: Address, args: &Import, tools: &[Tools], scratch: &Path) -> Result<Self, Error> {
        let newest = tools.iter().max_by_key(|tools| tools.major).ok_or_else(|| {
            Error::failed("there is no pg_dump, pg_restore and psql on this machine")
                .hint("`scripts/postgres --extras` brings those of PostgreSQL 16 and 18.")
                .hint("Or install them with the system's package manager (on Debian: `apt install postgresql-client`).")
        })?;
        let first = address
            .database
            .clone()
            .or_else(|| args.databases.first().and_then(|d| d.split('=').next()).map(str::to_owned));
        let first = first.unwrap_or_else(|| databases::MAINTENANCE.to_owned());
        let mut session = Psql::open(newest, &Self::login(&address, &first), "source", scratch).await?;
        let facts = Facts::ask(&mut session).await?;
        let pairs = databases::choose(&facts.databases, &args.databases, address.database.as_deref())?;
        let mut found = Vec::new();
        for pair in pairs {
            let mut session =
                Psql::open(newest, &Self::login(&address, &pair.source), "source", scratch).await?;
            found.push((pair, Contents::ask(&mut session).await?));
        }
        Ok(Self { address, facts, databases: found })
    }

    fn parties(&self) -> Vec<&Party> {
        roles::wanted(self.databases.iter().flat_map(|(_, contents)| &contents.parties))
    }
}

/// Imports from an address.
pub(super) async fn run(args: &Import, cx: &Context) -> Result<(), Error> {
    let address = Address::parse(&args.source)?;
    let all_tools = tools::find(args.tools.as_deref())?;
    let scratch = Scratch::new(args.temp.as_deref())?;
    let progress = cx.ui.progress("Looking at the source");
    let source = Source::ask(address, args, &all_tools, scratch.path()).await?;
    let major = source.facts.major();
    let versions = plan::versions(major, args.pg_version)?;
    tools::check(&all_tools, major)?;
    if !args.schema_only {
        scratch.room_for(source.databases.iter().map(|(_, contents)| contents.bytes()).max().unwrap_or(0))?;
    }
    drop(progress);
    let target = find_target(args, cx, &source, &versions).await?;
    let tools = tools::choose(&all_tools, major, target.project.pg_version)?;
    let run = Run { args, cx, source: &source, target: &target, tools, scratch: scratch.path() };
    let makings = match run.check().await {
        Ok(makings) => makings,
        Err(error) => {
            target.take_back().await;
            return Err(error);
        }
    };
    run.summary();
    run.all(&makings).await.map_err(|error| target.how_to_go_on(error))
}

async fn find_target(
    args: &Import,
    cx: &Context,
    source: &Source,
    versions: &[u16],
) -> Result<Target, Error> {
    let session = cx.session()?;
    if let Some(given) = &args.into {
        return Target::existing(session, given, versions).await;
    }
    let progress = cx.ui.progress("Making the project");
    let only = match source.databases.as_slice() {
        [(pair, _)] => Some(pair.target.clone()),
        _ => None,
    };
    let Some((first, _)) = source.databases.first() else {
        return Err(Error::not_found("there is nothing to import"));
    };
    let made = Target::make(session, args.name.clone().or(only), versions, first).await;
    drop(progress);
    made
}

/// One import.
pub(super) struct Run<'a> {
    pub(super) args: &'a Import,
    cx: &'a Context,
    pub(super) source: &'a Source,
    pub(super) target: &'a Target,
    pub(super) tools: &'a Tools,
    pub(super) scratch: &'a Path,
}

impl Run<'_> {
    /// Tells what is about to happen.
    fn summary(&self) {
        let tables: usize = self.source.databases.iter().map(|(_, contents)| contents.tables.len()).sum();
        let bytes: u64 = self.source.databases.iter().map(|(_, contents)| contents.bytes()).sum();
        let project = &self.target.project;
        self.cx.ui.note(&format!(
            "Importing {} database(s) with {tables} tables ({} MiB) from PostgreSQL {} at {} into project `{}` ({}, PostgreSQL {}), with the programs of {}.",
            self.source.databases.len(),
            bytes >> 20,
            self.source.facts.version,
            self.source.address.shown(),
            project.name,
            project.id,
            project.pg_version,
            self.tools.directory.display()
        ));
        let parties = self.source.parties();
        if !self.args.roles && parties.len() > 1 {
            let names: Vec<&str> = parties.iter().map(|party| party.name.as_str()).collect();
            self.cx.ui.note(&format!(
                "Objects belong to or are shared with {}: all of it will be `{}`'s (see `--roles`).",
                names.join(", "),
                self.target.owner
            ));
        }
    }

    async fn all(&self, makings: &[Making]) -> Result<(), Error> {
        let project = &self.target.project;
        let mut report = Report {
            project_id: project.id.to_string(),
            project: project.name.clone(),
            pg_version: project.pg_version,
            databases: Vec::new(),
            notes: Vec::new(),
        };
        if self.args.roles {
            let made = roles::make(self.target, &self.source.parties()).await?;
            if !made.is_empty() {
                report.notes.push(format!(
                    "new roles, with new passwords (`dormouse role reveal`): {}",
                    made.join(", ")
                ));
            }
        }
        for ((pair, contents), making) in self.source.databases.iter().zip(makings) {
            self.one((pair, making), contents, &mut report).await?;
        }
        for note in &report.notes {
            self.cx.ui.note(&format!("note: {note}"));
        }
        self.cx.ui.show(&report, Report::table)
    }

    async fn one(
        &self,
        (pair, making): (&Pair, &Making),
        contents: &Contents,
        report: &mut Report,
    ) -> Result<(), Error> {
        let name = &pair.target;
        self.target.database(name, making).await?;
        report.notes.extend(making.notes.iter().map(|note| format!("`{name}`: {note}")));
        let dump = self.scratch.join("dump");
        let transfer = Transfer {
            ui: self.cx.ui,
            tools: self.tools,
            jobs: self.jobs(),
            schema_only: self.args.schema_only,
            roles: self.args.roles,
            dump: &dump,
        };
        let (counts, after) = self.read(pair, contents, &transfer).await?;
        let login = self.target.login(name).await?;
        let parties = if self.args.roles { self.source.parties() } else { Vec::new() };
        let mut session = Psql::open(self.tools, &login, "target", self.scratch).await?;
        roles::may_create(&mut session, name, &parties, true).await?;
        let restored = transfer.restore(&login, contents, name).await;
        roles::may_create(&mut session, name, &parties, false).await?;
        remove(&dump)?;
        let (notes, fatal) = restored?;
        report.notes.extend(notes.iter().map(|note| format!("`{name}`: stays behind: {}", note.shown())));
        let differences = match &counts {
            Some(source) => {
                let progress = self.cx.ui.progress("Comparing");
                let here = Contents::ask(&mut session).await?;
                // Only what should be there: an extension's tables are its own.
                let here = Counts::ask(&mut session, &here, !self.args.schema_only).await?;
                drop(progress);
                verify::differences(source, &after, &here)
            }
            None => Vec::new(),
        };
        if !fatal.is_empty() || !differences.is_empty() {
            return Err(report::incomplete(name, &fatal, &differences, self.args.temp.as_deref()));
        }
        report.notes.extend(self.settings(name, contents).await?);
        let rows =
            counts.as_ref().filter(|_| !self.args.schema_only).map(|counts| counts.rows.values().sum());
        report.databases.push(Done {
            source: pair.source.clone(),
            name: name.clone(),
            tables: contents.tables.len(),
            rows,
            sequences: contents.sequences.len(),
            verified: counts.is_some(),
            connection_uri: self.target.uri(name).await?,
        });
        Ok(())
    }

    /// Sets what the source has set for the database, at the end, because it counts for every session from then
    /// on. Returns what stays behind.
    async fn settings(&self, name: &str, contents: &Contents) -> Result<Vec<String>, Error> {
        let parties = if self.args.roles { self.source.parties() } else { Vec::new() };
        let roles: Vec<&str> = parties.iter().map(|party| party.name.as_str()).collect();
        let mut notes = Vec::new();
        let mut note = |what: &str, why: &str| notes.push(format!("`{name}`: stays behind: {what} [{why}]"));
        let mut open = None;
        for step in settings::steps(&contents.settings, name, &roles) {
            let sql = match &step.sql {
                Ok(sql) => sql,
                Err(why) => {
                    note(&step.shown, why);
                    continue;
                }
            };
            let mut session = match open.take() {
                Some(session) => session,
                None => self.session(name).await?,
            };
            match session.rows(sql).await {
                Ok(_) => open = Some(session),
                Err(error) if error.class() == Class::Unreachable => return Err(error),
                // The session has ended with it.
                Err(error) => note(&step.shown, psql::words(&error.to_string())),
            }
        }
        Ok(notes)
    }

    /// Dumps, and counts in the same snapshot. Returns the counts and where sequences were afterwards.
    async fn read(
        &self,
        pair: &Pair,
        contents: &Contents,
        transfer: &Transfer<'_>,
    ) -> Result<(Option<Counts>, std::collections::BTreeMap<String, (i64, bool)>), Error> {
        let login = Source::login(&self.source.address, &pair.source);
        let mut session = Psql::open(self.tools, &login, "source", self.scratch).await?;
        session.rows("SET search_path = pg_catalog; SET row_security = off").await?;
        session.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let snapshot = session.rows("SELECT pg_catalog.pg_export_snapshot()").await?.concat();
        let verify = !self.args.no_verify;
        let mut counts = None;
        if verify {
            let progress = self.cx.ui.progress("Counting");
            // What was made or removed since the first look does not matter, but must not end this.
            let mut now = Contents::ask(&mut session).await?;
            if self.args.schema_only {
                // Nothing of these comes over.
                (now.sequences, now.large) = (Vec::new(), 0);
                now.tables.retain(|table| !table.materialized);
            }
            counts = Some(Counts::ask(&mut session, &now, !self.args.schema_only).await?);
            drop(progress);
        }
        transfer.dump(&login, contents, &snapshot, &pair.source).await?;
        let after = match (&counts, self.args.schema_only) {
            (Some(_), false) => verify::sequences(&mut session, contents).await?,
            _ => std::collections::BTreeMap::new(),
        };
        Ok((counts, after))
    }

    fn jobs(&self) -> u16 {
        let processors = available_parallelism().map_or(1, NonZero::get).min(DEFAULT_JOBS);
        self.args.jobs.or_else(|| u16::try_from(processors).ok()).unwrap_or(1)
    }
}

fn remove(dump: &PathBuf) -> Result<(), Error> {
    fs::remove_dir_all(dump)
        .map_err(|error| Error::failed(format!("cannot remove {}", dump.display())).because(error))
}

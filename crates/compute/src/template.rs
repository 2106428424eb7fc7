//! The pristine cluster that new projects are copied from.
//!
//! `initdb` takes half a second to a second of processor time, so it never runs while somebody
//! waits: it runs once for each PostgreSQL version, and its result is copied. The owner role and the
//! first database are made here too, in single-user mode, so that the first start of a new project
//! has (almost) nothing left to do.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{WaitId, WaitIdOptions};

use crate::postgres::discover::Installation;
use crate::postgres::{ADMIN_DATABASE, SUPERUSER};
use crate::sandbox::identity::Identity;
use crate::sandbox::spawn;

/// What the template contains beside PostgreSQL's own objects. Names are chosen by the product, not
/// by users, and must be plain identifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// The owner role: may do what a platform's user expects, is not a superuser.
    pub owner: String,
    /// The first database.
    pub database: String,
}

/// Why a template could not be built.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A file could not be made.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {0}")]
    Start(&'static str, #[source] spawn::SpawnError),
    /// A program failed.
    #[error("{program} failed: {output}")]
    Failed {
        /// `initdb` or `postgres`.
        program: &'static str,
        /// The end of what it printed.
        output: String,
    },
}

/// Builds a cleanly stopped cluster in `target`, which must not exist. Blocks for 1–2 s.
///
/// # Errors
/// When a file cannot be made or PostgreSQL's programs fail.
pub fn build(
    install: &Installation,
    identity: &Identity,
    target: &Path,
    seed: &Seed,
) -> Result<(), TemplateError> {
    let file = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TemplateError::File { what, path, source }
    };
    fs::create_dir_all(target).map_err(file("create", target))?;
    fs::set_permissions(target, fs::Permissions::from_mode(0o700)).map_err(file("protect", target))?;
    identity.own(target).map_err(file("give away", target))?;

    let initdb = install.bin.join("initdb");
    run("initdb", &initdb, &initdb_args(install.major, target), *identity, "", target)?;
    let settings = target.join("postgresql.conf");
    fs::write(&settings, CONFIGURATION).map_err(file("write", &settings))?;
    let access = target.join("pg_hba.conf");
    fs::write(&access, ACCESS).map_err(file("write", &access))?;
    let single = ["--single", "-j", "-D"].map(String::from).into_iter();
    let args: Vec<String> = single.chain([target.display().to_string(), ADMIN_DATABASE.into()]).collect();
    run("postgres", &install.bin.join("postgres"), &args, *identity, &seed_sql(install.major, seed), target)?;
    Ok(())
}

/// What a compute finds in `postgresql.conf`; everything else comes as arguments at each start.
pub(crate) const CONFIGURATION: &str = "# Dormouse passes its settings as arguments. Use ALTER DATABASE, ALTER ROLE or the project's settings.\n\
    timezone = 'UTC'\nlog_timezone = 'UTC'\ndatestyle = 'iso, mdy'\n\
    default_text_search_config = 'pg_catalog.english'\n";

/// Only the private socket exists, and only the proxy reaches it: it has authenticated the client.
pub(crate) const ACCESS: &str = "# Only the private socket is open, and only Dormouse can reach it.\n\
    local all all trust\nlocal replication all trust\n";

fn initdb_args(major: u16, target: &Path) -> Vec<String> {
    let mut args: Vec<String> =
        ["--auth=trust", "--encoding=UTF8", "--data-checksums", "--no-instructions", "--locale=C.UTF-8"]
            .map(String::from)
            .into();
    args.push(format!("--username={SUPERUSER}"));
    if major >= 17 {
        args.push("--locale-provider=builtin".into());
    }
    args.push("-D".into());
    args.push(target.display().to_string());
    args
}

/// Each statement ends with an empty line: single-user mode with `-j` reads up to `;\n\n`.
fn seed_sql(major: u16, seed: &Seed) -> String {
    let Seed { owner, database } = seed;
    let mut memberships =
        vec!["pg_read_all_data", "pg_write_all_data", "pg_monitor", "pg_signal_backend", "pg_checkpoint"];
    if major >= 16 {
        memberships.push("pg_create_subscription");
    }
    if major >= 17 {
        memberships.push("pg_maintain");
    }
    // Before 16, whoever may create roles may hand out every role, also those that reach the server's
    // files and programs, unless it is a superuser's. Nobody can log in as one of these.
    let guard = if major < 16 {
        "UPDATE pg_catalog.pg_authid SET rolsuper = true WHERE rolname IN \
         ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files');\n\n"
    } else {
        ""
    };
    format!(
        "{guard}CREATE ROLE {owner} LOGIN CREATEDB CREATEROLE BYPASSRLS;\n\n\
         GRANT {} TO {owner} WITH ADMIN OPTION;\n\n\
         CREATE DATABASE {database} OWNER {owner};\n\n",
        memberships.join(", ")
    )
}

/// Runs a program as `identity`, waits for it, and returns what it printed.
pub(crate) fn run(
    name: &'static str,
    program: &Path,
    args: &[String],
    identity: Identity,
    input: &str,
    target: &Path,
) -> Result<String, TemplateError> {
    let file = |source| TemplateError::File { what: "prepare files for", path: target.to_owned(), source };
    let mut output = tempfile::tempfile().map_err(file)?;
    let mut stdin = tempfile::tempfile().map_err(file)?;
    stdin.write_all(input.as_bytes()).and_then(|()| stdin.rewind()).map_err(file)?;
    let text = |bytes: &[u8]| CString::new(bytes).expect("paths and arguments have no NUL");
    let command = spawn::Command {
        program: text(program.as_os_str().as_bytes()),
        args: std::iter::once(text(program.as_os_str().as_bytes()))
            .chain(args.iter().map(|a| text(a.as_bytes())))
            .collect(),
        env: ["PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"].iter().map(|e| text(e.as_bytes())).collect(),
        identity: (!identity.is_current()).then_some(identity),
        stdin: Some(stdin),
        log: output.try_clone().map_err(file)?,
        landlock: None,
        cgroup: None,
        urgent: false,
        private_user: false,
    };
    let started = spawn::start(&command).map_err(|error| TemplateError::Start(name, error))?;
    let pidfd = started.pidfd;
    // A wait that fails shows as a missing status below.
    let _ready = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None);
    let status =
        rustix::process::waitid(WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd)), WaitIdOptions::EXITED);
    if let Some(error) = started.failure.report() {
        return Err(TemplateError::Start(name, error));
    }
    if status.ok().flatten().and_then(|s| s.exit_status()) == Some(0) && !reports_error(&mut output) {
        return Ok(read_all(&mut output));
    }
    Err(TemplateError::Failed { program: name, output: last_lines(&mut output) })
}

/// Single-user mode exits 0 even when a statement failed; its messages tell.
fn reports_error(output: &mut File) -> bool {
    let text = read_all(output);
    text.contains("ERROR:") || text.contains("FATAL:")
}

fn last_lines(output: &mut File) -> String {
    let text = read_all(output);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(6)..].join(" | ")
}

fn read_all(output: &mut File) -> String {
    let mut text = Vec::new();
    // What cannot be read back is an empty message, not another failure.
    let _unreadable = output.rewind().and_then(|()| io::Read::read_to_end(output, &mut text));
    String::from_utf8_lossy(&text).into_owned()
}

//! One file per command. Each has the struct of its arguments, whose doc comments are its help,
//! and a function `run`.

use std::future::Future;
use std::path::PathBuf;

use crate::args::Command;
use crate::connect;
use crate::connect::http::Session;
use crate::error::Error;
use crate::ui::Ui;

pub(crate) mod api_key;
pub(crate) mod alert;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod branch;
pub(crate) mod completion;
pub(crate) mod connection_string;
pub(crate) mod cost;
pub(crate) mod console;
pub(crate) mod database;
pub(crate) mod doctor;
pub(crate) mod endpoint;
pub(crate) mod fsck;
pub(crate) mod gc;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod ip_allow;
pub(crate) mod operation;
pub(crate) mod pool;
pub(crate) mod pooler;
pub(crate) mod project;
pub(crate) mod psql;
pub(crate) mod quota;
pub(crate) mod recover;
pub(crate) mod reference;
pub(crate) mod role;
pub(crate) mod snapshot;
pub(crate) mod statistics;
pub(crate) mod status;
pub(crate) mod storage;
pub(crate) mod up;
pub(crate) mod usage;

/// What every command gets besides its own arguments.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where to print.
    pub(crate) ui: Ui,
    /// `--data`.
    pub(crate) data: Option<PathBuf>,
}

impl Context {
    /// A session with the server that the command line means.
    pub(crate) fn session(&self) -> Result<Session, Error> {
        Session::new(connect::find(self.data.as_deref())?)
    }
}

/// Runs a command.
pub(crate) fn run(command: Command, cx: Context) -> Result<(), Error> {
    match command {
        Command::Up(args) => up::run(args, cx),
        Command::Status(args) => wait(status::run(&args, &cx)),
        Command::Doctor(args) => doctor::run(args, &cx),
        Command::Psql(args) => psql::run(&args, &cx),
        Command::Console(args) => wait(console::run(&args, &cx)),
        Command::ConnectionString(args) => wait(connection_string::run(&args, &cx)),
        Command::Init(args) => wait(init::run(&args, &cx)),
        Command::Project(args) => wait(project::run(args, &cx)),
        Command::Branch(args) => wait(branch::run(args, &cx)),
        Command::Snapshot(args) => wait(snapshot::run(args, &cx)),
        Command::Endpoint(args) => wait(endpoint::run(args, &cx)),
        Command::Role(args) => wait(role::run(args, &cx)),
        Command::Database(args) => wait(database::run(args, &cx)),
        Command::Import(args) => wait(import::run(*args, &cx)),
        Command::Pooler(args) => wait(pooler::run(args, &cx)),
        Command::IpAllow(args) => wait(ip_allow::run(args, &cx)),
        Command::Auth(args) => wait(auth::run(args, &cx)),
        Command::ApiKey(args) => wait(api_key::run(args, &cx)),
        Command::Usage(args) => wait(usage::run(args, &cx)),
        Command::Quota(args) => wait(quota::run(args, &cx)),
        Command::Audit(args) => wait(audit::run(&args, &cx)),
        Command::Statistics(args) => wait(statistics::run(args, &cx)),
        Command::Alert(args) => wait(alert::run(args, &cx)),
        Command::Cost(args) => wait(cost::run(args, &cx)),
        Command::Operation(args) => wait(operation::run(args, &cx)),
        Command::Storage(args) => wait(storage::run(&args, &cx)),
        Command::Fsck(args) => wait(fsck::run(&args, &cx)),
        Command::Gc(args) => wait(gc::run(&args, &cx)),
        Command::Pool(args) => pool::run(&args, &cx),
        Command::Recover(args) => recover::run(&args, &cx),
        Command::Completion(args) => completion::run(&args, &cx),
        Command::Reference => reference::run(&cx),
    }
}

/// Runs the asynchronous part of a command that talks to a server: one thread is plenty.
fn wait<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failed("cannot start").because(error))?
        .block_on(work)
}

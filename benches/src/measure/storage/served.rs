//! A server whose first database has pgbench's tables. Its directory is kept between runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_api::PageQuery;
use dormouse_api::branch::DeleteBranchQuery;
use dormouse_api::client;
use dormouse_base::clock::Mono;
use dormouse_compute::postgres::SUPERUSER;

use super::size::{self, Size};
use crate::error::Error;
use crate::pgbench::{self, Pgbench};
use crate::server::{Compute, Place, Server};
use crate::session::{self, Login};
use crate::{stop, talk};

/// A file that says that the tables are filled.
const FILLED: &str = "filled";

/// Directories with holes are filled within this time; on a slow disk, the figures are then what they are.
const COMPLETE_WITHIN: Duration = Duration::from_secs(300);

/// A spare copy of the template is made within this time after one was used.
const SPARE_WITHIN: Duration = Duration::from_secs(20);

/// The file that directories with holes have.
const HOLES: &str = dormouse_hydrate::layout::HIDDEN_CONTROL;

/// How often the server's directory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Debug)]
pub(super) struct Served {
    /// The server.
    pub(super) server: Server,
    /// Its first endpoint.
    pub(super) place: Place,
    /// A login there, its keys derived.
    pub(super) login: Login,
    /// How large the database is.
    pub(super) size: Size,
    pgbench: Pgbench,
}

impl Served {
    /// Starts the server, each request to whose store takes `latency` longer. Fills the database when it is new,
    /// removes what an interrupted run left. The endpoint is asleep or awake after.
    ///
    /// # Errors
    /// When it does not start or cannot be filled.
    pub(super) fn start(binary: &Path, size: Size, latency: Duration) -> Result<Self, Error> {
        let root = size::cache()?.join(format!("server-scale{}", size.scale));
        let fresh = !root.join(FILLED).is_file();
        if fresh {
            let _left_over = fs::remove_dir_all(&root);
        }
        size::passable(&root)?;
        let faults = format!("latency={}ms", latency.as_millis());
        let faults = (!latency.is_zero()).then_some(("DORMOUSE_STORE_FAULTS", faults));
        let server = Server::start_in(binary, &crate::measure::STAY_AWAKE, faults.as_slice(), &root, None)?;
        let place = server.first_place()?;
        server.give_all(&place)?;
        let login = place.login.salted(place.address, &place.password)?;
        let served = Self { server, place, login, size, pgbench: pgbench::find()? };
        if fresh {
            talk::say(&format!("filling a server's database of {}", size.name));
            served.connect()?;
            served.bench(&["-i", "-q", &format!("-s{}", size.scale)])?;
            served.server.suspend(&served.place)?;
            fs::write(root.join(FILLED), b"").map_err(Error::system("note that a database is filled"))?;
        }
        served.remove_branches()?;
        Ok(served)
    }

    fn remove_branches(&self) -> Result<(), Error> {
        let page = PageQuery::default();
        let branches = self.server.call(&client::branch::list(&self.place.project, &page))?.branches;
        for branch in branches.iter().filter(|branch| !branch.default) {
            self.delete(&branch.id)?;
        }
        Ok(())
    }

    /// Deletes a branch.
    ///
    /// # Errors
    /// When that fails.
    pub(super) fn delete(&self, branch: &dormouse_base::BranchId) -> Result<(), Error> {
        let query = DeleteBranchQuery { recursive: Some(true) };
        let changed = self.server.call(&client::branch::delete(&self.place.project, branch, query))?;
        self.server.finish(&changed.operations)
    }

    /// Wakes the endpoint and gets a row.
    ///
    /// # Errors
    /// When none comes.
    pub(super) fn connect(&self) -> Result<session::Session<std::net::TcpStream>, Error> {
        let mut session = session::over_tcp(self.place.address, &self.login)?;
        session.first_row()?;
        Ok(session)
    }

    /// The running compute.
    ///
    /// # Errors
    /// When it does not run.
    pub(super) fn compute(&self) -> Result<Compute, Error> {
        self.server.compute(&self.place)
    }

    /// Runs pgbench at the compute's own socket.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn bench(&self, arguments: &[&str]) -> Result<String, Error> {
        bench_at(&self.pgbench, &self.compute()?, &self.place, arguments)
    }

    /// Runs SQL at the compute's own socket as the superuser.
    ///
    /// # Errors
    /// When PostgreSQL refuses it.
    pub(super) fn sql(&self, text: &str) -> Result<Option<String>, Error> {
        sql_at(&self.compute()?, &self.place, text)
    }

    /// Sleeps, everything in the store, nothing here.
    ///
    /// # Errors
    /// When something of that does not happen.
    pub(super) fn evict(&self) -> Result<(), Error> {
        self.server.suspend(&self.place)?;
        let call = client::endpoint::evict(&self.place.project, &self.place.id);
        let changed = self.server.call(&call)?;
        self.server.finish(&changed.operations)?;
        if self.directory().exists() {
            return Err(Error::unexpected("an evicted endpoint still has a data directory"));
        }
        self.spare()
    }

    fn directory(&self) -> PathBuf {
        self.server.data().join("computes").join(self.place.id.as_str()).join("data")
    }

    /// Waits until nothing is missing in its directory.
    ///
    /// # Errors
    /// When that takes too long.
    pub(super) fn complete(&self) -> Result<Duration, Error> {
        let start = Mono::now();
        while self.directory().join(HOLES).exists() {
            stop::check()?;
            if start.elapsed() > COMPLETE_WITHIN {
                return Err(Error::unexpected("a directory with holes is not filled"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(start.elapsed())
    }

    /// Waits until a spare copy of the template is there, as on a node that is not in a hurry.
    fn spare(&self) -> Result<(), Error> {
        let start = Mono::now();
        let is_spare = |entry: fs::DirEntry| {
            entry.file_name().to_string_lossy().starts_with("spare-")
                && entry.path().join("PG_VERSION").is_file()
        };
        let templates = self.server.data().join("templates");
        while start.elapsed() < SPARE_WITHIN {
            stop::check()?;
            let entries = fs::read_dir(&templates).map_err(Error::system("look for spares"))?;
            if entries.filter_map(Result::ok).any(is_spare) {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        talk::say("no spare copy of the template; the next start does without");
        Ok(())
    }
}

/// Runs pgbench at a compute's own socket.
///
/// # Errors
/// When it fails.
pub(super) fn bench_at(
    pgbench: &Pgbench,
    compute: &Compute,
    place: &Place,
    arguments: &[&str],
) -> Result<String, Error> {
    let environment = [
        ("PGHOST", socket_dir(compute)?.display().to_string()),
        ("PGUSER", place.login.user.clone()),
        ("PGDATABASE", place.login.database.clone()),
    ];
    let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    pgbench::run(pgbench, &environment, &arguments)
}

/// Runs SQL at a compute's own socket as the superuser.
///
/// # Errors
/// When PostgreSQL refuses it.
pub(super) fn sql_at(compute: &Compute, place: &Place, text: &str) -> Result<Option<String>, Error> {
    let database = place.login.database.clone();
    let login = Login { user: SUPERUSER.to_owned(), database, endpoint: None, password: None };
    let mut session = session::over_unix(&socket_dir(compute)?.join(".s.PGSQL.5432"), &login)?;
    Ok(session.query(text)?.1)
}

fn socket_dir(compute: &Compute) -> Result<&Path, Error> {
    compute.socket_dir().ok_or_else(|| Error::unexpected("the compute has no socket"))
}

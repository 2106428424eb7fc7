//! A cluster with pgbench's tables, started with a compute's settings, and the template it began as.
//!
//! Kept between runs. Its version is the newest that Debian's pgBackRest knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_compute::postgres::discover::{Installation, Installations};
use dormouse_compute::postgres::settings;
use dormouse_compute::spec::{Directory, Mode, PauseTimeout, Spec};
use dormouse_compute::template::{self, Seed};

use super::size::{self, Size};
use crate::bare::{self, Bare, Running};
use crate::error::Error;
use crate::pgbench::{self, Pgbench};
use crate::{session, talk};

/// The newest version that pgBackRest 2.45 knows.
pub(super) const MAJOR: u16 = 15;

/// A file that says that the tables are filled.
const FILLED: &str = "filled";

/// See the module.
#[derive(Debug)]
pub(super) struct Cluster {
    /// The stopped cluster.
    pub(super) bare: Bare,
    /// The stopped cluster that it was copied from before anything was in it.
    pub(super) template: PathBuf,
    /// Its programs.
    pub(super) install: Installation,
    /// Its size.
    pub(super) size: Size,
    _sockets: tempfile::TempDir,
}

/// The installed PostgreSQL of [`MAJOR`].
///
/// # Errors
/// When there is none.
pub(super) fn installation() -> Result<Installation, Error> {
    let found = Installations::discover(&[]).get(MAJOR).cloned();
    found.ok_or_else(|| Error::unexpected(format!("PostgreSQL {MAJOR} is not installed: run scripts/setup")))
}

/// What a compute of this PostgreSQL is started with.
pub(super) fn arguments(install: &Installation) -> Vec<String> {
    let id = "bench-bench-aaaaaaaa";
    let spec = Spec {
        endpoint: format!("ep-{id}").parse().expect("an endpoint"),
        project: id.parse().expect("a project"),
        branch: format!("br-{id}").parse().expect("a branch"),
        mode: Mode::ReadWrite,
        pinned: None,
        pg_major: MAJOR,
        slot: 0,
        idle_timeout: None,
        pause_timeout: PauseTimeout::Skip,
        size: dormouse_compute::limits::Bounds::default(),
        prewarm: false,
        max_connections: 100,
        preload: Vec::new(),
        settings: Vec::new(),
    };
    // The paths are replaced at each start.
    let installed = settings::Installed { libraries: &[], lz4: install.lz4 };
    settings::arguments(&spec, &Directory::plain(PathBuf::new()), Path::new("/"), installed, false)
}

impl Cluster {
    /// The cluster of this size; made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn get(size: Size) -> Result<Self, Error> {
        let install = installation()?;
        let root = size::cache()?.join(format!("pg{MAJOR}-scale{}", size.scale));
        let sockets = crate::measure::storm::passable_dir()?;
        let bare = Bare::at(&install, arguments(&install), &root, &sockets.path().join("s"))?;
        bare.make_socket_dir()?;
        let template = root.join("template");
        let cluster = Self { bare, template, install, size, _sockets: sockets };
        if !root.join(FILLED).is_file() {
            talk::say(&format!("making a database of {}", size.name));
            let _left_over = fs::remove_dir_all(&root);
            size::passable(&root)?;
            cluster.fill()?;
            fs::write(root.join(FILLED), b"").map_err(Error::system("note that a cluster is filled"))?;
        }
        // A run that was interrupted leaves it as after a crash.
        cluster.bare.boot()?.stop()?;
        Ok(cluster)
    }

    fn fill(&self) -> Result<(), Error> {
        let seed = Seed { owner: bare::SEED.0.to_owned(), database: bare::SEED.1.to_owned() };
        template::build(&self.install, &self.bare.identity(), &self.template, &seed)
            .map_err(|e| Error::unexpected(dormouse_base::with_causes(&e)))?;
        copy(&self.template, &self.bare.data())?;
        let running = self.bare.boot()?;
        bench(&pgbench::find()?, &self.bare, &["-i", "-q", &format!("-s{}", self.size.scale)])?;
        sql(&running, "VACUUM; CHECKPOINT")?;
        running.stop()
    }

    /// Bytes of its files; its WAL, which nobody copies of a stopped cluster, does not count.
    pub(super) fn bytes(&self) -> u64 {
        let below = |path: PathBuf| crate::tool::bytes_below(&path);
        below(self.bare.data()).saturating_sub(below(self.bare.data().join("pg_wal")))
    }
}

/// Copies a stopped cluster.
///
/// # Errors
/// When it cannot be copied.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().map_err(Error::system("run cp"))?;
    if copied.success() { Ok(()) } else { Err(Error::unexpected("a cluster cannot be copied")) }
}

/// Runs SQL as the superuser; statements one by one, the answer is the last one's.
///
/// # Errors
/// When PostgreSQL refuses it.
pub(super) fn sql(running: &Running, text: &str) -> Result<Option<String>, Error> {
    let mut session = session::over_unix(running.socket(), &bare::superuser())?;
    let mut value = None;
    for statement in text.split("; ") {
        (_, value) = session.query(statement)?;
    }
    Ok(value)
}

/// Runs pgbench on a running cluster.
///
/// # Errors
/// When it fails.
pub(super) fn bench(pgbench: &Pgbench, bare: &Bare, arguments: &[&str]) -> Result<String, Error> {
    let environment = [
        ("PGHOST", bare.socket_dir().display().to_string()),
        ("PGUSER", bare::SEED.0.to_owned()),
        ("PGDATABASE", bare::SEED.1.to_owned()),
    ];
    let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    pgbench::run(pgbench, &environment, &arguments)
}

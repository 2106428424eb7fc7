//! Those who store clusters for a living: `pg_basebackup` and pgBackRest, one process each, same compression.

use std::fs;
use std::path::{Path, PathBuf};

use super::cluster::Cluster;
use crate::cpu;
use crate::error::Error;
use crate::tool::{self, Took};

/// Where Debian's package puts it.
const PGBACKREST: &str = "/usr/bin/pgbackrest";

/// A repository of pgBackRest. The cluster is stopped when it is read, as ours is: no archive is needed.
#[derive(Debug)]
pub(super) struct PgBackRest<'a> {
    cluster: &'a Cluster,
    root: PathBuf,
    level: i32,
}

impl<'a> PgBackRest<'a> {
    /// An empty repository below `root`; `None` where the program is not installed.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(super) fn new(cluster: &'a Cluster, root: &Path, level: i32) -> Result<Option<Self>, Error> {
        if !Path::new(PGBACKREST).is_file() {
            return Ok(None);
        }
        let peer = Self { cluster, root: root.join("pgbackrest"), level };
        peer.empty()?;
        Ok(Some(peer))
    }

    /// Forgets all backups.
    ///
    /// # Errors
    /// When the repository cannot be made anew.
    pub(super) fn empty(&self) -> Result<(), Error> {
        let _first_time = fs::remove_dir_all(&self.root);
        let made = fs::create_dir_all(&self.root).and_then(|()| self.cluster.bare.identity().own(&self.root));
        made.map_err(Error::system("make a repository for pgBackRest"))?;
        self.run(&["stanza-create"]).map(drop)
    }

    /// A backup, `full` or `incr`; what it took, and bytes written.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn backup(&self, kind: &str) -> Result<(Took, u64), Error> {
        let before = self.bytes();
        let took = self.run(&["backup", "--type", kind])?;
        Ok((took, self.bytes().saturating_sub(before)))
    }

    fn bytes(&self) -> u64 {
        tool::bytes_below(&self.root.join("repo"))
    }

    fn run(&self, words: &[&str]) -> Result<Took, Error> {
        let mut command = tool::command(Path::new(PGBACKREST), self.cluster.bare.identity());
        let path = |name: &str, path: &Path| format!("--{name}={}", path.display());
        command.args(["--no-config", "--stanza=bench", "--no-online", "--log-level-console=warn"]);
        command.args(["--log-level-file=off", "--lock-path"]).arg(self.root.join("lock"));
        command
            .arg(path("pg1-path", &self.cluster.bare.data()))
            .arg(path("repo1-path", &self.root.join("repo")));
        if words.contains(&"backup") {
            command.args(["--compress-type=zst", "--process-max=1", "--repo1-retention-full=9"]);
            command.arg(format!("--compress-level={}", self.level));
        }
        tool::run(command.args(words))
    }
}

/// How `pg_basebackup` compresses, best first; not every build knows all.
fn compressions(level: i32) -> [(&'static str, String); 2] {
    [("zstd", format!("client-zstd:level={level}")), ("gzip", format!("client-gzip:level={level}"))]
}

/// A backup by `pg_basebackup`, the cluster being started for it (which is not counted): what it took,
/// the server's part included, bytes written, and how it compressed.
///
/// # Errors
/// When it fails.
pub(super) fn basebackup(
    cluster: &Cluster,
    root: &Path,
    level: i32,
) -> Result<(Took, u64, &'static str), Error> {
    let running = cluster.bare.boot()?;
    let out = root.join("basebackup");
    let mut last = None;
    for (name, how) in compressions(level) {
        let _first_time = fs::remove_dir_all(&out);
        let before = cpu::of_compute(running.pid(), &cluster.bare.data());
        let mut command = tool::command(&cluster.install.bin.join("pg_basebackup"), cluster.bare.identity());
        fs::create_dir(&out)
            .and_then(|()| cluster.bare.identity().own(&out))
            .map_err(Error::system("make a directory for a backup"))?;
        command.args(["-Ft", "-Xfetch", "--checkpoint=fast", "-h"]).arg(cluster.bare.socket_dir());
        command.args(["-U", dormouse_compute::postgres::SUPERUSER, "--compress", &how, "-D"]).arg(&out);
        match tool::run(&mut command) {
            Ok(mut took) => {
                took.cpu += cpu::of_compute(running.pid(), &cluster.bare.data()).saturating_sub(before);
                let bytes = tool::bytes_below(&out);
                let _ = fs::remove_dir_all(&out);
                running.stop()?;
                return Ok((took, bytes, name));
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::unexpected("pg_basebackup knows no compression")))
}

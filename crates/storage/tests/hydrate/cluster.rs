//! Real PostgreSQL: one original cluster per version, sparse copies of it, and running servers.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dormouse_runtime::task::Scope;
use dormouse_storage::hydrate::{
    Bits, Hydration, LazyFile, Life, Metrics, Place, Plan, Source, Tuning, install_front,
};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::source::Original;

/// How long anything may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

/// What every cluster contains.
const LOAD: &str = "
    CREATE TABLE big AS SELECT g AS id, md5(g::text) AS text, repeat('x', 100) AS filler FROM generate_series(1, 30000) g;
    ALTER TABLE big ADD PRIMARY KEY (id);
    CREATE INDEX big_text ON big (text);
    CREATE TABLE victim AS SELECT * FROM big;
    CREATE TABLE shrinking AS SELECT * FROM big;
    CREATE TABLE other AS SELECT * FROM big WHERE id % 3 = 0;
    CREATE DATABASE neighbour;
    CHECKPOINT;";

pub(crate) const SUM: &str = "SELECT count(*) || ' ' || sum(hashtext(id || text || filler)::bigint) FROM big";

/// What [`SUM`] of the original says.
pub(crate) static SUMS: Mutex<Option<HashMap<u32, String>>> = Mutex::new(None);

pub(crate) fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("dormouse:")).expect("the user dormouse");
    let fields: Vec<&str> = line.split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

fn ids() -> (u32, u32) {
    user().unwrap_or_else(|| (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()))
}

/// The programs of a version; `None` where it is not installed.
pub(crate) fn bin(version: u32) -> Option<PathBuf> {
    let places =
        [format!("/usr/lib/postgresql/{version}/bin"), format!("/var/lib/dormouse/postgres/{version}/bin")];
    places.into_iter().map(PathBuf::from).find(|dir| dir.join("postgres").is_file())
}

fn program(version: u32, name: &str) -> Command {
    let mut command = Command::new(bin(version).unwrap().join(name));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").current_dir("/");
    command.stdin(Stdio::null());
    if let Some((uid, gid)) = user() {
        command.uid(uid).gid(gid);
    }
    command
}

fn own(path: &Path) {
    if let Some((uid, gid)) = user() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

fn temporary(dir: &str) -> TempDir {
    let made = tempfile::Builder::new().prefix("dm-").tempdir_in(dir).unwrap();
    fs::set_permissions(made.path(), fs::Permissions::from_mode(0o755)).unwrap();
    made
}

/// A stopped cluster and what its tables contain. Never changed after it was made.
pub(crate) fn original(version: u32) -> PathBuf {
    static MADE: OnceLock<Mutex<HashMap<u32, PathBuf>>> = OnceLock::new();
    let mut made = MADE.get_or_init(Mutex::default).lock();
    if let Some(dir) = made.get(&version) {
        return dir.clone();
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("hydrate-{version}-{}", blake3::hash(LOAD.as_bytes()).to_hex().split_at(8).0));
    let data = dir.join("data");
    if !dir.join("sum").exists() {
        let _left_over = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        own(&dir);
        let init = program(version, "initdb")
            .args([
                "-D",
                data.to_str().unwrap(),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-k",
                "-N",
                "--locale=C.UTF-8",
                "--wal-segsize=1",
            ])
            .output()
            .unwrap();
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        let mut server = Server::start(version, &data, Vec::new());
        // Where it is installed.
        let _amcheck = server.sql("CREATE EXTENSION amcheck");
        server.sql(LOAD).unwrap();
        let sum = server.sql(SUM).unwrap();
        server.stop();
        fs::write(dir.join("sum"), sum).unwrap();
    }
    let sum = fs::read_to_string(dir.join("sum")).unwrap();
    SUMS.lock().get_or_insert_default().insert(version, sum);
    made.insert(version, data.clone());
    data
}

/// What the original says.
pub(crate) fn sum(version: u32) -> String {
    SUMS.lock().as_ref().unwrap()[&version].clone()
}

/// A sparse copy and everything around it.
pub(crate) struct Sparse {
    pub(crate) version: u32,
    pub(crate) place: Place,
    pub(crate) plan: Plan,
    pub(crate) source: Arc<Original>,
    pub(crate) front: PathBuf,
    pub(crate) scope: Scope,
    _dirs: [TempDir; 2],
}

impl Sparse {
    /// Copies the original; all files of relations have no bytes at all.
    pub(crate) fn new(version: u32) -> Self {
        let original = original(version);
        let dirs = [temporary(std::env::temp_dir().to_str().unwrap()), temporary("/dev/shm")];
        let home = dirs[0].path();
        let data = home.join("data");
        let mut files = Vec::new();
        copy(&original, &data, "", &mut files);
        fs::rename(data.join("global/pg_control"), data.join("global/pg_control.hydrating")).unwrap();
        let plan = Plan { files, hot: vec![(0, 0)] };
        let (uid, gid) = ids();
        let runtime = dirs[1].path().join("run");
        let place = Place { data, state: home.join("hydrate"), runtime, uid, gid };
        let front = install_front(home).unwrap();
        let source = Original::new(original, plan.clone());
        Self { version, place, plan, source, front, scope: Scope::new(), _dirs: dirs }
    }

    pub(crate) async fn begin(&self, tuning: Tuning) -> Hydration {
        let source: Arc<dyn Source> = Arc::clone(&self.source) as _;
        let begun = Hydration::begin(
            self.place.clone(),
            self.plan.clone(),
            source,
            tuning,
            Metrics::default(),
            &self.scope,
        );
        begun.await.unwrap()
    }

    pub(crate) async fn resume(&self, life: Life, tuning: Tuning) -> Option<Hydration> {
        let source: Arc<dyn Source> = Arc::clone(&self.source) as _;
        let resumed =
            Hydration::resume(self.place.clone(), life, source, tuning, Metrics::default(), &self.scope);
        resumed.await.unwrap()
    }

    /// Starts PostgreSQL under the front.
    pub(crate) async fn start(&self, hydration: &Hydration) -> Server {
        let environment = hydration.environment(&self.front).unwrap();
        let (version, data) = (self.version, self.place.data.clone());
        tokio::task::block_in_place(move || Server::start(version, &data, environment))
    }

    /// Tries to start PostgreSQL; gives its log when it does not.
    pub(crate) fn try_start(&self, environment: Vec<(String, String)>) -> Result<Server, String> {
        Server::try_start(self.version, &self.place.data, environment)
    }

    /// The files of a table, by its name.
    pub(crate) fn path_of(server: &Server, table: &str) -> String {
        server.sql(&format!("SELECT pg_relation_filepath('{table}')")).unwrap()
    }
}

fn copy(from: &Path, to: &Path, relative: &str, files: &mut Vec<LazyFile>) {
    fs::create_dir(to).unwrap();
    own(to);
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let (here, path) = (to.join(&name), format!("{relative}{name}"));
        let meta = entry.metadata().unwrap();
        if meta.is_dir() {
            copy(&entry.path(), &here, &format!("{path}/"), files);
            continue;
        }
        let relation = (relative.starts_with("base/") || relative == "global/")
            && name.starts_with(|c: char| c.is_ascii_digit())
            && meta.len() > 0;
        if relation {
            File::create(&here).unwrap().set_len(meta.len()).unwrap();
            let chunks = dormouse_storage::chunk::count(meta.len());
            files.push(LazyFile { path, size: meta.len(), present: Bits::none(chunks) });
        } else {
            fs::copy(entry.path(), &here).unwrap();
        }
        fs::set_permissions(&here, fs::Permissions::from_mode(0o600)).unwrap();
        own(&here);
    }
}

/// A running PostgreSQL; killed when dropped.
pub(crate) struct Server {
    version: u32,
    child: Child,
    socket: TempDir,
}

impl Server {
    fn start(version: u32, data: &Path, environment: Vec<(String, String)>) -> Self {
        Self::try_start(version, data, environment).unwrap_or_else(|log| panic!("does not start:\n{log}"))
    }

    pub(crate) fn try_start(
        version: u32,
        data: &Path,
        environment: Vec<(String, String)>,
    ) -> Result<Self, String> {
        let socket = temporary("/tmp");
        own(socket.path());
        let log = socket.path().join("log");
        let file = File::create(&log).unwrap();
        let mut command = program(version, "postgres");
        command.args(["-D", data.to_str().unwrap(), "-c", "listen_addresses=", "-c", "fsync=on"]);
        command.args(["-c", "shared_buffers=4MB", "-c", "autovacuum=off", "-c", "log_min_messages=warning"]);
        command.arg("-c").arg(format!("unix_socket_directories={}", socket.path().display()));
        command.args(["-c", "max_parallel_workers_per_gather=0", "-c", "synchronize_seqscans=off"]);
        if version >= 18 {
            command.args(["-c", "io_method=worker"]);
        }
        command.envs(environment).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap();
        let mut server = Self { version, child, socket };
        let began = dormouse_base::clock::Mono::now();
        loop {
            if let Ok(Some(_)) = server.child.try_wait() {
                return Err(server.log());
            }
            if server.socket.path().join(".s.PGSQL.5432").exists() && server.sql("SELECT 1").is_ok() {
                return Ok(server);
            }
            if began.elapsed() > WITHIN {
                return Err(server.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.socket.path().join("log")).unwrap()
    }

    /// Runs statements, one after the other; gives the last output or the error.
    pub(crate) fn sql(&self, text: &str) -> Result<String, String> {
        self.sql_in("postgres", text)
    }

    pub(crate) fn sql_in(&self, database: &str, text: &str) -> Result<String, String> {
        // Small distributions of the server come without it; any version talks to all.
        let client = [self.version, 18, 15]
            .into_iter()
            .find(|v| bin(*v).is_some_and(|dir| dir.join("psql").is_file()));
        let out = program(client.expect("psql is installed"), "psql")
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"])
            .arg(self.socket.path())
            .args(text.split(";\n").flat_map(|statement| ["-c", statement]))
            .output()
            .unwrap();
        let (text, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        if out.status.success() { Ok(text.trim().to_owned()) } else { Err(error.into_owned()) }
    }

    /// The same, off the executor's thread, so that the filler can work.
    pub(crate) async fn query(&self, text: &str) -> Result<String, String> {
        tokio::task::block_in_place(|| self.sql(text))
    }

    /// Makes a base backup in a new directory.
    pub(crate) fn base_backup(&self, to: &Path) {
        fs::create_dir(to).unwrap();
        own(to);
        let out = program(self.version, "pg_basebackup")
            .args(["-U", "postgres", "-c", "fast", "-X", "fetch", "-h"])
            .arg(self.socket.path())
            .arg("-D")
            .arg(to)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stderr), self.log());
        fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    }

    pub(crate) fn postmaster(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    fn signal(&mut self, signal: rustix::process::Signal) {
        let _may_have_ended = rustix::process::kill_process(self.postmaster(), signal);
        let _status = self.child.wait().unwrap();
    }

    pub(crate) fn stop(&mut self) {
        self.signal(rustix::process::Signal::INT);
    }

    /// `kill -9` of the postmaster; its children notice and end.
    pub(crate) fn kill(mut self, data: &Path) {
        let pid = self.child.id();
        self.signal(rustix::process::Signal::KILL);
        let children = || {
            let processes = fs::read_dir("/proc").unwrap().flatten();
            let mut directories =
                processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
            directories.any(|cwd| cwd == data)
        };
        let began = dormouse_base::clock::Mono::now();
        while children() {
            assert!(began.elapsed() < WITHIN, "children of {pid} do not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // A quick way that still ends all children.
            self.signal(rustix::process::Signal::QUIT);
        }
    }
}

//! A PostgreSQL cluster of a test: made once per version, copied, started and stopped by `pg_ctl`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use dormouse_storage::restore::{Sharing, clone_directory};
use dormouse_storage::snapshot::left;

/// Who runs PostgreSQL when the tests run as root, which it refuses.
const ACCOUNT: &str = "dormouse";

/// The programs of a version; `None` when it, or its `psql`, is not installed.
pub(crate) fn bin(major: u16) -> Option<PathBuf> {
    let home = std::env::var("DORMOUSE_PG_HOME").unwrap_or_else(|_| "/var/lib/dormouse/postgres".to_owned());
    let places = [format!("/usr/lib/postgresql/{major}/bin"), format!("{home}/{major}/bin")];
    let found = places.iter().map(PathBuf::from).find(|bin| bin.join("psql").is_file());
    if found.is_none() {
        println!("PostgreSQL {major} is not installed: nothing tested");
    }
    found
}

/// User and group of the account that runs PostgreSQL, when the tests run as root.
pub(crate) fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let id = |flag: &str| {
        let out = Command::new("id").args([flag, ACCOUNT]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().parse().expect("the account exists")
    };
    Some((id("-u"), id("-g")))
}

/// A program, run as the account.
pub(crate) fn program(path: &Path) -> Command {
    let mut command = if owner().is_some() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups"]).arg(path);
        command
    } else {
        Command::new(path)
    };
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir("/");
    command
}

pub(crate) fn run(command: &mut Command) -> String {
    let out = command.stdin(Stdio::null()).output().unwrap();
    let (text, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{command:?}\n{text}\n{error}");
    text.into_owned()
}

/// A directory that the account may pass through. In memory where there is such a place: these tests make
/// and remove tens of thousands of files, which takes a disk's journal minutes. `TMPDIR` overrides it.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if std::env::var_os("TMPDIR").is_none() && memory.is_dir() {
        tempfile::Builder::new().prefix("dormouse-snapshot-").tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

pub(crate) fn own(path: &Path) {
    if let Some((uid, gid)) = owner() {
        run(Command::new("chown").arg("-R").arg(format!("{uid}:{gid}")).arg(path));
    }
}

pub(crate) struct Cluster {
    pub(crate) bin: PathBuf,
    pub(crate) data: PathBuf,
    running: bool,
}

/// Copies a cluster that was stopped cleanly.
pub(crate) fn copy(from: &Path, to: &Path) {
    let left = left(from).unwrap().expect("it was stopped cleanly");
    clone_directory(from, &left, to, None, Sharing::May).unwrap();
}

impl Cluster {
    /// A fresh cluster with checksums, in `dir`/`name`.
    pub(crate) fn new(major: u16, dir: &Path, name: &str) -> Option<Self> {
        static MADE: Mutex<Vec<(u16, tempfile::TempDir)>> = Mutex::new(Vec::new());
        let bin = bin(major)?;
        let mut made = MADE.lock().unwrap();
        if !made.iter().any(|(m, _)| *m == major) {
            let place = scratch();
            own(place.path());
            let data = place.path().join("data");
            run(program(&bin.join("initdb"))
                .args(["-k", "-A", "trust", "-U", "postgres", "--no-sync", "-D"])
                .arg(&data));
            made.push((major, place));
        }
        let from = made.iter().find(|(m, _)| *m == major).unwrap().1.path().join("data");
        let data = dir.join(name);
        copy(&from, &data);
        own(&data);
        Some(Self::at(bin, data))
    }

    pub(crate) fn at(bin: PathBuf, data: PathBuf) -> Self {
        Self { bin, data, running: false }
    }

    pub(crate) fn start(&mut self) {
        let sockets =
            self.data.parent().unwrap().join(format!("s-{}", self.data.file_name().unwrap().display()));
        std::fs::create_dir_all(&sockets).unwrap();
        own(&sockets);
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories={} -c fsync=off -c shared_buffers=16MB \
             -c autovacuum=off -c wal_level=replica -c max_wal_senders=2 -c wal_keep_size=128MB \
             -c log_min_messages=warning",
            sockets.display()
        );
        let log = sockets.join("log");
        run(program(&self.bin.join("pg_ctl"))
            .args(["-w", "-t", "60", "-o", &options, "-D"])
            .arg(&self.data)
            .arg("-l")
            .arg(&log)
            .arg("start"));
        self.running = true;
    }

    pub(crate) fn stop(&mut self) {
        self.halt("fast");
    }

    pub(crate) fn halt(&mut self, mode: &str) {
        if std::mem::take(&mut self.running) {
            run(program(&self.bin.join("pg_ctl")).args(["-w", "-m", mode, "-D"]).arg(&self.data).arg("stop"));
        }
    }

    pub(crate) fn sockets(&self) -> PathBuf {
        self.data.parent().unwrap().join(format!("s-{}", self.data.file_name().unwrap().display()))
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = program(&self.bin.join("psql"));
        command
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(self.sockets())
            .args(["-d", database]);
        command
    }

    pub(crate) fn sql_in(&self, database: &str, sql: &str) -> String {
        // From standard input, so that each statement is a transaction of its own.
        let mut child = self
            .psql(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{sql}\n{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.sql_in("postgres", sql)
    }

    pub(crate) fn session(&self) -> Session {
        let mut child = self.psql("postgres").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Session { child, input, output }
    }

    /// Every table of every database: count of rows and a hash of all of them.
    pub(crate) fn content(&self) -> String {
        let databases = self
            .sql("select datname from pg_database where datallowconn and datname <> 'template1' order by 1");
        let tables = "select format('select %L, count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) from %s t', c.oid::regclass, c.oid::regclass) \
                      from pg_class c join pg_namespace n on n.oid = relnamespace \
                      where relkind in ('r', 'm') and nspname not in ('pg_catalog', 'information_schema', 'pg_toast') \
                      order by c.oid::regclass::text \\gexec\n select relname, relkind from pg_class where oid > 16383 and relkind in ('i', 'S', 'v') order by 1;";
        let one = |db: &str| format!("[{db}]\n{}", self.sql_in(db, tables));
        databases.lines().map(one).collect()
    }

    /// Checks the files of the stopped cluster, and with amcheck those of the running one.
    pub(crate) fn check_files(&self) {
        run(program(&self.bin.join("pg_checksums")).args(["--check", "-D"]).arg(&self.data));
    }

    pub(crate) fn amcheck(&self) {
        if self.sql("select 1 from pg_available_extensions where name = 'amcheck'").is_empty() {
            return;
        }
        self.sql("create extension if not exists amcheck");
        let mut command = program(&self.bin.join("pg_amcheck"));
        run(command
            .args(["-U", "postgres", "--heapallindexed", "-h"])
            .arg(self.sockets())
            .args(["-d", "postgres"]));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.running {
            let _best_effort = program(&self.bin.join("pg_ctl"))
                .args(["-w", "-m", "immediate", "-D"])
                .arg(&self.data)
                .arg("stop")
                .output();
        }
    }
}

/// One session that stays open.
pub(crate) struct Session {
    child: Child,
    input: std::process::ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Session {
    /// The rows of a statement.
    pub(crate) fn rows(&mut self, sql: &str) -> String {
        writeln!(self.input, "{sql};\n\\echo ~end~").unwrap();
        self.input.flush().unwrap();
        let mut out = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the session ended: {sql}");
            if line.trim() == "~end~" {
                return out;
            }
            out.push_str(&line);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _best_effort = self.child.kill();
        let _reaped = self.child.wait();
    }
}

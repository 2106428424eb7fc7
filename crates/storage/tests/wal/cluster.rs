//! A real PostgreSQL cluster of one test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use dormouse_base::lsn::WAL_SEGMENT;
use dormouse_base::{Lsn, Timeline};
use dormouse_runtime::task::Scope;
use dormouse_storage::wal::source::dir::WalDir;
use dormouse_storage::wal::source::tap::{ConnectError, SqlTap};
use dormouse_storage::wal::{Major, Reader};
use tokio_postgres::{Client, NoTls};

/// The user that PostgreSQL runs as when the test runs as root.
const USER: &str = "dormouse";

pub(crate) struct Cluster {
    pub(crate) major: Major,
    bin: PathBuf,
    pub(crate) root: Arc<tempfile::TempDir>,
    pub(crate) data: PathBuf,
    pub(crate) scope: Scope,
}

/// The versions that are installed here.
pub(crate) fn installed(major: u32) -> Option<PathBuf> {
    let places =
        [format!("/usr/lib/postgresql/{major}/bin"), format!("/var/lib/dormouse/postgres/{major}/bin")];
    places.into_iter().map(PathBuf::from).find(|bin| bin.join("postgres").exists())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Cluster {
    /// A new cluster, stopped. `None` when this version is not installed.
    pub(crate) fn new(major: u32) -> Option<Self> {
        let bin = installed(major)?;
        let root = Arc::new(tempfile::Builder::new().prefix("dormouse-wal-").tempdir().unwrap());
        let cluster = Self {
            major: Major::new(major).unwrap(),
            bin,
            data: root.path().join("data"),
            root,
            scope: Scope::new(),
        };
        if is_root() {
            assert!(Command::new("chown").arg(USER).arg(cluster.root.path()).status().unwrap().success());
        }
        cluster.run("initdb", &["-N", "-A", "trust", "-U", "postgres", "-D", &cluster.text()]);
        cluster.configure("data", "");
        Some(cluster)
    }

    fn text(&self) -> String {
        self.data.to_str().unwrap().to_owned()
    }

    fn configure(&self, name: &str, more: &str) {
        let dir = self.root.path();
        let sockets = dir.join(format!("{name}.s"));
        std::fs::create_dir_all(&sockets).unwrap();
        std::fs::set_permissions(&sockets, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let text = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nfsync = off\nshared_buffers = 16MB\n\
             wal_keep_size = 0\nautovacuum = off\n{more}\n",
            sockets.display()
        );
        std::fs::write(dir.join(name).join("postgresql.auto.conf"), text).unwrap();
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/").env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    pub(crate) fn has(&self, program: &str) -> bool {
        self.bin.join(program).exists()
    }

    pub(crate) fn run(&self, program: &str, args: &[&str]) -> String {
        let output = self.command(program).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{program} {args:?}: {text} {} {}",
            String::from_utf8_lossy(&output.stderr),
            std::fs::read_to_string(self.log()).unwrap_or_default()
        );
        text
    }

    fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// Adds settings for the next start.
    pub(crate) fn set(&self, settings: &str) {
        let path = self.data.join("postgresql.auto.conf");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text + settings + "\n").unwrap();
    }

    pub(crate) fn start(&self) {
        let log = self.log();
        // Output goes to the log, or the server would hold this command's pipe open.
        let mut command = self.command("pg_ctl");
        command.args(["-w", "-s", "-D", &self.text(), "-l", log.to_str().unwrap(), "start"]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
    }

    pub(crate) fn stop(&self, mode: &str) {
        self.run("pg_ctl", &["-w", "-s", "-D", &self.text(), "-m", mode, "stop"]);
    }

    /// A copy of the (stopped) cluster with another name, without WAL.
    pub(crate) fn copy(&self, name: &str) -> Self {
        let data = self.root.path().join(name);
        let status = Command::new("cp").arg("-a").arg(&self.data).arg(&data).status().unwrap();
        assert!(status.success());
        let wal = data.join("pg_wal");
        for entry in std::fs::read_dir(&wal).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::remove_file(path).unwrap();
            }
        }
        let copy = Self {
            major: self.major,
            bin: self.bin.clone(),
            root: Arc::clone(&self.root),
            data,
            scope: Scope::new(),
        };
        copy.configure(name, "restore_command = '/bin/false'");
        copy
    }

    /// Lets the next start recover from the files in `pg_wal`.
    pub(crate) fn recover(&self) {
        std::fs::write(self.data.join("recovery.signal"), "").unwrap();
        if is_root() {
            assert!(Command::new("chown").args(["-R", USER]).arg(&self.data).status().unwrap().success());
        }
        self.start();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.data.with_extension("s").join(".s.PGSQL.5432")
    }

    pub(crate) async fn client(&self) -> Client {
        connect(&self.socket(), &self.scope).await.unwrap()
    }

    /// A connection once recovery is over.
    pub(crate) async fn promoted(&self) -> Client {
        let client = self.client().await;
        for _ in 0..400 {
            let row = client.query_one("select pg_is_in_recovery()", &[]).await.unwrap();
            if !row.get::<_, bool>(0) {
                return client;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("still in recovery");
    }

    pub(crate) fn tap(&self) -> Arc<SqlTap> {
        let (socket, scope) = (self.socket(), self.scope.clone());
        let kept: Arc<tokio::sync::Mutex<Option<Arc<Client>>>> = Arc::default();
        Arc::new(SqlTap::new(Box::new(move || {
            let (socket, scope, kept) = (socket.clone(), scope.clone(), Arc::clone(&kept));
            Box::pin(async move {
                let mut kept = kept.lock().await;
                if let Some(client) = kept.as_ref().filter(|client| !client.is_closed()) {
                    return Ok(Arc::clone(client));
                }
                let client = Arc::new(connect(&socket, &scope).await?);
                *kept = Some(Arc::clone(&client));
                Ok(client)
            })
        })))
    }

    pub(crate) fn wal(&self) -> Arc<WalDir> {
        Arc::new(WalDir::open(&self.data).unwrap())
    }

    /// Where the last checkpoint of a stopped cluster begins, its timeline, and where its WAL ends.
    pub(crate) fn stopped_at(&self) -> (Lsn, Timeline, Lsn) {
        let control = std::fs::read(self.data.join("global/pg_control")).unwrap();
        let redo = Lsn(u64::from_le_bytes(control[40..48].try_into().unwrap()));
        let timeline = Timeline(u32::from_le_bytes(control[48..52].try_into().unwrap()));
        let reader = Reader::at(self.major, redo);
        let end =
            dormouse_storage::wal::source::files::end_of(&self.wal(), timeline, reader, || true).unwrap();
        (redo, timeline, end)
    }

    /// All bytes of the cluster's own files.
    pub(crate) fn bytes(&self, timeline: Timeline, from: Lsn, to: Lsn) -> Vec<u8> {
        let mut out = Vec::new();
        while from.plus(out.len() as u64) < to {
            let at = from.plus(out.len() as u64);
            let max = usize::try_from(to.since(at).min(WAL_SEGMENT)).unwrap();
            out.extend(self.wal().read(timeline, at, max).unwrap().expect("the segment is there"));
        }
        out
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.data.join("postmaster.pid").exists() {
            let mut command = self.command("pg_ctl");
            let _ended = command.args(["-s", "-D", &self.text(), "-m", "immediate", "stop"]).status();
        }
    }
}

async fn connect(socket: &Path, scope: &Scope) -> Result<Client, ConnectError> {
    let stream = tokio::net::UnixStream::connect(socket).await?;
    let mut config = tokio_postgres::Config::new();
    let (client, connection) = config.user("postgres").dbname("postgres").connect_raw(stream, NoTls).await?;
    scope.spawn("connection", async move {
        let _ended = connection.await;
    });
    Ok(client)
}

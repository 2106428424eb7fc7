//! A PostgreSQL that is not ours: an ordinary server on a port of its own, to import from.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::postgres::discover::{Installation, Installations};
use dormouse_compute::sandbox::identity::{Identities, Identity};
use dormouse_compute::sandbox::process;
use rustix::process::Signal;

use crate::project::free_port;
use crate::{passable_dir, programs};

/// It must accept connections within this time.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The superuser's password.
pub const PASSWORD: &str = "s3/cr@t";

/// A cluster with its server. Dropping it ends the server and removes the cluster.
#[derive(Debug)]
pub struct Foreign {
    child: Option<Child>,
    install: Installation,
    identity: Identity,
    port: u16,
    dir: tempfile::TempDir,
}

impl Foreign {
    /// Makes and starts one; `None` = this version is not installed.
    pub fn start(major: u16) -> Option<Self> {
        let install = Installations::discover(&[]).get(major)?.clone();
        let dir = passable_dir();
        let identity = Identities::detect(None, dir.path()).unwrap().template();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("pw"), PASSWORD).unwrap();
        identity.own(&home).unwrap();
        let mut foreign = Self { child: None, install, identity, port: free_port(), dir };
        let initdb = foreign
            .program("initdb")
            .args([
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ])
            .arg("--pwfile")
            .arg(home.join("pw"))
            .arg("-D")
            .arg(foreign.data())
            .output()
            .unwrap();
        assert!(initdb.status.success(), "{}", String::from_utf8_lossy(&initdb.stderr));
        foreign.run();
        Some(foreign)
    }

    /// Starts the server.
    pub fn run(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let child = self
            .program("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", self.dir.path().join("home").display()))
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let start = Mono::now();
        let ready =
            || std::fs::read_to_string(self.data().join("postmaster.pid")).is_ok_and(|t| t.contains("ready"));
        while !ready() {
            let log = || std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < READY_WITHIN, "{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.install.bin.join(name));
        if !self.identity.is_current() {
            command.uid(self.identity.uid).gid(self.identity.gid);
        }
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null());
        command
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("home/data")
    }

    /// The port, on 127.0.0.1 and for the socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of its Unix socket.
    pub fn socket_dir(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Runs SQL as the superuser with psql.
    #[track_caller]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        programs::run(Path::new("psql"), &["-XAtq", "-d", &self.address(database), "-c", sql], &[]).good()
    }

    /// Puts lines in front of `pg_hba.conf`.
    pub fn admit(&self, lines: &str) {
        let path = self.data().join("pg_hba.conf");
        let old = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{lines}\n{old}")).unwrap();
        self.sql("postgres", "select pg_reload_conf()");
    }

    /// Turns TLS on with this certificate.
    pub fn encrypt(&self, certificate: &Path, key: &Path) {
        for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = self.data().join(name);
            std::fs::copy(from, &to).unwrap();
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
            self.identity.own(&to).unwrap();
        }
        self.sql("postgres", "alter system set ssl = on");
        self.sql("postgres", "select pg_reload_conf()");
    }

    /// The address of a database for `dormouse import`, the superuser's password in it.
    pub fn address(&self, database: &str) -> String {
        self.address_with(PASSWORD, database)
    }

    /// The same with another password.
    pub fn address_with(&self, password: &str, database: &str) -> String {
        let password = password.replace('/', "%2F").replace('@', "%40");
        format!("postgresql://postgres:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Lets everybody in who comes by its Unix socket.
    pub fn trust_local(&self) {
        let hba = "local all all trust\nhost all all all scram-sha-256\n";
        std::fs::write(self.data().join("pg_hba.conf"), hba).unwrap();
        let child = self.child.as_ref().expect("it runs");
        process::signal(child.id(), Signal::HUP);
        let start = Mono::now();
        let log = || std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        while !log().contains("SIGHUP") {
            assert!(start.elapsed() < READY_WITHIN, "{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("home").join(format!(".s.PGSQL.{}", self.port))
    }

    /// Stops it in an orderly way.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            process::signal(child.id(), Signal::INT);
            assert!(child.wait().unwrap().success());
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            process::signal(child.id(), Signal::QUIT);
            let _reaped = child.wait();
        }
    }
}

/// Puts client programs into a directory that say they are of another version, and are not.
pub fn fake_tools(dir: &Path, major: u16) {
    let all = Installations::discover(&[]);
    for program in ["pg_dump", "pg_restore", "psql"] {
        let real = all.iter().map(|i| i.bin.join(program)).find(|p| p.is_file()).unwrap();
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{program} (PostgreSQL) {major}.1'; exit; fi\nexec {} \"$@\"\n",
            real.display()
        );
        std::fs::write(dir.join(program), script).unwrap();
        std::fs::set_permissions(dir.join(program), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

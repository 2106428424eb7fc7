//! A pooler in front of a PostgreSQL: PgBouncer as it comes, or Dormouse in its place, with the same file.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::identity::Identity;
use dormouse_compute::sandbox::process;
use rustix::process::Signal;

use crate::error::Error;
use crate::{stop, tool};

/// Where packages put it.
const PLACES: [&str; 3] = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];

/// The first version with prepared statements in transaction mode.
const PREPARED_SINCE: (u32, u32) = (1, 21);

/// As many as Dormouse remembers by default.
const PREPARED: u32 = 200;

/// More than any measurement connects.
const CLIENTS: u32 = 12_000;

/// It starts in milliseconds.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// See the module. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Bouncer {
    child: Child,
    /// Where it listens.
    pub(super) address: SocketAddr,
    _dir: tempfile::TempDir,
}

/// A port of this machine that nobody uses now.
///
/// # Errors
/// When there is none.
pub(super) fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.map_err(Error::system("find a free port"))?.port())
}

/// `1.18` of `PgBouncer 1.18.0`.
fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// What clients of a pooler come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behind<'a> {
    /// Whom the server runs as; so does the pooler.
    pub(super) identity: Identity,
    /// The directory of the server's socket, where it trusts everybody.
    pub(super) sockets: &'a Path,
    /// The port in the socket's name.
    pub(super) port: u16,
    /// Who logs in.
    pub(super) role: &'a str,
    /// Where to.
    pub(super) database: &'a str,
    /// How.
    pub(super) verifier: &'a str,
}

/// The PgBouncer to be held against.
#[derive(Debug)]
pub(super) struct PgBouncer {
    program: PathBuf,
    /// As it calls itself, such as `1.18.0`.
    pub(super) version: String,
    /// Prepared statements work.
    pub(super) prepares: bool,
}

impl PgBouncer {
    /// A given one, or the one that is installed.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn find(given: Option<&Path>) -> Result<Self, Error> {
        let installed = || PLACES.iter().map(Path::new).find(|place| place.is_file());
        let program = given.or_else(installed);
        let program = program.ok_or_else(|| Error::unexpected("no PgBouncer: run scripts/setup --bench"))?;
        let said = Command::new(program).arg("--version").output().map_err(Error::system("run pgbouncer"))?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let version = said.split_whitespace().nth(1).unwrap_or_default().to_owned();
        let prepares = major_and_minor(&version).is_some_and(|version| version >= PREPARED_SINCE);
        Ok(Self { program: program.to_owned(), version, prepares })
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) fn start(&self, behind: Behind<'_>, pool: u32) -> Result<Bouncer, Error> {
        Bouncer::start(tool::service(&self.program, behind.identity), behind, pool, self.prepares)
    }
}

/// `dormouse pool` in its place.
///
/// # Errors
/// When it does not start.
pub(super) fn in_its_place(binary: &Path, behind: Behind<'_>, pool: u32) -> Result<Bouncer, Error> {
    let mut command = tool::service(binary, behind.identity);
    command.arg("pool");
    Bouncer::start(command, behind, pool, true)
}

impl Bouncer {
    fn start(mut command: Command, behind: Behind<'_>, pool: u32, prepares: bool) -> Result<Self, Error> {
        let dir = crate::measure::storm::passable_dir()?;
        let port = free_port()?;
        let config = config(behind, port, pool, prepares, dir.path());
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            behind.identity.own(&path)
        };
        write("pgbouncer.ini", &config)
            .and_then(|()| write("users", &format!("\"{}\" \"{}\"\n", behind.role, behind.verifier)))
            .and_then(|()| write("log", ""))
            .map_err(Error::system("write a pooler's configuration"))?;
        command.arg(dir.path().join("pgbouncer.ini")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(Error::system("start a pooler"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut bouncer = Self { child, address, _dir: dir };
        bouncer.until_ready()?;
        Ok(bouncer)
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn until_ready(&mut self) -> Result<(), Error> {
        let start = Mono::now();
        while start.elapsed() < READY_WITHIN {
            stop::check()?;
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let log = fs::read_to_string(self._dir.path().join("log")).unwrap_or_default();
        Err(Error::unexpected(format!("a pooler did not start: {}", log.trim())))
    }
}

/// Defaults but for what the comparison needs.
fn config(behind: Behind<'_>, port: u16, pool: u32, prepares: bool, dir: &Path) -> String {
    let Behind { sockets, port: server_port, database, .. } = behind;
    let (sockets, dir) = (sockets.display(), dir.display());
    let prepared = if prepares { format!("max_prepared_statements = {PREPARED}\n") } else { String::new() };
    format!(
        "[databases]\n{database} = host={sockets} port={server_port} dbname={database}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {dir}/users\nlogfile = {dir}/log\n\
         pool_mode = transaction\ndefault_pool_size = {pool}\nmax_client_conn = {CLIENTS}\n\
         log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\n{prepared}"
    )
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // It ends at once.
        process::signal(self.child.id(), Signal::TERM);
        let start = Mono::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < READY_WITHIN {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(major_and_minor("1.18.0"), Some((1, 18)));
        assert!(major_and_minor("1.9.0") < Some(PREPARED_SINCE));
        assert!(major_and_minor("1.21.0") >= Some(PREPARED_SINCE));
        assert_eq!(major_and_minor(""), None);
    }
}

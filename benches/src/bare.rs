//! PostgreSQL without Dormouse: the best that a start can be.
//!
//! It gets the arguments of a running compute, word by word but for its paths, so that the two
//! never drift apart; a cluster from the same template; an ordinary user like a compute's. What it
//! does not have: a proxy, authentication, a sandbox, records of what happened.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::with_causes;
use dormouse_compute::postgres::SUPERUSER;
use dormouse_compute::postgres::discover::{Installation, Installations};
use dormouse_compute::postgres::pidfile::PidFile;
use dormouse_compute::sandbox::identity::{Identities, Identity};
use dormouse_compute::sandbox::process;
use dormouse_compute::template::{self, Seed};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::process::Signal;

use crate::error::Error;
use crate::server::Compute;
use crate::session::Login;
use crate::{stop, tool};

/// A bare start that takes longer is broken.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A fast shutdown that takes longer is helped along.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// The port in the name of its socket, as in that of a compute's.
pub(crate) const PORT: u16 = 5432;

/// The owner role and the database of the template.
pub(crate) const SEED: (&str, &str) = ("app_owner", "app");

/// A stopped cluster and how to start it.
#[derive(Debug)]
pub(crate) struct Bare {
    program: PathBuf,
    arguments: Vec<String>,
    identity: Identity,
    root: PathBuf,
    sockets: PathBuf,
    port: u16,
    /// Whether it runs in a session of its own.
    is_service: bool,
}

/// A running one. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    socket: PathBuf,
    /// Kept, because the kernel takes milliseconds to close it, which are nobody's figure.
    watch: OwnedFd,
}

impl Bare {
    /// Makes a cluster below `root` (an existing directory that others may pass through), to be
    /// started like `compute` was.
    ///
    /// # Errors
    /// When the cluster cannot be made.
    pub(crate) fn like(compute: &Compute, root: &Path) -> Result<Self, Error> {
        let install = installation_of(compute)?;
        let arguments = compute.arguments.get(1..).unwrap_or_default().to_vec();
        let bare = Self::at(&install, arguments, root, &root.join("s"))?;
        let seed = Seed { owner: SEED.0.to_owned(), database: SEED.1.to_owned() };
        template::build(&install, &bare.identity, &bare.data(), &seed)
            .map_err(|e| Error::unexpected(with_causes(&e)))?;
        bare.make_socket_dir()?;
        Ok(bare)
    }

    /// Has it write its WAL as it comes, which computes do not.
    pub(crate) fn write_plain_wal(&mut self) {
        self.arguments.extend(["-c".to_owned(), "wal_compression=off".to_owned()]);
    }

    /// What is, or will be, in `root/data`; sockets go below `sockets`, whose path must be short. The paths
    /// in `arguments` do not matter.
    ///
    /// # Errors
    /// When the user that it runs as cannot be found.
    pub(crate) fn at(
        install: &Installation,
        arguments: Vec<String>,
        root: &Path,
        sockets: &Path,
    ) -> Result<Self, Error> {
        let identities = Identities::detect(None, root).map_err(|e| Error::unexpected(with_causes(&e)))?;
        Ok(Self {
            program: install.bin.join("postgres"),
            arguments,
            identity: identities.template(),
            root: root.to_owned(),
            sockets: sockets.to_owned(),
            port: PORT,
            is_service: false,
        })
    }

    /// Lets it listen on TCP too, on `port` of this machine, with passwords; on its socket it still trusts
    /// everybody. `settings` win over the compute's. From then on it is a service, see [`tool::in_session`].
    ///
    /// # Errors
    /// When its list of who may log in cannot be written.
    pub(crate) fn listen(&mut self, port: u16, settings: &[(&str, String)]) -> Result<(), Error> {
        let hba = self.root.join("hba");
        let rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(&hba, rules)
            .and_then(|()| self.identity.own(&hba))
            .map_err(Error::system("write a list of who may log in"))?;
        let own = [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            ("hba_file", hba.display().to_string()),
        ];
        for (name, value) in own.iter().chain(settings) {
            self.arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        self.port = port;
        self.is_service = true;
        Ok(())
    }

    /// The same cluster once more, below another directory.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub(crate) fn copy(&self, root: &Path) -> Result<Self, Error> {
        fs::create_dir(root).map_err(Error::system("make a directory"))?;
        let open = fs::Permissions::from_mode(0o711);
        fs::set_permissions(root, open).map_err(Error::system("open a directory"))?;
        let copied = Command::new("cp").arg("-a").arg(self.data()).arg(root).status();
        if !copied.map_err(Error::system("run cp"))?.success() {
            return Err(Error::unexpected("a cluster cannot be copied"));
        }
        let (program, arguments) = (self.program.clone(), self.arguments.clone());
        let (root, sockets, port) = (root.to_owned(), root.join("s"), self.port);
        let (identity, is_service) = (self.identity, self.is_service);
        let copy = Self { program, arguments, identity, root, sockets, port, is_service };
        copy.make_socket_dir()?;
        Ok(copy)
    }

    /// Makes the directory of its socket.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn make_socket_dir(&self) -> Result<(), Error> {
        let made = fs::create_dir(&self.sockets).and_then(|()| self.identity.own(&self.sockets));
        made.map_err(Error::system("make a socket directory"))
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The directory of its socket.
    pub(crate) fn socket_dir(&self) -> &Path {
        &self.sockets
    }

    /// Whom it runs as.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Starts it and waits until it accepts connections.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn boot(&self) -> Result<Running, Error> {
        self.boot_with(&[])
    }

    /// The same with further variables in its environment.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn boot_with(&self, environment: &[(String, String)]) -> Result<Running, Error> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .and_then(|watch| {
                let events = WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::CREATE;
                inotify::add_watch(&watch, self.data(), events).map(|_| watch)
            })
            .map_err(|e| Error::System { what: "watch a data directory".into(), source: e.into() })?;
        let log = File::options().create(true).append(true).open(self.root.join("log"));
        let log = log.map_err(Error::system("open a log"))?;
        let mut command = self.command();
        if !self.identity.is_current() {
            command.uid(self.identity.uid).gid(self.identity.gid);
        }
        let child = command
            .args(self.own_arguments())
            .env_clear()
            .envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC")])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(Error::system("start postgres"))?;
        let mut running =
            Running { child, socket: self.socket_dir().join(format!(".s.PGSQL.{}", self.port)), watch };
        running.until_ready(&self.data())?;
        Ok(running)
    }

    fn command(&self) -> Command {
        if self.is_service {
            return tool::in_session(&self.program);
        }
        let mut command = Command::new(&self.program);
        command.process_group(0);
        command
    }

    /// The compute's arguments with our paths.
    fn own_arguments(&self) -> Vec<String> {
        let mut arguments = self.arguments.clone();
        let mut after_data_option = false;
        for word in &mut arguments {
            if after_data_option {
                *word = self.data().display().to_string();
            } else if word.starts_with("unix_socket_directories=") {
                *word = format!("unix_socket_directories={}", self.socket_dir().display());
            }
            after_data_option = word == "-D";
        }
        arguments
    }
}

/// The installation behind a compute's program, found by its version.
fn installation_of(compute: &Compute) -> Result<Installation, Error> {
    let version = compute.data().and_then(|data| fs::read_to_string(data.join("PG_VERSION")).ok());
    let major = version.and_then(|text| text.trim().parse().ok());
    let found = major.and_then(|major| Installations::discover(&[]).get(major).cloned());
    found.ok_or_else(|| Error::unexpected("the compute's PostgreSQL is not installed here"))
}

impl Running {
    fn until_ready(&mut self, data: &Path) -> Result<(), Error> {
        let start = Mono::now();
        let mut buffer = [0; 4096];
        while start.elapsed() < READY_WITHIN {
            if PidFile::read(data).is_some_and(|file| file.pid == self.child.id() && file.is_ready(false)) {
                return Ok(());
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                let log = fs::read_to_string(data.with_file_name("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default();
                return Err(Error::unexpected(format!("a bare postgres ended while starting: {last}")));
            }
            stop::check()?;
            let patience = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            // Time-outs and empty reads only mean: look again.
            let _events = poll(&mut [PollFd::new(&self.watch, PollFlags::IN)], Some(&patience));
            let _read = rustix::io::read(&self.watch, &mut buffer);
        }
        Err(Error::unexpected("a bare postgres did not become ready"))
    }

    /// Its postmaster.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Stops it in order (fast shutdown).
    ///
    /// # Errors
    /// When it had to be killed.
    pub(crate) fn stop(mut self) -> Result<(), Error> {
        process::signal(self.child.id(), Signal::INT);
        if self.wait(STOP_WITHIN) { Ok(()) } else { Err(Error::unexpected("a bare postgres did not stop")) }
    }

    fn wait(&mut self, within: Duration) -> bool {
        let start = Mono::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > within {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Immediate shutdown: the postmaster takes its children with it.
        process::signal(self.child.id(), Signal::QUIT);
        if !self.wait(Duration::from_secs(5)) {
            let _ended = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// The same as the superuser.
pub(crate) fn superuser() -> Login {
    Login { user: SUPERUSER.to_owned(), ..login() }
}

/// How to log in to a bare cluster.
pub(crate) fn login() -> Login {
    Login { user: SEED.0.to_owned(), database: SEED.1.to_owned(), endpoint: None, password: None }
}

//! A Dormouse server of our own, on a temporary directory and free ports.
//!
//! It is in a process group of its own: Ctrl-C reaches only the benchmark, which then stops the
//! server in order. Dropping it stops it, and ends what a broken server would leave behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use dormouse_api::client::{self, Call};
use dormouse_api::endpoint::{EndpointPatch, UpdateEndpoint};
use dormouse_api::operation::{Operation, OperationStatus};
use dormouse_api::project::CreatedProject;
use dormouse_api::{LiveState, StatusEndpoint};
use dormouse_base::clock::Mono;
use dormouse_base::{Cu, EndpointId, ProjectId};
use dormouse_compute::sandbox::process;
use dormouse_pgwire::auth::scram::client::Password;
use dormouse_runtime::task;
use rustix::process::Signal;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::session::Login;
use crate::{stop, talk, tool};

/// A first start makes a template, which takes seconds on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// A little more than the server promises.
const STOP_WITHIN: Duration = Duration::from_secs(45);

/// The longest call: a wake behind many others.
const CALL_WITHIN: Duration = Duration::from_secs(120);

/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Lines of the server's log that are shown when it breaks.
const LOG_LINES: usize = 20;

/// What `dormouse up --output json` prints.
#[derive(Debug, serde::Deserialize)]
struct Announcement {
    connection_string: String,
    api: String,
    api_key: String,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    log: PathBuf,
    told: Announcement,
    agent: ureq::Agent,
    _dir: Option<tempfile::TempDir>,
}

/// An endpoint and how to log in to it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its project.
    pub(crate) project: ProjectId,
    /// The endpoint.
    pub(crate) id: EndpointId,
    /// Where the proxy listens.
    pub(crate) address: SocketAddr,
    /// The owner's password.
    pub(crate) password: String,
    /// The owner, who does the PBKDF2 rounds at every login.
    pub(crate) login: Login,
}

impl Server {
    /// Starts a server and waits until clients can connect.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(crate) fn start(binary: &Path, options: &[&str]) -> Result<Self, Error> {
        let dir = tempfile::tempdir().map_err(Error::system("make a temporary directory"))?;
        // Computes are other users and must pass through.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))
            .map_err(Error::system("open the temporary directory"))?;
        let root = dir.path().to_owned();
        Self::start_in(binary, options, &[], &root, Some(dir))
    }

    /// Starts a server on what an earlier one left below `root`, if one did; `environment` is added to ours.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(crate) fn start_in(
        binary: &Path,
        options: &[&str],
        environment: &[(&str, String)],
        root: &Path,
        dir: Option<tempfile::TempDir>,
    ) -> Result<Self, Error> {
        let (data, log) = (root.join("data"), root.join("server.log"));
        let log_file = fs::File::create(&log).map_err(Error::system("make a log file"))?;
        let child = tool::in_session(binary)
            .args(["up", "--output", "json", "--pg-port", "0", "--http-port", "0", "--data"])
            .arg(&data)
            .args(options)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .map_err(Error::system("start the server"))?;
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(CALL_WITHIN))
            .build()
            .into();
        let told =
            Announcement { connection_string: String::new(), api: String::new(), api_key: String::new() };
        // From here on dropping it cleans up.
        let mut server = Self { child, data, log, told, agent, _dir: dir };
        server.told = server.announcement()?;
        Ok(server)
    }

    fn announcement(&mut self) -> Result<Announcement, Error> {
        let stdout = self.child.stdout.take().ok_or_else(|| Error::unexpected("the server has no output"))?;
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        // Ends with the first line, or with the server.
        let _reader = task::thread("read-ready", move || {
            let mut line = String::new();
            let _closed = BufReader::new(stdout).read_line(&mut line);
            let _gone = sender.send(line);
        });
        let start = Mono::now();
        while start.elapsed() < READY_WITHIN {
            stop::check()?;
            if let Ok(line) = receiver.recv_timeout(Duration::from_millis(100)) {
                return serde_json::from_str(&line).map_err(|_| self.broken("the server did not start"));
            }
        }
        Err(self.broken("the server did not become ready"))
    }

    /// An error with the end of the server's log.
    fn broken(&self, what: &str) -> Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        Error::unexpected(format!("{what}:\n{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")))
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The connection string of the project that the first start made.
    pub(crate) fn uri(&self) -> &str {
        &self.told.connection_string
    }

    /// Where it listens for HTTP.
    ///
    /// # Errors
    /// When it did not tell.
    pub(crate) fn http_address(&self) -> Result<SocketAddr, Error> {
        let port = url::Url::parse(&self.told.api).ok().and_then(|url| url.port());
        let port = port.ok_or_else(|| Error::unexpected("the server announced no HTTP port"))?;
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// The server's process ID.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Calls the API.
    ///
    /// # Errors
    /// When it cannot be reached or says no.
    pub(crate) fn call<T: DeserializeOwned>(&self, call: &Call<T>) -> Result<T, Error> {
        let request = call.request();
        let what = format!("{} {}", request.method, request.path);
        let url = format!("{}{}", self.told.api, request.relative());
        let body = request.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let http = ureq::http::Request::builder()
            .method(request.method.as_str())
            .uri(url)
            .header("authorization", format!("Bearer {}", self.told.api_key))
            .header("content-type", "application/json")
            .body(body)
            .map_err(|error| Error::unexpected(format!("cannot ask for {what}: {error}")))?;
        let unreachable = |source| Error::Http { what: what.clone(), source: Box::new(source) };
        let mut reply = self.agent.run(http).map_err(unreachable)?;
        let status = reply.status().as_u16();
        let body = reply.body_mut().read_to_vec().map_err(unreachable)?;
        call.decode(status, &body).map_err(|source| Error::Refused { what, source: Box::new(source) })
    }

    /// The endpoint of the project that the first start made.
    ///
    /// # Errors
    /// When the server does not tell.
    pub(crate) fn first_place(&self) -> Result<Place, Error> {
        let status = self.call(&client::server::status())?;
        let endpoint = status.endpoints.into_iter().next();
        let endpoint = endpoint.ok_or_else(|| Error::unexpected("the server has no endpoint"))?;
        self.place(endpoint.project_id, endpoint.id, &self.told.connection_string)
    }

    /// A new project's endpoint.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new_place(&self, name: &str) -> Result<Place, Error> {
        self.new_place_of(name, None)
    }

    /// A new project's endpoint, of a version of PostgreSQL.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new_place_of(&self, name: &str, pg_version: Option<u16>) -> Result<Place, Error> {
        let mut wishes = dormouse_api::project::CreateProject::default();
        wishes.project.name = Some(name.to_owned());
        wishes.project.pg_version = pg_version;
        let CreatedProject { project, endpoints, connection_uris, .. } =
            self.call(&client::project::create(&wishes))?;
        match (endpoints.into_iter().next(), connection_uris.first()) {
            (Some(endpoint), Some(uri)) => self.place(project.id, endpoint.id, uri.connection_uri.expose()),
            _ => Err(Error::unexpected("a new project has no endpoint")),
        }
    }

    /// Where the proxy listens. Names below `localhost` are this machine, which not every resolver knows.
    fn address(&self) -> Result<SocketAddr, Error> {
        let url = url::Url::parse(&self.told.connection_string).ok();
        let port = url.and_then(|url| url.port());
        let port = port.ok_or_else(|| Error::unexpected("the server announced no port"))?;
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// How to log in to an endpoint, by its connection string.
    ///
    /// # Errors
    /// When the string cannot be read.
    pub(crate) fn place(&self, project: ProjectId, id: EndpointId, uri: &str) -> Result<Place, Error> {
        let unreadable = || Error::unexpected("the server printed an unreadable connection string");
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8()
                .map(String::from)
                .map_err(|_| unreadable())
        };
        let url = url::Url::parse(uri).map_err(|_| unreadable())?;
        let password = decode(url.password().ok_or_else(unreadable)?)?;
        let address = self.address()?;
        let login = Login {
            user: decode(url.username())?,
            database: decode(url.path().trim_start_matches('/'))?,
            endpoint: Some(id.to_string()),
            password: Some(Password::plain(&password)),
        };
        Ok(Place { project, id, address, password, login })
    }

    /// Says between which sizes an endpoint moves, compute units.
    ///
    /// # Errors
    /// When the server refuses.
    pub(crate) fn resize(&self, place: &Place, min: f64, max: f64) -> Result<(), Error> {
        let endpoint = EndpointPatch {
            autoscaling_limit_min_cu: Some(min),
            autoscaling_limit_max_cu: Some(max),
            ..EndpointPatch::default()
        };
        self.call(&client::endpoint::update(&place.project, &place.id, &UpdateEndpoint { endpoint }))
            .map(drop)
    }

    /// Lets an endpoint have the whole machine from its first moment on: where pgbench measures something else than
    /// how sizes move.
    ///
    /// # Errors
    /// When the server refuses.
    pub(crate) fn give_all(&self, place: &Place) -> Result<(), Error> {
        let most = Cu::MAX.as_f64();
        self.resize(place, most, most)
    }

    /// Stops an endpoint and waits until it has stopped.
    ///
    /// # Errors
    /// When it does not stop.
    pub(crate) fn suspend(&self, place: &Place) -> Result<(), Error> {
        self.call(&client::endpoint::suspend(&place.project, &place.id))?;
        self.expect(place, LiveState::Stopped)
    }

    /// Freezes an endpoint and waits until it is frozen. A session that has just ended counts as
    /// work for a moment, so a refusal is tried again.
    ///
    /// # Errors
    /// When it does not pause.
    pub(crate) fn pause(&self, place: &Place) -> Result<(), Error> {
        let start = Mono::now();
        loop {
            match self.call(&client::endpoint::pause(&place.project, &place.id)) {
                Err(Error::Refused { .. }) if start.elapsed() < Duration::from_secs(5) => {
                    stop::check()?;
                    std::thread::sleep(Duration::from_millis(20));
                }
                done => break done.map(drop)?,
            }
        }
        self.expect(place, LiveState::Paused)
    }

    /// Waits until operations have ended.
    ///
    /// # Errors
    /// When one fails or takes too long.
    pub(crate) fn finish(&self, operations: &[Operation]) -> Result<(), Error> {
        let start = Mono::now();
        for operation in operations {
            let call = client::operation::get(&operation.project_id, &operation.id);
            loop {
                let found = self.call(&call)?.operation;
                if found.status == OperationStatus::Finished {
                    break;
                }
                stop::check()?;
                if found.status == OperationStatus::Failed || start.elapsed() > CALL_WITHIN {
                    return Err(self.broken(&format!("operation {} did not end well: {found:?}", found.id)));
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
        Ok(())
    }

    fn expect(&self, place: &Place, state: LiveState) -> Result<(), Error> {
        let start = Mono::now();
        loop {
            let found = self.call(&client::endpoint::get(&place.project, &place.id))?.endpoint.live.state;
            if found == state {
                return Ok(());
            }
            stop::check()?;
            if start.elapsed() > Duration::from_secs(30) {
                let (found, wanted) = (found.name(), state.name());
                return Err(self.broken(&format!("{} is {found}, not {wanted}", place.id)));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The running compute of an endpoint.
    ///
    /// # Errors
    /// When it does not run.
    pub(crate) fn compute(&self, place: &Place) -> Result<Compute, Error> {
        let found = self.call(&client::server::status())?.endpoints.into_iter().find(|e| e.id == place.id);
        let Some(StatusEndpoint { pid: Some(pid), .. }) = found else {
            return Err(Error::unexpected(format!("{} does not run", place.id)));
        };
        Compute::look(pid)
    }
}

/// A running postmaster, as its command line shows it.
#[derive(Debug, Clone)]
pub(crate) struct Compute {
    /// The postmaster.
    pub(crate) pid: u32,
    /// All arguments, the program's name first.
    pub(crate) arguments: Vec<String>,
}

impl Compute {
    fn look(pid: u32) -> Result<Self, Error> {
        let line = fs::read(format!("/proc/{pid}/cmdline")).map_err(Error::system("look at a postmaster"))?;
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        let arguments = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Ok(Self { pid, arguments })
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> Option<&Path> {
        let at = self.arguments.iter().position(|word| word == "-D")?;
        self.arguments.get(at + 1).map(Path::new)
    }

    /// The directory of its private socket.
    pub(crate) fn socket_dir(&self) -> Option<&Path> {
        self.arguments.iter().find_map(|word| word.strip_prefix("unix_socket_directories=")).map(Path::new)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::signal(self.child.id(), Signal::TERM);
        let start = Mono::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < STOP_WITHIN {
            std::thread::sleep(Duration::from_millis(10));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            talk::say("the server did not stop in time and is killed");
        }
        // Both fail when it has ended, which is what is wanted.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if let Ok(computes) = self.data.join("computes").canonicalize() {
            for pid in process::in_directory(&computes) {
                process::signal(pid, Signal::CONT);
                process::signal(pid, Signal::KILL);
            }
        }
    }
}

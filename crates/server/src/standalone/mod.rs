//! `dormouse pool FILE.ini`: the proxy with its pooler in front of ordinary servers, in PgBouncer's place.
//!
//! ```text
//!  file ─► Plan ─► pidfile ─► sockets ─► proxy ─► ready
//!  SIGHUP  the files are read again        SIGUSR1  pause      SIGINT         end when nothing runs any more
//!          the log file is opened again    SIGUSR2  resume     SIGTERM, QUIT  end now
//! ```
//!
//! The proxy's part is [`dormouse_proxy::upstream`]; here are files, sockets and signals. [`files`] reads the
//! configuration, [`addresses`] takes what it listens on, [`pidfile`] keeps a second one from starting.

mod addresses;
mod files;
mod pidfile;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::rand;
use dormouse_proxy::metrics::Metrics;
use dormouse_proxy::upstream::{Plan, PlanError, Upstream};
use dormouse_proxy::{Proxy, ProxyConfig};
use dormouse_runtime::task::{self, Scope};
use dormouse_runtime::telemetry::LogFile;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use files::{LoadError, load};
use pidfile::PidFile;

use crate::place;

/// How often it is looked whether clients of session pools have left.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Clients that are ended get this long to be told so.
const GOODBYE_WITHIN: Duration = Duration::from_millis(200);

/// How long the listening sockets may take to close.
const DOOR_CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// Bytes of the secret that makes the answers for unknown roles look real.
const SECRET: usize = 32;

/// Why a pooler cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The configuration cannot be used.
    #[error("the configuration cannot be used")]
    Plan(#[source] PlanError),
    /// Nobody could connect.
    #[error(
        "there is nothing to listen on: set listen_addr (`127.0.0.1`, or `*` for all), or unix_socket_dir"
    )]
    NoAddress,
    /// An address.
    #[error("cannot listen on {address}: choose another, or stop what uses it")]
    Listen {
        /// As it was named.
        address: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another one runs.
    #[error("{} says that process {pid} runs already: stop it, or remove the file", path.display())]
    Running {
        /// The pidfile.
        path: PathBuf,
        /// The process.
        pid: i32,
    },
    /// The pidfile.
    #[error("cannot write the pidfile {}", path.display())]
    PidFile {
        /// The pidfile.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Something else of the operating system.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Runs a pooler until a signal ends it. `ready` is called once, with what it listens on.
///
/// # Errors
/// When it cannot start.
pub async fn run(
    file: &Path,
    plan: Plan,
    log: Option<LogFile>,
    ready: impl FnOnce(&[String]),
) -> Result<(), PoolError> {
    place::raise_descriptor_limit();
    let mut signals = Signals::new().map_err(system("wait for signals"))?;
    let _pidfile = PidFile::write(&setting(&plan, "pidfile"))?;
    for (name, note) in plan.ignored() {
        tracing::warn!("{name} has no effect here ({note})");
    }
    let (listen, told) = addresses::take(&plan)?;
    let door = Scope::new();
    let tls = plan.load_client_tls().map_err(PoolError::Plan)?;
    let upstream = Upstream::new(plan);
    let settings = upstream.settings();
    let config = ProxyConfig {
        listen,
        tls,
        max_client_conn: usize::try_from(settings.max_client_conn).unwrap_or(usize::MAX),
        max_conn_rate: 0,
        shards: std::thread::available_parallelism().map_or(1, usize::from),
        secret: rand::bytes::<SECRET>().to_vec(),
        pool: settings,
        upstream: Some(upstream.clone()),
    };
    let proxy = Proxy::start(config, Arc::new(upstream.clone()), Metrics::default(), &door)
        .map_err(system("start to listen"))?;
    tracing::info!(addresses = told.join(", "), pid = std::process::id(), "ready");
    ready(&told);
    let pooler = Pooler { file: file.to_owned(), upstream, proxy, log };
    pooler.follow(&mut signals, &door).await;
    pooler.proxy.end_clients();
    tokio::time::sleep(GOODBYE_WITHIN).await;
    Ok(())
}

fn setting(plan: &Plan, name: &str) -> String {
    plan.ini.settings.get(name).unwrap_or_default()
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> PoolError {
    move |source| PoolError::System { what, source }
}

/// What runs.
struct Pooler {
    file: PathBuf,
    upstream: Upstream,
    proxy: Proxy,
    log: Option<LogFile>,
}

impl Pooler {
    /// Does what signals say, until one asks for the end.
    async fn follow(&self, signals: &mut Signals, door: &Scope) {
        let paused = Scope::new();
        loop {
            match signals.next().await {
                Wish::Reload => self.reload().await,
                Wish::Pause => {
                    tracing::info!("pausing");
                    let upstream = self.upstream.clone();
                    paused.spawn("pause", async move {
                        upstream.pause().await;
                        tracing::info!("paused: nothing runs");
                    });
                }
                Wish::Resume => {
                    tracing::info!("resumed");
                    self.upstream.resume();
                }
                Wish::EndNow => return tracing::info!("ending now"),
                Wish::End => break,
            }
        }
        tracing::info!("ending when nothing runs any more; no new connections");
        let _ended_in_time = door.close(DOOR_CLOSES_WITHIN).await;
        tokio::select! {
            () = self.at_rest() => tracing::info!("nothing runs any more"),
            () = signals.impatient() => tracing::info!("ending now"),
        }
    }

    /// Returns when clients of session pools have left and nobody else has work under way.
    async fn at_rest(&self) {
        while self.proxy.session_clients() > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.upstream.pause().await;
    }

    /// Reads the files again. When they cannot be used everything stays as it is.
    async fn reload(&self) {
        if let Some(Err(error)) = self.log.as_ref().map(LogFile::reopen) {
            tracing::warn!(%error, "cannot open the log file again");
        }
        let file = self.file.clone();
        match task::blocking(move || load(&file)).await {
            Ok(plan) => {
                self.upstream.reload(plan);
                self.proxy.reconfigure(&self.upstream.settings());
                tracing::info!("the configuration was read again");
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the configuration cannot be used; the old one stays in use");
            }
        }
    }
}

/// What a signal asks for.
enum Wish {
    Reload,
    Pause,
    Resume,
    End,
    EndNow,
}

/// PgBouncer's signals.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.terminate.recv() => Wish::EndNow,
            _ = self.quit.recv() => Wish::EndNow,
            _ = self.user1.recv() => Wish::Pause,
            _ = self.user2.recv() => Wish::Resume,
        }
    }

    /// A second signal while the first one's wish is being done.
    async fn impatient(&mut self) {
        loop {
            if matches!(self.next().await, Wish::End | Wish::EndNow) {
                return;
            }
        }
    }
}

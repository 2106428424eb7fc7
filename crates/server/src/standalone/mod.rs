//! `dormouse pool FILE.ini`: the proxy with its pooler in front of ordinary servers, in PgBouncer's place.
//!
//! ```text
//!  file ─► Plan ─► pidfile ─► sockets ─► proxy ─► ready
//!  SIGHUP  RELOAD: the files are read      SIGUSR1  PAUSE      SIGINT   end when nothing runs any more
//!          again, the log file is opened   SIGUSR2  RESUME     SIGTERM  end when nobody is connected any more
//!          again                                               SIGQUIT  end now; so does a second signal
//! ```
//!
//! The proxy's part is [`dormouse_proxy::upstream`]; here are files, sockets and signals. [`files`] reads the
//! configuration, [`addresses`] takes what it listens on, [`pidfile`] keeps a second one from starting, [`end`] is
//! how it ends, [`signals`] what the system says, [`successor`] takes the sockets over from another process, and by [`moving`]
//! its clients come.

mod addresses;
mod end;
mod files;
mod moving;
mod pidfile;
mod signals;
mod successor;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::rand;
use dormouse_pooler::config::Settings;
use dormouse_proxy::metrics::Metrics;
use dormouse_proxy::upstream::{Encryption, Plan, PlanError, Request, Requests, Shutdown, Upstream};
use dormouse_proxy::{Proxy, ProxyConfig};
use dormouse_runtime::task::{self, Scope};
use dormouse_runtime::telemetry::{Label, LogFile};

use end::Ending;
pub use files::{LoadError, load};
use moving::Moving;
use pidfile::PidFile;
use signals::{Signals, Wish};
pub use successor::{Inherited, take_over};

use crate::place;
use crate::systemd::{self, State};

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

/// What is logged, by `verbose` or how often `-v` was given.
const LOG_FILTERS: [&str; 4] =
    ["info,rustls=error", "info,dormouse_proxy=debug,dormouse_server=debug", "debug", "trace"];

/// What is logged at a level of verbosity.
#[must_use]
pub fn log_filter(verbosity: usize) -> &'static str {
    LOG_FILTERS[verbosity.min(LOG_FILTERS.len() - 1)]
}

/// Which PgBouncer this stands in for, in words.
#[must_use]
pub fn version() -> String {
    dormouse_proxy::console::version()
}

/// How a pooler is started.
#[derive(Debug)]
pub struct Start {
    /// The configuration's file.
    pub file: PathBuf,
    /// What it says.
    pub plan: Plan,
    /// Where it logs.
    pub log: LogFile,
    /// How much more than usual, by the command line.
    pub verbose: usize,
    /// What it has from the process that it replaces, if any.
    pub inherited: Inherited,
}

/// Runs a pooler until a signal or the console ends it. `ready` is called once, with what it listens on.
///
/// # Errors
/// When it cannot start.
pub async fn run(start: Start, ready: impl FnOnce(&[String])) -> Result<(), PoolError> {
    let Start { file, plan, log, verbose, inherited } = start;
    place::raise_descriptor_limit();
    let mut signals = Signals::new().map_err(system("wait for signals"))?;
    let replaces = inherited.is_something();
    use_syslog(&log, &plan.ini.settings);
    let (inherited, conversation) = inherited.apart();
    let _pidfile = PidFile::write(&setting(&plan, "pidfile"), replaces)?;
    for (name, note) in plan.ignored() {
        tracing::warn!("{name} has no effect here ({note})");
    }
    plan.lists.problems.iter().for_each(|problem| tracing::error!("{problem}"));
    let encryption = Encryption::load(&plan).map_err(PoolError::Plan)?;
    let (listen, told) = addresses::take(&plan, inherited)?;
    let door = Scope::new();
    let (upstream, mut requests) = Upstream::new(plan, encryption);
    let settings = upstream.settings();
    let config = ProxyConfig {
        listen,
        tls: None,
        max_client_conn: usize::try_from(settings.max_client_conn).unwrap_or(usize::MAX),
        max_conn_rate: 0,
        shards: std::thread::available_parallelism().map_or(1, usize::from),
        secret: rand::bytes::<SECRET>().to_vec(),
        pool: settings,
        upstream: Some(upstream.clone()),
    };
    let proxy = Proxy::start(config, Arc::new(upstream.clone()), Metrics::default(), &door);
    let proxy = Arc::new(proxy.map_err(system("start to listen"))?);
    tracing::info!(addresses = told.join(", "), pid = std::process::id(), "ready");
    ready(&told);
    systemd::tell(if replaces { State::ReadyInstead } else { State::Ready });
    let moving = Moving::default();
    if let Some(conversation) = conversation {
        moving::follow(&moving, conversation, (&proxy, &upstream), &door);
    }
    let pooler = Pooler { file, upstream, proxy, log, verbose, moving };
    pooler.follow(&mut signals, &mut requests).await;
    let _ended_in_time = door.close(DOOR_CLOSES_WITHIN).await;
    pooler.proxy.end_clients();
    tokio::time::sleep(GOODBYE_WITHIN).await;
    Ok(())
}

fn setting(plan: &Plan, name: &str) -> String {
    plan.ini.settings.get(name).unwrap_or_default()
}

/// Has lines sent to the system's log as well, or not, as the configuration says.
fn use_syslog(log: &LogFile, settings: &Settings) {
    let text = |name: &str| settings.get(name).unwrap_or_default();
    let (ident, facility) = (text("syslog_ident"), text("syslog_facility"));
    let wanted = text("syslog") == "1";
    let label = Label::new(&ident, &facility);
    let unknown = wanted && label.is_none();
    log.also_to_syslog(label.filter(|_| wanted));
    if unknown {
        tracing::warn!(
            "syslog is not used: there is no syslog_facility {facility:?} (`daemon`, `local0`, …)"
        );
    }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> PoolError {
    move |source| PoolError::System { what, source }
}

/// An error with all of its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        out.push_str(": ");
        out.push_str(&error.to_string());
        cause = error.source();
    }
    out
}

/// What runs.
struct Pooler {
    file: PathBuf,
    upstream: Upstream,
    proxy: Arc<Proxy>,
    log: LogFile,
    verbose: usize,
    moving: Moving,
}

impl Pooler {
    /// Does what signals and the console say, until the end.
    async fn follow(&self, signals: &mut Signals, requests: &mut Requests) {
        let (paused, moving) = (Scope::new(), Scope::new());
        self.speak(self.upstream.settings().verbose);
        let mut ending = Ending::default();
        loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Reload => drop(self.reload().await),
                    Wish::Pause if ending.has_begun() => {
                        tracing::warn!("got SIGUSR1 while shutting down, ignoring");
                    }
                    Wish::Pause => self.pause(&paused),
                    Wish::Resume if ending.has_begun() => {
                        tracing::warn!("got SIGUSR2 while shutting down, ignoring");
                    }
                    Wish::Resume => {
                        tracing::info!("resumed");
                        self.upstream.resume();
                    }
                    Wish::End(_) if ending.was_told() => break,
                    Wish::End(mode) => self.end(mode, &mut ending),
                },
                Some(request) = requests.recv() => self.asked(request, &mut ending, &moving).await,
                () = ending.is_over(self) => break,
            }
        }
        tracing::info!("ending now");
    }

    fn end(&self, mode: Shutdown, ending: &mut Ending) {
        systemd::tell(State::Stopping);
        ending.begin(mode, self);
    }

    fn pause(&self, paused: &Scope) {
        tracing::info!("pausing");
        let upstream = self.upstream.clone();
        paused.spawn("pause", async move {
            upstream.pause_all().await;
            tracing::info!("paused: nothing runs");
        });
    }

    /// Does what the console asks for. Who asked may have left; it is done nevertheless.
    async fn asked(&self, request: Request, ending: &mut Ending, moving: &Scope) {
        match request {
            Request::Reload(answer) => {
                let _left = answer.send(self.reload().await);
            }
            Request::Change(settings, answer) => {
                let mut ini = self.upstream.ini();
                ini.settings = *settings;
                let file = self.file.clone();
                let planned = task::blocking(move || files::plan(ini, &file)).await;
                let done = match planned {
                    Ok(plan) => {
                        self.apply(plan, false).await;
                        Ok(())
                    }
                    Err(error) => Err(chain(&error)),
                };
                let _left = answer.send(done);
            }
            Request::Shutdown(mode, answer) => {
                self.end(mode, ending);
                let _left = answer.send(());
            }
            Request::Replaced(conversation, answer) => {
                // The service goes on, so its manager is not told that it stops.
                tracing::info!("another process takes over");
                ending.replaced(self);
                self.proxy.leave_unix();
                if let Some(conversation) = conversation {
                    self.moving.begin(conversation, &self.proxy, moving);
                }
                let _left = answer.send(());
            }
        }
    }

    /// Reads the files again. When they cannot be used everything stays as it is.
    async fn reload(&self) -> bool {
        systemd::tell(State::Reloading);
        let done = self.read_again().await;
        systemd::tell(State::Ready);
        done
    }

    async fn read_again(&self) -> bool {
        if let Err(error) = self.log.reopen() {
            tracing::warn!(%error, "cannot open the log file again");
        }
        // SET conffile names another one, as in PgBouncer.
        let named = self.upstream.settings().get("conffile").filter(|name| !name.is_empty());
        let file = named.map_or_else(|| self.file.clone(), PathBuf::from);
        match task::blocking(move || load(&file)).await {
            Ok(plan) => self.apply(plan, true).await,
            Err(error) => {
                tracing::error!(
                    "the configuration cannot be used; the old one stays in use: {}",
                    chain(&error)
                );
                false
            }
        }
    }

    /// Uses a plan. When its TLS cannot be had, all of it is refused, or all but that: who sets one thing after the
    /// other on the console cannot have them fit together at every moment.
    async fn apply(&self, plan: Plan, whole: bool) -> bool {
        let (plan, encryption) = task::blocking(move || {
            let encryption = Encryption::load(&plan);
            (plan, encryption)
        })
        .await;
        let encryption = match encryption {
            Ok(encryption) => Some(encryption),
            Err(error) => {
                tracing::error!("TLS setup failed: {}", chain(&error));
                if whole {
                    tracing::error!("the configuration cannot be used; the old one stays in use");
                    return false;
                }
                None
            }
        };
        if whole {
            plan.lists.problems.iter().for_each(|problem| tracing::error!("{problem}"));
        }
        self.upstream.reload(plan, encryption, |settings| {
            self.proxy.reconfigure(settings);
            self.speak(settings.verbose);
            use_syslog(&self.log, settings);
        });
        if whole {
            tracing::info!("the configuration was read again");
        }
        true
    }

    fn speak(&self, verbose: u32) {
        let wanted = usize::try_from(verbose).unwrap_or(usize::MAX);
        self.log.set_filter(log_filter(self.verbose.max(wanted)));
    }
}

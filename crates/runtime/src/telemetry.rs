//! Logs and metrics.
//!
//! Logs go to standard error (standard output belongs to data). `DORMOUSE_LOG` sets the filter in
//! `tracing`'s syntax, `--log-format json` makes one JSON object a line. Lines at WARN and ERROR are
//! counted, so that "errors per minute" needs no log pipeline.
//!
//! Each crate keeps its metrics beside the code they measure and registers them in the one
//! [`Metrics`] that the server passes down.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry as Spans, reload};

mod lines;
mod syslog;

use lines::{Classic, Plain};
pub use syslog::Label;
use syslog::Syslog;

/// The environment variable with the log filter, for example `info,dormouse_proxy=debug`.
pub const LOG_FILTER_VARIABLE: &str = "DORMOUSE_LOG";

static WARNINGS: AtomicU64 = AtomicU64::new(0);
static ERRORS: AtomicU64 = AtomicU64::new(0);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Installs the logger of this process. A second call changes nothing.
pub fn start_logging(format: LogFormat, default_filter: &str) {
    let filter =
        EnvFilter::try_from_env(LOG_FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default_filter));
    let base = Spans::default().with(filter).with(CountLines);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(true);
    // A logger that is installed already (in tests) stays.
    let _already_installed = match format {
        LogFormat::Text => {
            base.with(lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init()
        }
        LogFormat::Json => base.with(lines.json()).try_init(),
    };
}

/// A file that log lines are appended to, and standard error and the system's log too if wanted.
#[derive(Debug, Clone)]
pub struct LogFile(Arc<LogFileInner>);

struct LogFileInner {
    /// None: standard error only, if that.
    file: Option<(PathBuf, Mutex<File>)>,
    also_stderr: bool,
    filter: reload::Handle<EnvFilter, Spans>,
    syslog: Syslog,
}

impl fmt::Debug for LogFileInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFileInner").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Installs the logger of this process, with PgBouncer's lines, and a file if one is given. A second call changes
/// nothing.
///
/// # Errors
/// When the file cannot be opened.
pub fn start_logging_to(path: Option<&Path>, also_stderr: bool, default_filter: &str) -> io::Result<LogFile> {
    let file = match path {
        Some(path) => Some((path.to_owned(), Mutex::new(open(path)?))),
        None => None,
    };
    let filter =
        EnvFilter::try_from_env(LOG_FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default_filter));
    let (filter, handle) = reload::Layer::new(filter);
    let syslog = Syslog::new();
    let inner = LogFileInner { file, also_stderr, filter: handle, syslog: syslog.clone() };
    let log = LogFile(Arc::new(inner));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(Classic)
        .fmt_fields(Plain)
        .with_writer(log.clone());
    // A logger that is installed already (in tests) stays.
    let _already_installed =
        Spans::default().with(filter).with(CountLines).with(lines).with(syslog).try_init();
    Ok(log)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl LogFile {
    /// Opens the file again, after whoever rotates logs has moved it.
    ///
    /// # Errors
    /// When that is not possible; the old one stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        if let Some((path, file)) = &self.0.file {
            *file.lock() = open(path)?;
        }
        Ok(())
    }

    /// Sends lines to the system's log too, labelled like this, or does not any more.
    pub fn also_to_syslog(&self, label: Option<Label>) {
        self.0.syslog.label(label);
    }

    /// Logs what this filter lets through, unless `DORMOUSE_LOG` says what to log.
    pub fn set_filter(&self, filter: &str) {
        if std::env::var_os(LOG_FILTER_VARIABLE).is_none() {
            // There is none any more only when the process ends.
            let _gone = self.0.filter.reload(EnvFilter::new(filter));
        }
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.also_stderr {
            // Nobody may be reading there; the file has it.
            let _unread = io::stderr().write_all(line);
        }
        self.0.file.as_ref().map_or(Ok(line.len()), |(_, file)| file.lock().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.file.as_ref().map_or(Ok(()), |(_, file)| file.lock().flush())
    }
}

struct CountLines;

impl<S: tracing::Subscriber> Layer<S> for CountLines {
    fn on_event(&self, event: &tracing::Event<'_>, _ctx: Context<'_, S>) {
        match *event.metadata().level() {
            tracing::Level::ERROR => ERRORS.fetch_add(1, Ordering::Relaxed),
            tracing::Level::WARN => WARNINGS.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

/// The registry of metrics, shared by all roles of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    registry: Mutex<Registry>,
}

impl Metrics {
    /// Registers metrics: called once by each crate when it starts.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock());
    }

    /// All metrics in the OpenMetrics text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        let lines = format!(
            "# HELP dormouse_log_lines Log lines by level.\n# TYPE dormouse_log_lines counter\n\
             dormouse_log_lines_total{{level=\"warn\"}} {}\ndormouse_log_lines_total{{level=\"error\"}} {}\n",
            WARNINGS.load(Ordering::Relaxed),
            ERRORS.load(Ordering::Relaxed),
        );
        out.push_str(&lines);
        // Writing into a String cannot fail.
        let _infallible = prometheus_client::encoding::text::encode(&mut out, &self.registry.lock());
        out
    }
}

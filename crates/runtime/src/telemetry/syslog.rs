//! The system's log, where a configuration of PgBouncer wants lines to go as well.
//!
//! A datagram for each line, which whoever listens stamps with the time itself:
//!
//! ```text
//!  <30>pgbouncer[4711]: C-0x2a: app/anna@10.0.0.7:40312 login attempt: …
//! ```
//!
//! Nothing waits for it: a line that it has no room for, or that nobody listens to, is lost there.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::{Context, Layer};

use super::lines::Plain;

/// Where it listens.
const PLACE: &str = "/dev/log";

/// The names of `syslog(3)`, without its `LOG_`, and their numbers.
const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// How lines are labelled there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The name of the program.
    ident: String,
    facility: u8,
}

impl Label {
    /// A program's, of a facility such as `daemon` or `local0`. `None`: there is no such facility.
    #[must_use]
    pub fn new(ident: &str, facility: &str) -> Option<Self> {
        let (_, number) = FACILITIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(facility))?;
        Some(Self { ident: ident.to_owned(), facility: *number })
    }

    fn line(&self, level: Level, text: &str) -> String {
        // error, warning, informational, debug
        let severity = match level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        format!("<{}>{}[{}]: {text}", self.facility * 8 + severity, self.ident, std::process::id())
    }
}

/// Sends each event there while that is wanted; see the module.
#[derive(Debug, Clone)]
pub(super) struct Syslog(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    place: PathBuf,
    label: Option<Label>,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    pub(super) fn new() -> Self {
        Self::at(PLACE.into())
    }

    fn at(place: PathBuf) -> Self {
        Self(Arc::new(Mutex::new(Inner { place, label: None, socket: None })))
    }

    /// From now on with this label, or not at all.
    pub(super) fn label(&self, label: Option<Label>) {
        self.0.lock().label = label;
    }
}

impl Inner {
    /// Sends a line; once more when whoever listened there has been started again since the last one.
    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            match socket.send(line) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => self.socket = None,
            }
        }
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.place)?;
        self.socket.insert(socket).send(line)?;
        Ok(())
    }
}

impl<S: Subscriber> Layer<S> for Syslog {
    fn on_event(&self, event: &Event<'_>, _ctx: Context<'_, S>) {
        let mut inner = self.0.lock();
        let Some(label) = &inner.label else { return };
        let mut text = String::new();
        if Plain.format_fields(Writer::new(&mut text), event).is_ok() {
            let line = label.line(*event.metadata().level(), &text);
            let _lost = inner.send(line.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn listen(place: &Path) -> UnixDatagram {
        let listener = UnixDatagram::bind(place).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    }

    fn next(listener: &UnixDatagram) -> Option<String> {
        let mut line = [0; 1000];
        listener.recv(&mut line).ok().map(|size| String::from_utf8(line[..size].to_vec()).unwrap())
    }

    #[test]
    fn lines_go_there_while_they_are_wanted_and_nothing_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("log");
        let syslog = Syslog::at(place.clone());
        let subscriber = tracing_subscriber::registry().with(syslog.clone());
        let pid = std::process::id();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("nobody wants it");
            syslog.label(Label::new("pgbouncer", "daemon"));
            tracing::info!("nobody listens");
            let listener = listen(&place);
            tracing::info!(place = "h:5432", "it\u{1b}[31m fails");
            assert_eq!(
                next(&listener).unwrap(),
                format!("<30>pgbouncer[{pid}]: it\\u{{1b}}[31m fails place=\"h:5432\"")
            );
            syslog.label(Label::new("two", "LOCAL7"));
            tracing::error!("bad");
            assert_eq!(next(&listener).unwrap(), format!("<187>two[{pid}]: bad"));

            // It is started again.
            drop(listener);
            std::fs::remove_file(&place).unwrap();
            tracing::warn!("lost");
            let listener = listen(&place);
            tracing::warn!("found");
            assert_eq!(next(&listener).unwrap(), format!("<188>two[{pid}]: found"));

            // More than it takes without being read.
            for _ in 0..10_000 {
                tracing::warn!("more");
            }
            while next(&listener).is_some() {}
            tracing::warn!("again");
            assert_eq!(next(&listener).unwrap(), format!("<188>two[{pid}]: again"));

            syslog.label(None);
            tracing::warn!("not any more");
            assert_eq!(next(&listener), None);
        });
        assert_eq!(Label::new("pgbouncer", "nonsense"), None);
    }
}

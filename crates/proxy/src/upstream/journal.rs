//! What is logged of a connection, in PgBouncer's words, because people have tools and habits that look for them.
//!
//! ```text
//!  C-0x2a: app/anna@10.0.0.7:40312 closing because: client_idle_timeout (age=61s)
//!  S-0x2b: app/anna@10.0.0.1:5432 new connection to server (from 10.0.0.9:51402)
//! ```

use std::fmt::{self, Display, Write};
use std::net::SocketAddr;

use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::ErrorResponse;
use dormouse_pooler::config::Settings;

use crate::bound::UNIX_PEER;

/// One connection, as the log calls it. Most are never written of, so the words are put together when they are.
#[derive(Debug)]
pub(crate) struct Journal {
    kind: char,
    number: u32,
    /// `database/user`.
    names: Box<str>,
    place: Place,
    since: Mono,
}

/// Where the other end is.
#[derive(Debug)]
enum Place {
    /// An address of the network.
    Peer(SocketAddr),
    /// A process at the other end of a Unix socket, and our port.
    Local(u32, u16),
    /// A server, in words.
    Server(Box<str>),
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(peer) => peer.fmt(f),
            Self::Local(process, port) => write!(f, "unix({process}):{port}"),
            Self::Server(place) => f.write_str(place),
        }
    }
}

/// What each of its lines begins with.
impl Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, number, names, place, .. } = self;
        write!(f, "{kind}-{number:#x}: {names}@{place}")
    }
}

impl Journal {
    /// A client. `process` is the one at the other end of a Unix socket; `port` is then ours.
    pub(crate) fn client(
        number: u32,
        names: (&str, &str),
        peer: SocketAddr,
        (process, port): (u32, u16),
    ) -> Self {
        let place = if peer == UNIX_PEER { Place::Local(process, port) } else { Place::Peer(peer) };
        Self { kind: 'C', number, names: clean(names), place, since: Mono::now() }
    }

    /// A connection to a server at `place`.
    pub(crate) fn server(number: u32, names: (&str, &str), place: &str) -> Self {
        Self {
            kind: 'S',
            number,
            names: clean(names),
            place: Place::Server(place.into()),
            since: Mono::now(),
        }
    }

    /// Something to know.
    pub(crate) fn say(&self, what: impl Display) {
        tracing::info!("{self} {}", OneLine(what));
    }

    /// Something to look after.
    pub(crate) fn warn(&self, what: impl Display) {
        tracing::warn!("{self} {}", OneLine(what));
    }

    /// Something that is wrong.
    pub(crate) fn error(&self, what: impl Display) {
        tracing::error!("{self} {}", OneLine(what));
    }

    /// The pooler itself does not let it go on; with an empty text without a word to the client.
    pub(crate) fn refused(&self, settings: &Settings, why: &str) {
        if settings.log_disconnections {
            self.closing(why);
        }
        if settings.log_pooler_errors && !why.is_empty() {
            self.warn(format_args!("pooler error: {why}"));
        }
    }

    /// It ends.
    pub(crate) fn closing(&self, why: impl Display) {
        self.say(format_args!("closing because: {why} (age={}s)", self.since.elapsed().as_secs()));
    }
}

/// Whatever was said, by clients and servers as well, on one line: a line of the log is one of ours.
struct OneLine<T>(T);

impl<T: Display> Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Passes everything on but control characters.
        struct Cleaned<'a, 'b>(&'a mut fmt::Formatter<'b>);

        impl Write for Cleaned<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for part in text.split_inclusive(char::is_control) {
                    match part.strip_suffix(char::is_control) {
                        Some(clean) => write!(self.0, "{clean}?")?,
                        None => self.0.write_str(part)?,
                    }
                }
                Ok(())
            }
        }

        write!(Cleaned(f), "{}", self.0)
    }
}

/// Names from outside, on one line.
fn clean((database, user): (&str, &str)) -> Box<str> {
    let names = [database, "/", user].concat();
    if names.contains(char::is_control) { names.replace(char::is_control, "?").into() } else { names.into() }
}

/// The text of an encoded ErrorResponse.
pub(crate) fn words(message: &[u8]) -> Option<String> {
    let body = message.get(5..)?;
    ErrorResponse::decode(body).ok().map(|error| error.fields.message().to_owned())
}

#[cfg(test)]
mod tests {
    use dormouse_pgwire::ClientError;

    use super::*;

    #[test]
    fn nobody_writes_lines_of_his_own() {
        let said = format!("login attempt: db={} user=x", "a\n2026 LOG forged\x1b[31m");
        assert_eq!(OneLine(said).to_string(), "login attempt: db=a?2026 LOG forged?[31m user=x");
        assert_eq!(OneLine("\r\n").to_string(), "??");
    }

    #[test]
    fn connections_are_called_as_pgbouncer_does() {
        let here = "127.0.0.1:4000".parse().unwrap();
        assert_eq!(
            Journal::client(42, ("db", "an\nna"), here, (0, 1)).to_string(),
            "C-0x2a: db/an?na@127.0.0.1:4000"
        );
        assert_eq!(
            Journal::client(1, ("db", "x"), UNIX_PEER, (7, 6432)).to_string(),
            "C-0x1: db/x@unix(7):6432"
        );
        assert_eq!(Journal::server(2, ("db", "x"), "h:5").to_string(), "S-0x2: db/x@h:5");
        assert_eq!(words(&ClientError::tls_required().encode()), Some(ClientError::tls_required().message));
        assert_eq!(words(b"Z"), None);
    }
}

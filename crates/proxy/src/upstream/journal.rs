//! What is logged of a connection, in PgBouncer's words, because people have tools and habits that look for them.
//!
//! ```text
//!  C-0x2a: app/anna@10.0.0.7:40312 closing because: client_idle_timeout (age=61s)
//!  S-0x2b: app/anna@10.0.0.1:5432 new connection to server (from 10.0.0.9:51402)
//! ```

use std::fmt::Display;
use std::net::SocketAddr;

use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::ErrorResponse;

use crate::bound::UNIX_PEER;

/// One connection, as the log calls it.
#[derive(Debug)]
pub(crate) struct Journal {
    prefix: String,
    since: Mono,
}

impl Journal {
    /// A client. `process` is the one at the other end of a Unix socket; `port` is then ours.
    pub(crate) fn client(
        number: u32,
        (database, user): (&str, &str),
        peer: SocketAddr,
        (process, port): (u32, u16),
    ) -> Self {
        let from = if peer == UNIX_PEER { format!("unix({process}):{port}") } else { peer.to_string() };
        Self {
            prefix: format!("C-{number:#x}: {}/{}@{from}", clean(database), clean(user)),
            since: Mono::now(),
        }
    }

    /// A connection to a server at `place`.
    pub(crate) fn server(number: u32, (database, user): (&str, &str), place: &str) -> Self {
        Self {
            prefix: format!("S-{number:#x}: {}/{}@{place}", clean(database), clean(user)),
            since: Mono::now(),
        }
    }

    /// Something to know.
    pub(crate) fn say(&self, what: impl Display) {
        tracing::info!("{} {what}", self.prefix);
    }

    /// Something to look after.
    pub(crate) fn warn(&self, what: impl Display) {
        tracing::warn!("{} {what}", self.prefix);
    }

    /// Something that is wrong.
    pub(crate) fn error(&self, what: impl Display) {
        tracing::error!("{} {what}", self.prefix);
    }

    /// It ends.
    pub(crate) fn closing(&self, why: impl Display) {
        self.say(format_args!("closing because: {why} (age={}s)", self.since.elapsed().as_secs()));
    }
}

/// A name from outside, on one line.
fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
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
    fn connections_are_called_as_pgbouncer_does() {
        let here = "127.0.0.1:4000".parse().unwrap();
        assert_eq!(
            Journal::client(42, ("db", "an\nna"), here, (0, 1)).prefix,
            "C-0x2a: db/an?na@127.0.0.1:4000"
        );
        assert_eq!(Journal::client(1, ("db", "x"), UNIX_PEER, (7, 6432)).prefix, "C-0x1: db/x@unix(7):6432");
        assert_eq!(Journal::server(2, ("db", "x"), "h:5").prefix, "S-0x2: db/x@h:5");
        assert_eq!(words(&ClientError::tls_required().encode()), Some(ClientError::tls_required().message));
        assert_eq!(words(b"Z"), None);
    }
}

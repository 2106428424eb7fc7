//! Whose is it? Pools know their clients and backends by a role's name, and a name may become another role's.
//!
//! PostgreSQL tells roles apart by a number that is never another's (`pg_authid.oid`). A client brings the one that it has
//! proved to be, a backend is asked for its own when it is opened, and nobody gets a backend of somebody else:
//!
//! | the client's role | the backend has | and logged in | then |
//! |---|---|---|---|
//! | known | the same | | the client gets it |
//! | known | another | before the client | the name was another's: it is closed, and there are others |
//! | known | another | after the client | the name is another's now: the client is told so, and ends |
//! | not known: its database slept | any | before the client | it is closed |
//! | not known | any | after the client | the client gets it, and is of that role from now on |
//!
//! Ordinary servers are not asked: there `dormouse pool` is what PgBouncer is.

use std::sync::atomic::{AtomicU32, Ordering};

use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::client_error::quoted;
use dormouse_pgwire::sqlstate::SqlState;

use crate::session::help;

/// What a backend is asked, together with its login. Its number holds whatever has become of the name meanwhile.
pub(super) const ASK: &str =
    "select usesysid from pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())";

/// No role has this number.
const UNKNOWN: u32 = 0;

/// Which role somebody was when it logged in.
#[derive(Debug)]
pub(crate) struct Identity {
    oid: AtomicU32,
    at: Mono,
}

/// What comes of a client and a backend that meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are of the same role, or it is not asked for.
    Same,
    /// The backend is another role's.
    Stranger,
    /// The client's role has lost its name.
    Renamed,
}

impl Identity {
    /// Who logged in at `at` as this role, if that is known.
    pub(crate) fn new(oid: Option<u32>, at: Mono) -> Self {
        Self { oid: AtomicU32::new(oid.unwrap_or(UNKNOWN)), at }
    }

    /// Its number, if it is known.
    pub(crate) fn oid(&self) -> Option<u32> {
        Some(self.oid.load(Ordering::Relaxed)).filter(|oid| *oid != UNKNOWN)
    }

    /// When it logged in.
    pub(super) fn at(&self) -> Mono {
        self.at
    }

    /// This client meets a backend that began to log in at `at` and is of role `oid`.
    pub(super) fn meets(&self, oid: Option<u32>, at: Mono) -> Verdict {
        let Some(theirs) = oid else { return Verdict::Same };
        match self.oid() {
            Some(own) if own == theirs => Verdict::Same,
            _ if at < self.at => Verdict::Stranger,
            Some(_) => Verdict::Renamed,
            None => {
                self.oid.store(theirs, Ordering::Relaxed);
                Verdict::Same
            }
        }
    }
}

/// What a client is told whose role has lost its name.
pub(crate) fn renamed(role: &str) -> ClientError {
    let text = format!("role {} is not the one that logged in here any more", quoted(role));
    ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text)
        .with_detail("It was renamed or dropped, and another one has its name.")
        .with_hint(help("role-renamed"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn nobody_gets_what_is_somebody_elses() {
        let now = Mono::now();
        let later = now.plus(Duration::from_millis(1));
        let known = Identity::new(Some(7), later);
        assert_eq!(known.meets(Some(7), now), Verdict::Same);
        assert_eq!(known.meets(Some(8), now), Verdict::Stranger);
        assert_eq!(known.meets(Some(8), later), Verdict::Renamed);
        assert_eq!(known.meets(None, now), Verdict::Same, "an ordinary server");
        let unknown = Identity::new(None, later);
        assert_eq!(unknown.meets(Some(8), now), Verdict::Stranger);
        assert_eq!((unknown.oid(), unknown.meets(Some(9), later)), (None, Verdict::Same));
        assert_eq!((unknown.oid(), unknown.meets(Some(8), later)), (Some(9), Verdict::Renamed));
    }
}

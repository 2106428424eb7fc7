//! What the caller answers a command with.

use super::command::Command;
use super::show::{Table, Width};

/// The answer to a command that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It was a SHOW.
    Table(Table),
    /// It was not.
    Done,
    /// It was not, and there is something to say.
    Notice(String),
}

/// The text of SHOW HELP.
pub(super) const HELP: &str = "
\tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION
\tSHOW PEERS|PEER_POOLS
\tSHOW FDS|SOCKETS|ACTIVE_SOCKETS|LISTS|MEM|STATE
\tSHOW DNS_HOSTS|DNS_ZONES
\tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS
\tSET key = arg
\tRELOAD
\tPAUSE [<db>]
\tRESUME [<db>]
\tDISABLE <db>
\tENABLE <db>
\tRECONNECT [<db>]
\tKILL [<db>]
\tKILL_CLIENT <client_id>
\tSUSPEND
\tSHUTDOWN
\tSHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS
\tWAIT_CLOSE [<db>]";

impl Command {
    /// The columns of its answer, as names and letters of [`super::Columns::kinds`]; empty when it has no rows.
    pub(super) fn columns(&self, width: Width) -> Vec<(&'static str, u8)> {
        match self {
            Self::Show(show) => show.seen(width),
            Self::ShowParameter { name, .. } => vec![(*name, b's')],
            _ => Vec::new(),
        }
    }
}

//! Why the pooler ends a client's connection, in PgBouncer's words, because people search for them.
//!
//! PgBouncer sends all of them as 08P01, and so do we in its place; else the codes are those that tell a driver what to do: 53300 means that
//! later may work, 57P05 that the client was idle, 25P03 that its transaction was, 25P04 that this was too long, and 57014 its query.

use dormouse_pgwire::{ClientError, SqlState};

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Farewell {
    /// The pooler has `max_client_conn` clients.
    MaxClientConn,
    /// The database has `max_db_client_connections` clients.
    MaxDbClientConnections,
    /// The role has `max_user_client_connections` clients.
    MaxUserClientConnections,
    /// It waited for a backend for `query_wait_timeout`.
    QueryWaitTimeout,
    /// It waited for so long in a pool that PAUSE or KILL had stopped.
    StoppedWaitTimeout,
    /// It waited for so long for a server that does not answer questions of ours.
    SilentServerTimeout,
    /// Its query ran for `query_timeout`.
    QueryTimeout,
    /// It waited for a backend for `query_timeout`.
    QueryTimeoutWaiting,
    /// It was idle for `client_idle_timeout`.
    ClientIdleTimeout,
    /// It was idle inside a transaction for `idle_transaction_timeout`.
    IdleTransactionTimeout,
    /// Its transaction was open for `transaction_timeout`.
    TransactionTimeout,
    /// It did not log in within `client_login_timeout`.
    ClientLoginTimeout,
    /// It used the simple protocol, and `disable_pqexec` is set.
    PqexecDisallowed,
    /// It opened a transaction, and the pool's mode is `statement`.
    LongTransaction,
    /// KILL_CLIENT.
    AdminDisconnect,
    /// KILL.
    PoolKilled,
    /// SHUTDOWN.
    ShuttingDown,
}

impl Farewell {
    /// PgBouncer's words.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::MaxClientConn => "no more connections allowed (max_client_conn)",
            Self::MaxDbClientConnections => "client connections exceeded (max_db_client_connections)",
            Self::MaxUserClientConnections => "client connections exceeded (max_user_client_connections)",
            Self::QueryWaitTimeout | Self::StoppedWaitTimeout | Self::SilentServerTimeout => {
                "query_wait_timeout"
            }
            Self::QueryTimeout => "query timeout",
            Self::QueryTimeoutWaiting => "query_timeout",
            Self::ClientIdleTimeout => "client_idle_timeout",
            Self::IdleTransactionTimeout => "idle transaction timeout",
            Self::TransactionTimeout => "transaction timeout",
            Self::ClientLoginTimeout => "client_login_timeout",
            Self::PqexecDisallowed => "PQexec disallowed",
            Self::LongTransaction => "transaction blocks not allowed in statement pooling mode",
            Self::AdminDisconnect => "admin forced disconnect",
            Self::PoolKilled => "database removed",
            Self::ShuttingDown => "server shutting down",
        }
    }

    const fn code(self) -> SqlState {
        match self {
            Self::MaxClientConn
            | Self::MaxDbClientConnections
            | Self::MaxUserClientConnections
            | Self::QueryWaitTimeout
            | Self::StoppedWaitTimeout
            | Self::SilentServerTimeout => SqlState::TOO_MANY_CONNECTIONS,
            Self::QueryTimeout | Self::QueryTimeoutWaiting => SqlState::QUERY_CANCELED,
            Self::TransactionTimeout => SqlState::TRANSACTION_TIMEOUT,
            Self::IdleTransactionTimeout => SqlState::IDLE_IN_TRANSACTION_TIMEOUT,
            Self::ClientIdleTimeout | Self::ClientLoginTimeout => SqlState::IDLE_SESSION_TIMEOUT,
            Self::PqexecDisallowed | Self::LongTransaction => SqlState::FEATURE_NOT_SUPPORTED,
            Self::AdminDisconnect | Self::PoolKilled | Self::ShuttingDown => SqlState::ADMIN_SHUTDOWN,
        }
    }

    const fn hint(self) -> Option<&'static str> {
        match self {
            Self::MaxClientConn | Self::MaxDbClientConnections | Self::MaxUserClientConnections => {
                Some("Close connections that are not used, or raise the setting.")
            }
            Self::QueryWaitTimeout => Some(
                "All backends of the pool were busy: raise default_pool_size, or find long transactions.",
            ),
            Self::StoppedWaitTimeout => {
                Some("An operator has paused the pool (PAUSE) or killed it (KILL): it goes on with RESUME.")
            }
            Self::SilentServerTimeout => {
                Some("The server did not take over the session's settings, or not answer server_check_query.")
            }
            Self::PqexecDisallowed => Some("Use the extended query protocol."),
            Self::QueryTimeout => Some("The query ran for too long and is cancelled: see query_timeout."),
            Self::TransactionTimeout => {
                Some("The transaction was open for too long and is rolled back: see transaction_timeout.")
            }
            Self::IdleTransactionTimeout => Some(
                "Nothing was done in an open transaction, which is rolled back: end transactions, or see idle_transaction_timeout.",
            ),
            Self::ClientIdleTimeout => Some("Connect again, or see client_idle_timeout."),
            Self::LongTransaction => Some("Use transaction or session mode."),
            _ => None,
        }
    }

    /// The same with PgBouncer's code.
    #[must_use]
    pub fn as_pgbouncer(self) -> ClientError {
        ClientError { code: SqlState::PROTOCOL_VIOLATION, ..self.client_error() }
    }

    /// The error that the client gets.
    #[must_use]
    pub fn client_error(self) -> ClientError {
        let error = ClientError::fatal(self.code(), self.message());
        match self.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes() {
        let error = Farewell::MaxClientConn.client_error();
        assert_eq!(error.to_string(), "FATAL 53300: no more connections allowed (max_client_conn)");
        assert!(error.hint.is_some());
        let [busy, stopped, silent] =
            [Farewell::QueryWaitTimeout, Farewell::StoppedWaitTimeout, Farewell::SilentServerTimeout]
                .map(Farewell::as_pgbouncer);
        assert_eq!(busy.to_string(), stopped.to_string());
        assert_eq!(busy.to_string(), silent.to_string());
        assert!(busy.hint.unwrap().contains("default_pool_size") && stopped.hint.unwrap().contains("RESUME"));
        assert_eq!(Farewell::AdminDisconnect.client_error().code, SqlState::ADMIN_SHUTDOWN);
    }
}

//! SQLSTATE codes: five characters by which drivers decide what to do. Drivers retry on class 08 and 57P03,
//! ask for another password on 28P01, and so on; choosing the right one matters more than the text.
//!
//! Only the codes that Dormouse itself sends are here. Add one with its PostgreSQL name when a new error needs it.

use std::fmt;

/// A five-character code. Only this module makes them, so a code that is not listed cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(&'static str);

impl SqlState {
    /// The five characters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The first two characters: the class that tells roughly what went wrong.
    #[must_use]
    pub fn class(self) -> &'static str {
        &self.0[..2]
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $code:literal,)+) => {
        impl SqlState {
            $($(#[$doc])+ pub const $name: Self = Self($code);)+

            /// Every code of this module, for tables in the documentation and for tests.
            pub const ALL: &'static [(&'static str, Self)] = &[$((stringify!($name), Self::$name)),+];
        }
    };
}

codes! {
    /// `successful_completion`: what notices have.
    SUCCESSFUL_COMPLETION = "00000",
    /// `connection_exception`: something is wrong with the connection as such.
    CONNECTION_EXCEPTION = "08000",
    /// `sqlclient_unable_to_establish_sqlconnection`: the connection could not be opened.
    UNABLE_TO_CONNECT = "08001",
    /// `sqlserver_rejected_establishment_of_sqlconnection`: the server does not want this connection.
    CONNECTION_REJECTED = "08004",
    /// `connection_failure`: an open connection broke.
    CONNECTION_FAILURE = "08006",
    /// `protocol_violation`: bytes that the protocol does not allow.
    PROTOCOL_VIOLATION = "08P01",
    /// `feature_not_supported`: understood, but not offered.
    FEATURE_NOT_SUPPORTED = "0A000",
    /// `invalid_parameter_value`: a setting or option has a value that it cannot have.
    INVALID_PARAMETER_VALUE = "22023",
    /// `in_failed_sql_transaction`: the transaction has failed and waits for its rollback.
    IN_FAILED_SQL_TRANSACTION = "25P02",
    /// `idle_in_transaction_session_timeout`: a transaction was open, and nothing was done in it for too long.
    IDLE_IN_TRANSACTION_TIMEOUT = "25P03",
    /// `transaction_timeout`: a transaction was open for too long.
    TRANSACTION_TIMEOUT = "25P04",
    /// `invalid_authorization_specification`: this role cannot connect like this.
    INVALID_AUTHORIZATION = "28000",
    /// `invalid_password`: the password is wrong, or the role does not exist (we do not say which).
    INVALID_PASSWORD = "28P01",
    /// `invalid_catalog_name`: no such database, branch or project.
    INVALID_CATALOG_NAME = "3D000",
    /// `insufficient_privilege`: known, but not allowed.
    INSUFFICIENT_PRIVILEGE = "42501",
    /// `insufficient_resources`: something ran out that has no code of its own.
    INSUFFICIENT_RESOURCES = "53000",
    /// `disk_full`: no space left.
    DISK_FULL = "53100",
    /// `out_of_memory`: no memory left.
    OUT_OF_MEMORY = "53200",
    /// `too_many_connections`: a connection limit is reached; later may work.
    TOO_MANY_CONNECTIONS = "53300",
    /// `configuration_limit_exceeded`: a quota is used up.
    CONFIGURATION_LIMIT_EXCEEDED = "53400",
    /// `program_limit_exceeded`: more than this server takes or gives in one piece.
    PROGRAM_LIMIT_EXCEEDED = "54000",
    /// `object_not_in_prerequisite_state`: right command, wrong moment.
    OBJECT_NOT_IN_PREREQUISITE_STATE = "55000",
    /// `query_canceled`: stopped on request, or by a time limit.
    QUERY_CANCELED = "57014",
    /// `admin_shutdown`: an administrator ended this connection.
    ADMIN_SHUTDOWN = "57P01",
    /// `crash_shutdown`: another process of the database crashed and took this one along.
    CRASH_SHUTDOWN = "57P02",
    /// `cannot_connect_now`: starting or stopping; try again.
    CANNOT_CONNECT_NOW = "57P03",
    /// `idle_session_timeout`: this session did nothing for too long.
    IDLE_SESSION_TIMEOUT = "57P05",
    /// `system_error`: the machine failed, not the request.
    SYSTEM_ERROR = "58000",
    /// `io_error`: reading or writing storage failed.
    IO_ERROR = "58030",
    /// `config_file_error`: a configuration that was to be read again cannot be used.
    CONFIG_FILE_ERROR = "F0000",
    /// `internal_error`: a mistake of ours.
    INTERNAL_ERROR = "XX000",
    /// `data_corrupted`: stored data does not hold what it should.
    DATA_CORRUPTED = "XX001",
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_well_formed_and_listed_once() {
        let mut seen = HashSet::new();
        for (name, code) in SqlState::ALL {
            assert_eq!(code.as_str().len(), 5, "{name}");
            assert!(code.as_str().bytes().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase()), "{name}");
            assert!(seen.insert(code.as_str()), "{name} is there twice");
        }
        assert_eq!(SqlState::INVALID_PASSWORD.class(), "28");
        assert_eq!(SqlState::CANNOT_CONNECT_NOW.to_string(), "57P03");
    }
}

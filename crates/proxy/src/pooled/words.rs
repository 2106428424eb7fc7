//! What a client is told when its backend ends.

use dormouse_pgwire::backend::{ErrorResponse, NoticeResponse, Severity};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::{ClientError, Encode};
use dormouse_pooler::link::Stateful;
use dormouse_runtime::gate::Closing;

use crate::session::{crashed, help, stopping};

/// Why the backend ended, as an error of the statement, not of the connection.
pub(super) fn of_statement(last: Option<&ErrorResponse>, closing: Option<Closing>) -> Vec<u8> {
    let (code, text) = match (last, closing) {
        (Some(last), _) if last.fields.code() == SqlState::ADMIN_SHUTDOWN.as_str() => {
            (SqlState::ADMIN_SHUTDOWN, "the statement was ended because the endpoint is stopping")
        }
        (_, Some(Closing::Draining | Closing::Now)) => {
            (SqlState::ADMIN_SHUTDOWN, "the statement was ended because the endpoint is stopping")
        }
        _ => (
            SqlState::CONNECTION_FAILURE,
            "PostgreSQL ended unexpectedly while the statement or its transaction ran",
        ),
    };
    ClientError::error(code, text)
        .with_detail("The transaction is rolled back, unless its COMMIT was already on the way. The connection goes on.")
        .with_hint(format!("Run the transaction again: the database comes back by itself. {}", help("pooled-transaction-lost")))
        .encode()
}

/// Why the connection ends.
pub(super) fn of_connection(
    last: Option<&ErrorResponse>,
    closing: Option<Closing>,
    pinned: Stateful,
) -> Vec<u8> {
    let told = match closing {
        Some(Closing::Draining | Closing::Now) => stopping(),
        Some(Closing::Crashed | Closing::Replaced) | None => crashed(),
    };
    match (pinned_by(pinned), last) {
        (Some(what), _) => told
            .with_detail(format!(
                "This session had {what}, which ends with its backend. Nothing that was committed is lost."
            ))
            .encode(),
        (None, Some(last)) => last.encode(),
        (None, None) => told.encode(),
    }
}

/// What keeps a client on its backend, in words.
pub(super) fn pinned_by(pinned: Stateful) -> Option<&'static str> {
    let named = [
        (Stateful::ADVISORY, "a session-level advisory lock"),
        (Stateful::TEMP, "temporary objects"),
        (Stateful::HOLD, "a cursor WITH HOLD"),
        (Stateful::PREPARE, "statements prepared by SQL"),
    ];
    named.into_iter().find(|(pin, _)| pinned.any(*pin)).map(|(_, what)| what)
}

/// Nobody could be served without it any longer.
pub(super) fn not_returned() -> Vec<u8> {
    ClientError::fatal(SqlState::ADMIN_SHUTDOWN, "this session could not be brought back in time")
        .with_detail("The database was asleep, and notifications may have been missed since it woke.")
        .with_hint(format!(
            "Connect again, LISTEN, and look for what is new. {}",
            help("endpoint-is-stopping")
        ))
        .encode()
}

/// All backends are busy.
pub(super) fn you_wait(database: &str) -> Vec<u8> {
    let text = format!("No server connection available in {database} backend, client being queued");
    NoticeResponse::new(Severity::Notice, SqlState::SUCCESSFUL_COMPLETION, &text).encode()
}

/// The client's settings could not be restored on a backend.
pub(super) fn not_restored(why: &str) -> ClientError {
    ClientError::fatal(SqlState::INVALID_PARAMETER_VALUE, "the settings of this session could not be applied")
        .with_detail(format!("PostgreSQL says: {why}"))
        .with_hint(help("session-settings"))
}

/// An operator ended it.
pub(super) fn killed(stands_in: bool) -> ClientError {
    let text = "terminating connection due to administrator command";
    if stands_in {
        return ClientError::fatal(SqlState::ADMIN_SHUTDOWN, format!("{text} (database removed)"));
    }
    ClientError::fatal(SqlState::ADMIN_SHUTDOWN, text).with_hint(help("endpoint-is-stopping"))
}

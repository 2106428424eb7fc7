//! What a client is told when its backend ends.

use dormouse_pgwire::backend::{ErrorResponse, NoticeResponse, Severity};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::{ClientError, Encode};
use dormouse_pooler::link::Stateful;
use dormouse_runtime::gate::Closing;

use super::client_info::ClientInfo;
use crate::session::{crashed, help, stopping};

/// What is the same for all of them.
const ROLLED_BACK: &str =
    "The transaction is rolled back, unless its COMMIT was already on the way. The connection goes on.";

/// What PostgreSQL ends one backend for on purpose: somebody asked, or a transaction's time was over.
const ON_PURPOSE: [SqlState; 3] =
    [SqlState::ADMIN_SHUTDOWN, SqlState::IDLE_IN_TRANSACTION_TIMEOUT, SqlState::TRANSACTION_TIMEOUT];

/// Why the backend ended, as an error of the statement, not of the connection. What PostgreSQL has said of it when that
/// was on purpose keeps its code and its words: programs compare them.
pub(super) fn of_statement(last: Option<&ErrorResponse>, closing: Option<Closing>) -> Vec<u8> {
    let stops = matches!(closing, Some(Closing::Draining | Closing::Now));
    let hint = format!(
        "Run the transaction again: the database comes back by itself. {}",
        help("pooled-transaction-lost")
    );
    let on_purpose =
        |last: &&ErrorResponse| ON_PURPOSE.iter().any(|code| code.as_str() == last.fields.code());
    if let Some(last) = last.filter(|last| !stops && on_purpose(last)) {
        let error = Severity::Error.as_str();
        let detail = format!("The backend of this statement was ended. {ROLLED_BACK}");
        return last.clone().field(b'S', error).field(b'V', error).detail(&detail).hint(&hint).encode();
    }
    let (code, text) = match stops {
        true => (SqlState::ADMIN_SHUTDOWN, "the statement was ended because the endpoint is stopping"),
        false => (
            SqlState::CONNECTION_FAILURE,
            "PostgreSQL ended unexpectedly while the statement or its transaction ran",
        ),
    };
    ClientError::error(code, text).with_detail(ROLLED_BACK).with_hint(hint).encode()
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
    let had = |what| {
        format!("This session had {what}, which ends with its backend. Nothing that was committed is lost.")
    };
    match (pinned_by(pinned), last) {
        // Somebody ended this one backend, and PostgreSQL knows why.
        (Some(what), Some(last)) if closing.is_none() => last.clone().detail(&had(what)).encode(),
        (Some(what), _) => told.with_detail(had(what)).encode(),
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

/// An operator ended it, or everything.
pub(super) fn killed(stands_in: bool, client: &ClientInfo) -> ClientError {
    let text = "terminating connection due to administrator command";
    if stands_in {
        let why = if client.is_dismissed() { "" } else { " (database removed)" };
        return ClientError::fatal(SqlState::ADMIN_SHUTDOWN, format!("{text}{why}"));
    }
    ClientError::fatal(SqlState::ADMIN_SHUTDOWN, text).with_hint(help("endpoint-is-stopping"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_statement_the_message_is_postgres_own() {
        const OWN: &str = "terminating connection due to administrator command";
        let postgres = ErrorResponse::new(Severity::Fatal, SqlState::ADMIN_SHUTDOWN, OWN);
        let told = |last, closing| {
            let bytes = of_statement(last, closing);
            let fields = ErrorResponse::decode(&bytes[5..]).unwrap().fields;
            assert!(!fields.is_fatal() && fields.hint().unwrap().contains("pooled-transaction-lost"));
            assert!(fields.detail().unwrap().ends_with(ROLLED_BACK));
            [fields.code(), fields.message(), fields.detail().unwrap()].map(str::to_owned)
        };
        let [code, text, detail] = told(Some(&postgres), None);
        assert_eq!((code.as_str(), text.as_str()), ("57P01", OWN));
        assert!(detail.starts_with("The backend of this statement was ended. "));
        assert!(told(Some(&postgres), Some(Closing::Draining))[1].contains("endpoint is stopping"));
        assert_eq!(told(None, None)[0], "08006");
        let crash =
            ErrorResponse::new(Severity::Fatal, SqlState::CRASH_SHUTDOWN, "because of crash of another");
        assert_eq!(told(Some(&crash), None)[0], "08006");
        let late = |code| ErrorResponse::new(Severity::Fatal, code, "due to a timeout");
        let [idle, long] = [SqlState::IDLE_IN_TRANSACTION_TIMEOUT, SqlState::TRANSACTION_TIMEOUT].map(late);
        assert_eq!(told(Some(&idle), None)[..2], ["25P03", "due to a timeout"]);
        assert_eq!(told(Some(&long), None)[..2], ["25P04", "due to a timeout"]);
    }

    #[test]
    fn who_loses_what_cannot_be_had_again_is_told_by_whom_and_what() {
        let postgres =
            ErrorResponse::new(Severity::Fatal, SqlState::ADMIN_SHUTDOWN, "due to administrator command");
        let told = |last, closing| {
            let bytes = of_connection(last, closing, Stateful::TEMP);
            let fields = ErrorResponse::decode(&bytes[5..]).unwrap().fields;
            assert!(fields.detail().unwrap().contains("temporary objects") && fields.is_fatal());
            (fields.code().to_owned(), fields.message().to_owned())
        };
        let (code, text) = told(Some(&postgres), None);
        assert_eq!((code.as_str(), text.as_str()), ("57P01", "due to administrator command"));
        assert!(told(Some(&postgres), Some(Closing::Now)).1.contains("endpoint is stopping"));
        assert_eq!(told(None, None).0, "57P02");
        assert_eq!(told(Some(&postgres), Some(Closing::Crashed)).0, "57P02");
    }
}

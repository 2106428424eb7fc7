//! Statements that begin, end or divide a transaction.

use super::classify::Statement;
use super::effect::Effect;

/// After the first word, which is given in lower case.
pub(super) fn read(statement: &mut Statement<'_, '_>, first: &[u8]) {
    statement.control = true;
    match first {
        b"begin" => statement.emit(Effect::Begin),
        b"start" => {
            statement.control = statement.lexer.keyword("transaction");
            if statement.control {
                statement.emit(Effect::Begin);
            }
        }
        b"savepoint" => statement.named(Effect::Savepoint),
        b"release" => {
            optional(statement, "savepoint");
            statement.named(Effect::Release);
        }
        _ => end(statement, matches!(first, b"rollback" | b"abort")),
    }
}

/// `COMMIT`, `ROLLBACK` and their other names. Those of a prepared transaction have nothing to do with the
/// session's own: PostgreSQL refuses them inside one.
fn end(statement: &mut Statement<'_, '_>, rollback: bool) {
    if statement.lexer.keyword("prepared") {
        statement.control = false;
        statement.defines = !rollback;
        return;
    }
    if !statement.lexer.keyword("work") {
        statement.lexer.keyword("transaction");
    }
    if rollback && statement.lexer.keyword("to") {
        optional(statement, "savepoint");
        return statement.named(Effect::RollbackTo);
    }
    statement.emit(if rollback { Effect::Rollback } else { Effect::Commit });
}

/// Reads a word that may be left out, unless it is the name itself.
fn optional(statement: &mut Statement<'_, '_>, word: &str) {
    let mut look = statement.lexer;
    if look.keyword(word) && look.peek().is_some() {
        statement.lexer = look;
    }
}

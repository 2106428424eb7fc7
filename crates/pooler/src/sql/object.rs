//! Statements that make something that may outlive their transaction, or that hold another statement.

use super::calls;
use super::classify::Statement;
use super::effect::Effect;
use super::lexer::{Token, is};
use super::spelling;

/// After `CREATE`.
pub(super) fn create(statement: &mut Statement<'_, '_>) {
    let lexer = &mut statement.lexer;
    if lexer.keyword("or") {
        lexer.keyword("replace");
    }
    let _ = lexer.keyword("local") || lexer.keyword("global");
    let temporary = lexer.keyword("temp") || lexer.keyword("temporary");
    let routine = lexer.keyword("function") || lexer.keyword("procedure");
    let runs =
        temporary || lexer.keyword("table") || lexer.keyword("unlogged") || lexer.keyword("materialized");
    if temporary || in_temp_schema(statement) {
        statement.emit(Effect::TempObject);
    }
    if routine {
        body(statement);
    } else if runs {
        execution(statement);
        calls::query(statement, b"create");
    }
}

/// After `IMPORT`, of a foreign schema.
pub(super) fn import(statement: &mut Statement<'_, '_>) {
    while let Some(token) = statement.lexer.next() {
        if matches!(token, Token::Word(word) if is(word, "into"))
            && spelling::name(&mut statement.lexer).is_some_and(|name| calls::is_temp_schema(&name))
        {
            statement.emit(Effect::TempObject);
        }
    }
}

/// Whether `pg_temp.` is anywhere: as the place of what is made, most likely.
fn in_temp_schema(statement: &Statement<'_, '_>) -> bool {
    let mut look = statement.lexer;
    while look.peek().is_some() {
        if calls::names_temp_schema(&mut look) {
            return true;
        }
        look.next();
    }
    false
}

/// `CREATE TABLE … AS EXECUTE name`.
fn execution(statement: &mut Statement<'_, '_>) {
    let begin = statement.lexer;
    while let Some(token) = statement.lexer.next() {
        if matches!(token, Token::Word(word) if is(word, "as")) && statement.lexer.keyword("execute") {
            statement.named(Effect::Execute);
            break;
        }
    }
    statement.lexer = begin;
}

/// The rest of a `CREATE FUNCTION`, whose body may be `BEGIN ATOMIC …; …; END`: those `;` do not end it. What is open at
/// the end of the text was read wrongly.
fn body(statement: &mut Statement<'_, '_>) {
    let (mut open, mut named) = (0_usize, false);
    loop {
        let token = statement.lexer.next();
        match token {
            // Behind these any word is a name.
            _ if named => {}
            Some(Token::Word(word)) if open == 0 && is(word, "begin") => {
                open = usize::from(statement.lexer.keyword("atomic"));
            }
            Some(Token::Word(word)) if open > 0 && is(word, "case") => open += 1,
            Some(Token::Word(word)) if is(word, "end") => open = open.saturating_sub(1),
            Some(_) => {}
            None if open > 0 && statement.lexer.semicolon() => {}
            None if open > 0 => return statement.emit(Effect::Do),
            None => return,
        }
        named = matches!(token, Some(Token::Symbol(b'.')))
            || matches!(token, Some(Token::Word(word)) if is(word, "as"));
    }
}

/// After `DECLARE`. `WITH HOLD` comes before `FOR`, where the query begins.
pub(super) fn declare(statement: &mut Statement<'_, '_>) {
    while let Some(token) = statement.lexer.next() {
        let Token::Word(word) = token else { continue };
        if is(word, "for") {
            return calls::query(statement, b"declare");
        }
        if is(word, "with") && statement.lexer.keyword("hold") {
            statement.emit(Effect::HoldCursor);
        }
    }
}

/// After `PREPARE`. What it prepares happens later, by an `EXECUTE` that does not tell what.
pub(super) fn prepare(statement: &mut Statement<'_, '_>) {
    let mut look = statement.lexer;
    if look.keyword("transaction") && matches!(look.peek(), Some(Token::Literal(_))) {
        statement.control = true;
        return statement.emit(Effect::Commit);
    }
    statement.named(Effect::Prepare);
    while let Some(token) = statement.lexer.next() {
        if matches!(token, Token::Word(word) if is(word, "as")) {
            if statement.query_has_effects() {
                statement.emit(Effect::Latent);
            }
            return;
        }
    }
}

/// After `COPY`: of a table or a query, between the server and the client or a file.
pub(super) fn copy(statement: &mut Statement<'_, '_>) {
    let mut look = statement.lexer;
    while let Some(token) = look.next() {
        let Token::Word(word) = token else { continue };
        if look.depth() == 0 && (is(word, "from") || is(word, "to")) {
            if look.keyword("stdin") || look.keyword("stdout") {
                statement.emit(Effect::Copy);
            }
            break;
        }
    }
    calls::query(statement, b"copy");
}

/// After `EXPLAIN`: with `ANALYZE` the statement is executed.
pub(super) fn explain(statement: &mut Statement<'_, '_>) {
    let lexer = &mut statement.lexer;
    let mut runs = false;
    let options = lexer.symbol(b'(');
    loop {
        match lexer.peek() {
            Some(Token::Word(word)) if is(word, "analyze") || is(word, "analyse") => {
                lexer.next();
                runs = !(options && (lexer.keyword("false") || lexer.keyword("off")));
            }
            Some(Token::Quoted(word)) if options && matches!(word, b"analyze" | b"analyse") => {
                lexer.next();
                runs = true;
            }
            Some(Token::Word(word)) if !options && is(word, "verbose") => drop(lexer.next()),
            Some(Token::Symbol(b')')) if options => {
                lexer.next();
                break;
            }
            Some(_) if options => drop(lexer.next()),
            _ => break,
        }
    }
    let executes = matches!(lexer.peek(), Some(Token::Word(word)) if is(word, "execute"));
    let mut inner = *lexer;
    while inner.symbol(b'(') {}
    // PostgreSQL refuses one in another; a text of nothing but EXPLAIN must not go deeper than the stack.
    let again = matches!(inner.peek(), Some(Token::Word(next)) if is(next, "explain"));
    if (runs || executes) && !again {
        statement.explained = true;
        statement.read();
    }
}

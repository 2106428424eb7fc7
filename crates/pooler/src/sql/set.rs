//! `SET` and `RESET`.
//!
//! ```text
//!  SET [SESSION | LOCAL] ─┬─ name { = | TO } { value, … | DEFAULT }
//!                         ├─ TIME ZONE · NAMES · SCHEMA · XML OPTION         one setting under another name
//!                         ├─ ROLE · SESSION AUTHORIZATION                    replayed in their own way
//!                         ├─ SESSION CHARACTERISTICS AS TRANSACTION mode, …  default_transaction_…
//!                         └─ TRANSACTION · CONSTRAINTS                       over with the transaction: no effect
//! ```
//!
//! A spelling that is not understood still says that it was a `SET`, and of what if that is known
//! ([`Value::Text`]); the caller asks PostgreSQL. A new spelling is an arm of [`special`].

use std::borrow::Cow;

use super::classify::Statement;
use super::effect::{Effect, Value};
use super::lexer::{Lexer, Token, is};
use super::spelling;

/// Settings whose value is a list of names, each of them quoted where it must be (GUC_LIST_QUOTE).
const NAME_LISTS: [&str; 4] =
    ["search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"];

/// After `SET`.
pub(super) fn set(statement: &mut Statement<'_, '_>) {
    let local = scope(&mut statement.lexer);
    if special(statement, local) {
        return;
    }
    let Some(name) = spelling::dotted(&mut statement.lexer) else {
        return unreadable(statement, Cow::Borrowed(""), local);
    };
    let lexer = &mut statement.lexer;
    let value = if lexer.symbol(b'=') || lexer.keyword("to") { values(lexer, &name) } else { None };
    assign(statement, name, value, local);
}

/// After `RESET`.
pub(super) fn reset(statement: &mut Statement<'_, '_>) {
    let lexer = &mut statement.lexer;
    let name = if both(lexer, "time", "zone") {
        Some(Cow::Borrowed("timezone"))
    } else if both(lexer, "session", "authorization") {
        Some(Cow::Borrowed("session_authorization"))
    } else if lexer.keyword("all") {
        return statement.emit(Effect::ResetAll);
    } else {
        spelling::dotted(lexer)
    };
    match name {
        Some(name) if name.eq_ignore_ascii_case("transaction") => {}
        Some(name) if is_role(&name) => statement.emit(Effect::SetRole { value: None, local: false }),
        Some(name) if is_authorization(&name) => {
            statement.emit(Effect::SetSessionAuthorization { value: None, local: false });
        }
        Some(name) => statement.emit(Effect::Reset(name)),
        None => unreadable(statement, Cow::Borrowed(""), false),
    }
}

/// Reads two words, or nothing: the first may be the beginning of a name.
fn both(lexer: &mut Lexer<'_>, first: &str, second: &str) -> bool {
    let mut look = *lexer;
    let found = look.keyword(first) && look.keyword(second);
    if found {
        *lexer = look;
    }
    found
}

/// Reads `LOCAL` or `SESSION`; the latter is also the first word of two settings. Returns whether it was `LOCAL`.
fn scope(lexer: &mut Lexer<'_>) -> bool {
    let mut look = *lexer;
    if look.keyword("local") && !assigns(&look) {
        *lexer = look;
        return true;
    }
    if look.keyword("session") {
        let names_a_setting = matches!(look.peek(), Some(Token::Word(word))
            if is(word, "authorization") || is(word, "characteristics"));
        if !names_a_setting && !assigns(&look) {
            *lexer = look;
        }
    }
    false
}

/// Whether the word before was a name, because it is given a value.
fn assigns(lexer: &Lexer<'_>) -> bool {
    match lexer.peek() {
        Some(Token::Symbol(symbol)) => matches!(symbol, b'=' | b'.'),
        Some(Token::Word(word)) => is(word, "to"),
        _ => false,
    }
}

/// Forms that do not begin with the setting's name. Returns whether it was one.
fn special(statement: &mut Statement<'_, '_>, local: bool) -> bool {
    let mut lexer = statement.lexer;
    let Some(Token::Word(word)) = lexer.next() else { return false };
    if assigns(&lexer) {
        return false;
    }
    if is(word, "transaction") || is(word, "constraints") {
        return true;
    }
    if is(word, "session") && lexer.keyword("characteristics") {
        characteristics(statement, lexer, local);
        return true;
    }
    let (name, value) = if is(word, "role") {
        ("role", spelling::name_or_text(&mut lexer).map(Value::Plain))
    } else if is(word, "session") && lexer.keyword("authorization") {
        let default = lexer.keyword("default").then_some(Value::Default);
        ("session_authorization", default.or_else(|| spelling::name_or_text(&mut lexer).map(Value::Plain)))
    } else if is(word, "time") && lexer.keyword("zone") {
        ("timezone", time_zone(&mut lexer))
    } else if is(word, "names") {
        ("client_encoding", encoding(&mut lexer))
    } else if is(word, "schema") {
        let schema = spelling::name_or_text(&mut lexer);
        ("search_path", schema.map(|name| Value::Plain(Cow::Owned(spelling::quoted(&name).into_owned()))))
    } else if is(word, "xml") && lexer.keyword("option") {
        ("xmloption", spelling::name(&mut lexer).map(Value::Plain))
    } else {
        return false;
    };
    statement.lexer = lexer;
    let value = if lexer.peek().is_none() { value } else { None };
    assign(statement, Cow::Borrowed(name), value, local);
    true
}

/// A setting has a value now, or one that could not be read.
fn assign<'a>(statement: &mut Statement<'a, '_>, name: Cow<'a, str>, value: Option<Value<'a>>, local: bool) {
    let own = is_role(&name) || is_authorization(&name);
    let value = match value {
        None => return unreadable(statement, name, local),
        Some(value) if !own => return statement.emit(Effect::Set { name, value, local }),
        Some(Value::Plain(value)) => Some(value),
        Some(_) => None,
    };
    if is_role(&name) {
        return statement.emit(Effect::SetRole { value, local });
    }
    statement.emit(Effect::SetSessionAuthorization { value, local });
}

fn unreadable<'a>(statement: &mut Statement<'a, '_>, name: Cow<'a, str>, local: bool) {
    while statement.lexer.next().is_some() {}
    let text = String::from_utf8_lossy(statement.lexer.since(statement.start));
    statement.emit(Effect::Set { name, value: Value::Text(text), local });
}

fn is_role(name: &str) -> bool {
    name.eq_ignore_ascii_case("role")
}

fn is_authorization(name: &str) -> bool {
    name.eq_ignore_ascii_case("session_authorization")
}

/// After `=` or `TO`, to the end of the statement.
fn values<'a>(lexer: &mut Lexer<'a>, setting: &str) -> Option<Value<'a>> {
    if lexer.keyword("default") {
        return lexer.peek().is_none().then_some(Value::Default);
    }
    let quote = NAME_LISTS.iter().any(|list| list.eq_ignore_ascii_case(setting));
    let first = element(lexer, quote)?;
    if lexer.peek().is_none() {
        return Some(Value::Plain(first));
    }
    let mut list = first.into_owned();
    while lexer.symbol(b',') {
        list.push_str(", ");
        list.push_str(&element(lexer, quote)?);
    }
    lexer.peek().is_none().then_some(Value::Plain(Cow::Owned(list)))
}

/// One value as it stands in a list. Numbers are never quoted.
fn element<'a>(lexer: &mut Lexer<'a>, quote: bool) -> Option<Cow<'a, str>> {
    let number = matches!(lexer.peek()?, Token::Number(_) | Token::Symbol(_));
    let value = value(lexer)?;
    if number || !quote {
        return Some(value);
    }
    match spelling::quoted(&value) {
        Cow::Owned(quoted) => Some(Cow::Owned(quoted)),
        Cow::Borrowed(_) => Some(value),
    }
}

/// One name, text or number.
fn value<'a>(lexer: &mut Lexer<'a>) -> Option<Cow<'a, str>> {
    let negative = lexer.symbol(b'-');
    let signed = negative || lexer.symbol(b'+');
    match lexer.peek()? {
        Token::Number(digits) => {
            lexer.next();
            spelling::number(digits, negative)
        }
        Token::Word(_) | Token::Quoted(_) | Token::Literal(_) if !signed => spelling::name_or_text(lexer),
        _ => None,
    }
}

/// After `TIME ZONE`. An interval is written as PostgreSQL's own check of the setting reads it.
fn time_zone<'a>(lexer: &mut Lexer<'a>) -> Option<Value<'a>> {
    if lexer.keyword("local") || lexer.keyword("default") {
        return Some(Value::Default);
    }
    if !lexer.keyword("interval") {
        return value(lexer).map(Value::Plain);
    }
    let Some(Token::Literal(literal)) = lexer.next() else { return None };
    let span = spelling::text(literal).filter(|span| span.contains(':') && !span.contains(['\'', '\\']))?;
    // In a span that has no place for seconds PostgreSQL cuts them off.
    let cut = span.matches(':').count() > 1 && lexer.peek().is_some();
    if cut || lexer.keyword("hour") && !(lexer.keyword("to") && lexer.keyword("minute")) {
        return None;
    }
    Some(Value::Plain(Cow::Owned(format!("INTERVAL '{span}'"))))
}

/// After `NAMES`.
fn encoding<'a>(lexer: &mut Lexer<'a>) -> Option<Value<'a>> {
    match lexer.peek() {
        None => Some(Value::Default),
        Some(Token::Literal(_)) => spelling::name_or_text(lexer).map(Value::Plain),
        Some(_) => lexer.keyword("default").then_some(Value::Default),
    }
}

/// After `SESSION CHARACTERISTICS`: each mode is a setting.
fn characteristics<'a>(statement: &mut Statement<'a, '_>, mut lexer: Lexer<'a>, local: bool) {
    let understood = lexer.keyword("as") && lexer.keyword("transaction");
    while understood && lexer.peek().is_some() {
        let Some((name, value)) = mode(&mut lexer) else { break };
        let (name, value) = (Cow::Borrowed(name), Value::Plain(Cow::Borrowed(value)));
        statement.emit(Effect::Set { name, value, local });
        lexer.symbol(b',');
    }
    statement.lexer = lexer;
    if !understood || lexer.peek().is_some() {
        unreadable(statement, Cow::Borrowed(""), false);
    }
}

fn mode(lexer: &mut Lexer<'_>) -> Option<(&'static str, &'static str)> {
    if lexer.keyword("isolation") {
        let level = lexer.keyword("level");
        let value = if lexer.keyword("serializable") {
            "serializable"
        } else if lexer.keyword("repeatable") {
            lexer.keyword("read").then_some("repeatable read")?
        } else if lexer.keyword("read") && lexer.keyword("committed") {
            "read committed"
        } else {
            lexer.keyword("uncommitted").then_some("read uncommitted")?
        };
        return level.then_some(("default_transaction_isolation", value));
    }
    if lexer.keyword("read") {
        let only = lexer.keyword("only");
        let understood = only || lexer.keyword("write");
        return understood.then_some(("default_transaction_read_only", if only { "on" } else { "off" }));
    }
    let not = lexer.keyword("not");
    let value = if not { "off" } else { "on" };
    lexer.keyword("deferrable").then_some(("default_transaction_deferrable", value))
}

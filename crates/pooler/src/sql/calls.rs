//! What a query calls: advisory locks and `set_config`; and the two other things that hide in queries, a new
//! temporary table (`SELECT … INTO TEMP t`) and a changed setting (`UPDATE pg_settings`).

use std::borrow::Cow;

use super::classify::Statement;
use super::effect::{Effect, Given};
use super::lexer::{Lexer, Token, is};
use super::spelling::{self, may_be_custom};

/// Room for the longest name that is looked for, `pg_try_advisory_lock_shared`.
const MAX_FUNCTION: usize = 28;

/// The parts that a name can have: a database, a schema, a table, a column. In a longer one nothing is looked for, for it
/// would be read again behind each of its dots.
const MAX_PARTS: usize = 4;

/// The view that can be updated.
const SETTINGS: &str = "pg_settings";

/// After the first word of a query, which is given.
pub(super) fn query(statement: &mut Statement<'_, '_>, first: &[u8]) {
    let mut previous = Token::Word(first);
    let believed = is(first, "select") && !statement.explained;
    let mut known =
        Known { whole: statement.lexer, once: (!believed).then_some(false), read: 0, named: false };
    let mut updates = is(first, "update");
    while let Some(token) = statement.lexer.next() {
        let name = match token {
            Token::Word(word) if is(word, "into") => {
                into(statement, previous);
                b""
            }
            Token::Word(word) if is(word, "update") => {
                updates = true;
                b""
            }
            Token::Word(word) if is(word, SETTINGS) => {
                settings(statement, updates);
                b""
            }
            Token::Quoted(word) if word == SETTINGS.as_bytes() => {
                settings(statement, updates);
                b""
            }
            Token::Word(word) | Token::Quoted(word) => word,
            _ => {
                previous = token;
                continue;
            }
        };
        if statement.lexer.symbol(b'(') {
            call(statement, token, name, &mut known);
        }
        previous = token;
    }
}

/// After the name of the view in a text: behind an `UPDATE` it is what is updated, most likely.
fn settings(statement: &mut Statement<'_, '_>, updates: bool) {
    if updates {
        statement.emit(Effect::SetConfig { name: None, value: None, local: Some(false) });
    }
}

/// After `INTO`: of `SELECT` it makes a table. `INSERT` and `MERGE` may have a table that is called temp.
fn into(statement: &mut Statement<'_, '_>, previous: Token<'_>) {
    if matches!(previous, Token::Word(word) if is(word, "insert") || is(word, "merge")) {
        return;
    }
    let mut look = statement.lexer;
    let _ = look.keyword("local") || look.keyword("global");
    look.keyword("table");
    if look.keyword("temp") || look.keyword("temporary") || names_temp_schema(&mut look) {
        statement.emit(Effect::TempObject);
    }
}

/// Reads a name up to the dot behind `pg_temp`, or nothing.
pub(super) fn names_temp_schema(lexer: &mut Lexer<'_>) -> bool {
    let mut look = *lexer;
    for _ in 0..MAX_PARTS {
        let Some(name) = spelling::name(&mut look) else { return false };
        if !look.symbol(b'.') {
            return false;
        }
        if is_temp_schema(&name) {
            *lexer = look;
            return true;
        }
    }
    false
}

/// Whether a schema is the session's own: by the name that everybody has for it, or by that which it has.
pub(super) fn is_temp_schema(name: &str) -> bool {
    name == "pg_temp" || name.starts_with("pg_temp_")
}

/// What was found out about a query on the way, so that nothing of it is read for each call again: a text of
/// nothing but calls would take minutes.
struct Known<'a> {
    /// All of it.
    whole: Lexer<'a>,
    /// Whether its calls happen once, if that was asked.
    once: Option<bool>,
    /// Up to where arguments were read.
    read: usize,
    /// Whether all its literals were looked at, for one may be a name.
    named: bool,
}

/// After the parenthesis of a call.
fn call<'a>(statement: &mut Statement<'a, '_>, token: Token<'_>, name: &[u8], known: &mut Known<'a>) {
    let mut small = [0; MAX_FUNCTION];
    let Some(small) = small.get_mut(..name.len()) else { return };
    small.copy_from_slice(name);
    if matches!(token, Token::Word(_)) {
        small.make_ascii_lowercase();
    }
    match &*small {
        b"pg_advisory_lock"
        | b"pg_advisory_lock_shared"
        | b"pg_try_advisory_lock"
        | b"pg_try_advisory_lock_shared" => statement.emit(Effect::AdvisoryLock),
        b"pg_advisory_unlock" | b"pg_advisory_unlock_shared" => statement.emit(Effect::AdvisoryUnlock),
        b"pg_advisory_unlock_all" => statement.emit(Effect::AdvisoryUnlockAll),
        b"set_config" => set_config(statement, known),
        _ => {}
    }
}

/// After `set_config(`. A copy of the position reads the arguments, for they may hold calls of their own; of one
/// inside them only the name is read.
fn set_config<'a>(statement: &mut Statement<'a, '_>, known: &mut Known<'a>) {
    let mut lexer = statement.lexer;
    if lexer.position() < known.read {
        let name = match lexer.next() {
            Some(Token::Literal(literal)) if lexer.symbol(b',') => spelling::text(literal),
            _ => None,
        };
        return statement.emit(Effect::SetConfig { name, value: None, local: None });
    }
    let name = argument(&mut lexer).and_then(Argument::text);
    let value = argument(&mut lexer).and_then(Argument::given);
    let local = argument(&mut lexer).and_then(Argument::boolean);
    known.read = lexer.position();
    let once = *known.once.get_or_insert_with(|| happens_once(known.whole));
    let told = name.is_some();
    statement.emit(Effect::SetConfig { name, value: value.filter(|_| once), local });
    if !told && !std::mem::replace(&mut known.named, true) {
        any_name(statement, known.whole);
    }
}

/// A call takes its name from elsewhere in the query, perhaps from a literal (`FROM (VALUES ('my.a', 'x')) …`).
fn any_name<'a>(statement: &mut Statement<'a, '_>, mut whole: Lexer<'a>) {
    while let Some(token) = whole.next() {
        if let Token::Literal(literal) = token
            && let Some(name) = spelling::text(literal).filter(|text| may_be_custom(text))
        {
            statement.emit(Effect::SetConfig { name: Some(name), value: None, local: None });
        }
    }
}

/// Whether a `SELECT` is nothing but calls of `set_config` and `current_setting`, each with a name of its own perhaps:
/// whatever else there may be can make them happen never or twice.
fn happens_once(mut select: Lexer<'_>) -> bool {
    loop {
        let mut called = select.next();
        if matches!(called, Some(Token::Word(word)) if is(word, "pg_catalog")) && select.symbol(b'.') {
            called = select.next();
        }
        let known = matches!(called, Some(Token::Word(word)) if is(word, "set_config") || is(word, "current_setting"));
        if !known || !select.symbol(b'(') {
            return false;
        }
        let depth = select.depth();
        while select.depth() >= depth && select.next().is_some() {}
        if select.keyword("as") || !matches!(select.peek(), None | Some(Token::Symbol(_))) {
            select.next();
        }
        if select.peek().is_none() {
            return true;
        }
        if !select.symbol(b',') {
            return false;
        }
    }
}

/// An argument that a literal or parameter says.
enum Argument<'a> {
    Text(Cow<'a, str>),
    Word(&'a [u8]),
    Parameter(u16),
}

impl<'a> Argument<'a> {
    fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Word(_) | Self::Parameter(_) => None,
        }
    }

    fn given(self) -> Option<Given<'a>> {
        match self {
            Self::Text(text) => Some(Given::Text(text)),
            Self::Parameter(number) => Some(Given::Parameter(number)),
            Self::Word(_) => None,
        }
    }

    fn boolean(self) -> Option<bool> {
        let word = match &self {
            Self::Text(text) => text.trim().as_bytes(),
            // Others are names of columns.
            Self::Word(word) if is(word, "true") || is(word, "false") => word,
            Self::Word(_) | Self::Parameter(_) => return None,
        };
        let any = |words: [&str; 5]| words.iter().any(|spelling| is(word, spelling));
        match () {
            () if any(["true", "t", "on", "yes", "1"]) => Some(true),
            () if any(["false", "f", "off", "no", "0"]) => Some(false),
            () => None,
        }
    }
}

/// Reads one argument and the comma or parenthesis after it. `None` when it is more than a literal or parameter.
fn argument<'a>(lexer: &mut Lexer<'a>) -> Option<Argument<'a>> {
    let depth = lexer.depth();
    let first = lexer.next()?;
    let mut simple = match first {
        Token::Literal(literal) => spelling::text(literal).map(Argument::Text),
        Token::Word(word) => Some(Argument::Word(word)),
        Token::Param(number) => number.map(Argument::Parameter),
        _ => None,
    };
    if matches!(first, Token::Symbol(b')' | b',')) {
        return None;
    }
    // 'x'::text is as good as 'x'.
    let mut look = *lexer;
    if look.symbol(b':')
        && look.symbol(b':')
        && (look.keyword("text") || look.keyword("boolean") || look.keyword("bool"))
    {
        *lexer = look;
    }
    while let Some(token) = lexer.next() {
        match token {
            Token::Symbol(b',') if lexer.depth() == depth => return simple,
            Token::Symbol(b')') if lexer.depth() < depth => return simple,
            _ => simple = None,
        }
    }
    None
}

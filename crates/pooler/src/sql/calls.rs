//! What a query calls: advisory locks and `set_config`; and the two other things that hide in queries, a new
//! temporary table (`SELECT … INTO TEMP t`) and a changed setting (`UPDATE pg_settings`).

use std::borrow::Cow;

use super::classify::Statement;
use super::effect::Effect;
use super::lexer::{Lexer, Token, is};
use super::spelling;

/// Room for the longest name that is looked for, `pg_try_advisory_lock_shared`.
const MAX_FUNCTION: usize = 28;

/// Words with which a call in the select list may happen never, or more than once.
const CONDITIONS: [&str; 14] = [
    "from",
    "where",
    "case",
    "coalesce",
    "nullif",
    "and",
    "or",
    "limit",
    "having",
    "union",
    "except",
    "intersect",
    "with",
    "offset",
];

/// After the first word of a query, which is given.
pub(super) fn query(statement: &mut Statement<'_, '_>, first: &[u8]) {
    let mut previous = Token::Word(first);
    let mut known = Known { whole: statement.lexer, once: None, read: 0 };
    while let Some(token) = statement.lexer.next() {
        let name = match token {
            Token::Word(word) if is(word, "into") => {
                into(statement, previous);
                b""
            }
            Token::Word(word) | Token::Quoted(word) => word,
            Token::Hidden => b"",
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

/// After `UPDATE`.
pub(super) fn update(statement: &mut Statement<'_, '_>) {
    let mut look = statement.lexer;
    look.keyword("only");
    let target = spelling::dotted(&mut look);
    if target.is_some_and(|name| matches!(&*name, "pg_settings" | "pg_catalog.pg_settings")) {
        statement.emit(Effect::SetConfig { name: None, value: None, local: Some(false) });
    }
    query(statement, b"update");
}

/// After `INTO`: of `SELECT` it makes a table. `INSERT` and `MERGE` may have a table that is called temp.
fn into(statement: &mut Statement<'_, '_>, previous: Token<'_>) {
    if matches!(previous, Token::Word(word) if is(word, "insert") || is(word, "merge")) {
        return;
    }
    let mut look = statement.lexer;
    let _ = look.keyword("local") || look.keyword("global");
    if look.keyword("temp") || look.keyword("temporary") || names_temp_schema(&mut look) {
        statement.emit(Effect::TempObject);
    }
}

/// Reads `pg_temp.`, or nothing.
pub(super) fn names_temp_schema(lexer: &mut Lexer<'_>) -> bool {
    let mut look = *lexer;
    let found = spelling::name(&mut look).is_some_and(|name| name == "pg_temp") && look.symbol(b'.');
    if found {
        *lexer = look;
    }
    found
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
}

/// After the parenthesis of a call.
fn call<'a>(statement: &mut Statement<'a, '_>, token: Token<'_>, name: &[u8], known: &mut Known<'a>) {
    if token == Token::Hidden {
        return statement.emit(Effect::Do);
    }
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
    let value = argument(&mut lexer).and_then(Argument::text);
    let local = argument(&mut lexer).and_then(Argument::boolean);
    known.read = lexer.position();
    let once = *known.once.get_or_insert_with(|| happens_once(known.whole));
    statement.emit(Effect::SetConfig { name, value: value.filter(|_| once), local });
}

/// Whether nothing in a statement can make its calls happen never or twice.
fn happens_once(mut statement: Lexer<'_>) -> bool {
    while let Some(token) = statement.next() {
        if matches!(token, Token::Word(word) if CONDITIONS.iter().any(|condition| is(word, condition))) {
            return false;
        }
    }
    true
}

/// An argument that a literal says.
enum Argument<'a> {
    Text(Cow<'a, str>),
    Word(&'a [u8]),
}

impl<'a> Argument<'a> {
    fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Word(_) => None,
        }
    }

    fn boolean(self) -> Option<bool> {
        let word = match &self {
            Self::Text(text) => text.trim().as_bytes(),
            Self::Word(word) => word,
        };
        let any = |words: [&str; 5]| words.iter().any(|spelling| is(word, spelling));
        match () {
            () if any(["true", "t", "on", "yes", "1"]) => Some(true),
            () if any(["false", "f", "off", "no", "0"]) => Some(false),
            () => None,
        }
    }
}

/// Reads one argument and the comma or parenthesis after it. `None` when it is more than a literal.
fn argument<'a>(lexer: &mut Lexer<'a>) -> Option<Argument<'a>> {
    let depth = lexer.depth();
    let first = lexer.next()?;
    let mut simple = match first {
        Token::Literal(literal) => spelling::text(literal).map(Argument::Text),
        Token::Word(word) => Some(Argument::Word(word)),
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

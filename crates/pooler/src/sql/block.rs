//! `DO` and `CALL`: what code may do cannot be known, so PostgreSQL is asked afterwards. It lists no settings of
//! one's own (`my.tenant`), though; those are asked for by name, and the names are read here.

use std::borrow::Cow;

use super::classify::Statement;
use super::effect::Effect;
use super::lexer::{Lexer, Token, is};
use super::spelling::{self, may_be_custom};

/// After `CALL`: an argument may be the name of what the procedure sets.
pub(super) fn call(statement: &mut Statement<'_, '_>) {
    statement.emit(Effect::Call);
    while let Some(token) = statement.lexer.next() {
        if let Token::Literal(literal) = token
            && let Some(name) = spelling::text(literal).filter(|text| may_be_custom(text))
        {
            statement.emit(Effect::SetConfig { name: Some(name), value: None, local: None });
        }
    }
}

/// After `DO`.
pub(super) fn read(statement: &mut Statement<'_, '_>) {
    statement.emit(Effect::Do);
    while let Some(token) = statement.lexer.next() {
        if let Token::Literal(literal) = token
            && let Some(code) = spelling::text(literal)
        {
            for name in settings(code.as_bytes(), true) {
                statement.emit(Effect::SetConfig { name: Some(Cow::Owned(name)), value: None, local: None });
            }
        }
    }
}

/// The names with a dot that follow `SET` and `RESET`, wherever they stand, and texts that look like one. Texts are code
/// as well, but those in them are not.
fn settings(code: &[u8], deeper: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut lexer = Lexer::new(code);
    while !lexer.finished() {
        let Some(token) = lexer.next() else {
            lexer.semicolon();
            continue;
        };
        let word = match token {
            Token::Word(word) => word,
            Token::Literal(literal) => {
                match spelling::text(literal) {
                    Some(text) if may_be_custom(&text) => found.push(text.into_owned()),
                    // What `EXECUTE` is given, perhaps.
                    Some(text) if deeper => found.extend(settings(text.as_bytes(), false)),
                    _ => {}
                }
                continue;
            }
            _ => continue,
        };
        let mut look = lexer;
        let name = if is(word, "set") || is(word, "reset") {
            let _scope = look.keyword("session") || look.keyword("local");
            spelling::dotted(&mut look)
        } else {
            None
        };
        found.extend(name.filter(|name| name.contains('.')).map(Cow::into_owned));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::settings;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let code = b"begin perform set_config('my.a', f(x), false); if y then SET LOCAL My.B = 1; reset work_mem; \
            execute 'set my.c = 1'; perform set_config(name, 'my.d', true); set session my.\"E\" to 2; end if; end";
        assert_eq!(settings(code, true), ["my.a", "my.b", "my.c", "my.d", "my.E"]);
        assert_eq!(settings(code, false), ["my.a", "my.b", "my.d", "my.E"]);
        assert_eq!(settings(b"begin call p('my.a', 'x y.z', ''); end", true), ["my.a"]);
        assert!(settings(b"-- set my.b = 1", true).is_empty());
    }
}

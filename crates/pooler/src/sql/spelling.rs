//! Names and texts from their spelling in SQL, and back.
//!
//! `None` always means: it cannot be known from the text, ask PostgreSQL.

use std::borrow::Cow;

use super::keywords::needs_quotes;
use super::lexer::{Kind, Lexer, Literal, Token};

/// Numbers with so many digits may be larger than an integer, which PostgreSQL keeps as they were written.
const MAX_DIGITS: usize = 10;

/// The bytes of a name that PostgreSQL keeps (NAMEDATALEN - 1).
const MAX_NAME: usize = 63;

/// Reads one name: a word, folded, or a quoted one.
pub(super) fn name<'a>(lexer: &mut Lexer<'a>) -> Option<Cow<'a, str>> {
    let mut look = *lexer;
    let name = match look.next()? {
        Token::Word(word) => folded(word),
        Token::Quoted(inside) => unquoted(inside),
        _ => return None,
    };
    *lexer = look;
    Some(name)
}

/// Reads a name that may have dots in it, as those of extensions' settings have.
pub(super) fn dotted<'a>(lexer: &mut Lexer<'a>) -> Option<Cow<'a, str>> {
    let mut whole = name(lexer)?;
    while lexer.symbol(b'.') {
        let part = name(lexer)?;
        let joined = whole.to_mut();
        joined.push('.');
        joined.push_str(&part);
    }
    Some(whole)
}

/// Reads a name or a text literal, as a role in `SET ROLE` may be.
pub(super) fn name_or_text<'a>(lexer: &mut Lexer<'a>) -> Option<Cow<'a, str>> {
    let mut look = *lexer;
    if let Some(Token::Literal(literal)) = look.next() {
        *lexer = look;
        return text(literal);
    }
    name(lexer)
}

/// Whether a text may be the name of a setting that PostgreSQL does not list, which has a dot in it. What PostgreSQL
/// would not take as one is none, or setting it again were an error.
pub(crate) fn may_be_custom(text: &str) -> bool {
    let is_part = |part: &str| {
        let begins = part.chars().next().is_some_and(|c| c == '_' || c.is_alphabetic());
        begins && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
    };
    text.len() <= MAX_NAME && text.contains('.') && text.split('.').all(is_part)
}

/// A name without quotes: ASCII letters become small, nothing else changes.
pub(super) fn folded(word: &[u8]) -> Cow<'_, str> {
    let name = String::from_utf8_lossy(word);
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return cut(Cow::Owned(name.to_ascii_lowercase()));
    }
    cut(name)
}

/// A name from between its quotes.
pub(super) fn unquoted(inside: &[u8]) -> Cow<'_, str> {
    let name = String::from_utf8_lossy(inside);
    if name.contains('"') {
        return cut(Cow::Owned(name.replace("\"\"", "\"")));
    }
    cut(name)
}

fn cut(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.len() <= MAX_NAME {
        return name;
    }
    let end = (0..=MAX_NAME).rev().find(|at| name.is_char_boundary(*at)).unwrap_or_default();
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(&name[..end]),
        Cow::Owned(mut name) => {
            name.truncate(end);
            Cow::Owned(name)
        }
    }
}

/// The text that a literal stands for.
pub(super) fn text(literal: Literal<'_>) -> Option<Cow<'_, str>> {
    match literal.kind {
        Kind::Unreadable => None,
        Kind::Dollar => std::str::from_utf8(literal.inside).ok().map(Cow::Borrowed),
        Kind::Plain => {
            let inside = std::str::from_utf8(literal.inside).ok()?;
            Some(if inside.contains('\'') {
                Cow::Owned(inside.replace("''", "'"))
            } else {
                Cow::Borrowed(inside)
            })
        }
        Kind::Escape => unescaped(literal.inside).map(Cow::Owned),
    }
}

/// An `E'…'` from between its quotes.
fn unescaped(inside: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\'' => out.extend(bytes.next()),
            b'\\' => match bytes.next()? {
                b'n' => out.push(b'\n'),
                b't' => out.push(b'\t'),
                b'r' => out.push(b'\r'),
                b'b' => out.push(8),
                b'f' => out.push(12),
                // By number: nobody spells a setting so, and each has rules of its own.
                b'x' | b'u' | b'U' | b'0'..=b'7' => return None,
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

/// A number as PostgreSQL writes it after having read it. Leading zeros go: a setting's value with them is octal. Where that
/// depends on its size, or a zero has a sign, it is not known.
pub(super) fn number<'a>(digits: &'a [u8], negative: bool) -> Option<Cow<'a, str>> {
    let digits = std::str::from_utf8(digits).ok()?;
    let whole = digits.bytes().all(|b| b.is_ascii_digit());
    let fraction =
        digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !fraction {
        return None;
    }
    let trimmed = digits.trim_start_matches('0');
    if whole
        && (trimmed.is_empty() && negative || trimmed.len() < digits.len() && trimmed.len() >= MAX_DIGITS)
    {
        return None;
    }
    let shortest = match trimmed {
        _ if !whole => digits,
        "" => "0",
        rest => rest,
    };
    Some(if negative { Cow::Owned(format!("-{shortest}")) } else { Cow::Borrowed(shortest) })
}

/// A name with quotes where it needs them, as in a list of names like `search_path`.
pub(super) fn quoted(name: &str) -> Cow<'_, str> {
    let mut bytes = name.bytes();
    let plain = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && !needs_quotes(name) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("\"{}\"", name.replace('"', "\"\"")))
}

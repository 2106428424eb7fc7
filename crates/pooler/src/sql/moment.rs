//! Texts that mean something else at another time: `'now'`, `'today'`, `'tomorrow'` and `'yesterday'` as values of a
//! date or time. PostgreSQL turns them into values when it analyses the statement, not when it runs it, so such a
//! statement must be parsed each time that its client parses it.

use super::lexer::{Lexer, Token};

/// The words.
const WORDS: [&[u8]; 4] = [b"now", b"today", b"tomorrow", b"yesterday"];

/// A piece of each: of most texts it is quickly seen that they have none.
const PIECES: [[u8; 3]; 3] = [*b"now", *b"day", *b"mor"];

/// The bit in which small and capital letters differ.
const CASE: u8 = 0x20;

/// Whether a literal of a text may say the time at which it is read. A literal that only has the word in it counts
/// as well.
pub(crate) fn is_of_the_moment(text: &[u8]) -> bool {
    if !may_be(text) {
        return false;
    }
    let mut lexer = Lexer::new(text);
    while !lexer.finished() {
        match lexer.next() {
            Some(Token::Literal(literal)) if says_a_moment(literal.inside) => return true,
            Some(_) => {}
            None => drop(lexer.semicolon()),
        }
    }
    false
}

fn may_be(text: &[u8]) -> bool {
    let Some(places) = text.len().checked_sub(2) else { return false };
    let (a, b, c) = (&text[..places], &text[1..=places], &text[2..]);
    let mut found = false;
    for i in 0..places {
        for [p, q, r] in PIECES {
            found |= (a[i] | CASE == p) & (b[i] | CASE == q) & (c[i] | CASE == r);
        }
    }
    found
}

/// Whether one of the words is in it as a word: PostgreSQL takes other characters around it, as in `{now,today}` or
/// `today 12:00`.
fn says_a_moment(literal: &[u8]) -> bool {
    literal
        .split(|byte| !byte.is_ascii_alphabetic())
        .any(|word| WORDS.iter().any(|moment| word.eq_ignore_ascii_case(moment)))
}

#[cfg(test)]
mod tests {
    use super::is_of_the_moment;

    #[test]
    fn only_literals_say_a_moment() {
        for text in [
            "insert into log (at, what) values ('now', $1)",
            "select date 'Today'",
            "select 'TOMORROW 10:00'::timestamp",
            "select '{yesterday,now}'::timestamptz[]",
            "select '[today,tomorrow)'::tstzrange",
            "select 1; select $x$now$x$",
            "select e' now\\n'::timestamptz",
        ] {
            assert!(is_of_the_moment(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "select now()",
            "select today, 'known' from yesterday -- 'now'",
            "select 'nowhere', 'a monday', \"now\"",
            "select 'x' /* 'today' */",
            "select $1 > now() - interval '1 day'",
        ] {
            assert!(!is_of_the_moment(text.as_bytes()), "{text}");
        }
    }
}

//! Most texts are one query that leaves nothing behind. Those are told by one look at the bytes.
//!
//! A text is let through when its first word is that of a query, nothing follows a `;`, and none of a few
//! four-letter pieces is in it, without which none of the things that can hide in a query can be spelt. A piece
//! in an innocent place (`template`) only means that the text is read properly. The search has no branches, so
//! that the compiler makes vector instructions of it.

use memchr::memchr;

use super::lexer::{Lexer, Token, is};

/// Statements that have no effect of their own.
const QUERIES: [&str; 8] = ["select", "insert", "update", "delete", "with", "values", "merge", "table"];

/// A piece of each thing that can hide: advisory locks, `set_config`, `INTO TEMP` and `pg_temp`, `pg_settings`.
const PIECES: [[u8; 4]; 4] = [*b"dvis", *b"onfi", *b"temp", *b"g_se"];

/// The bit in which small and capital letters differ.
const CASE: u8 = 0x20;

/// Whether the text is one query without effects. `false` says nothing.
pub(super) fn is_plain_query(mut lexer: Lexer<'_>) -> bool {
    while lexer.symbol(b'(') {}
    let Some(Token::Word(word)) = lexer.next() else { return false };
    if !QUERIES.iter().any(|query| is(word, query)) {
        return false;
    }
    let rest = lexer.rest();
    let more = memchr(b';', rest).and_then(|end| rest.get(end + 1..)).unwrap_or_default();
    more.iter().all(|b| b.is_ascii_whitespace() || *b == b';') && !may_hide(rest)
}

fn may_hide(text: &[u8]) -> bool {
    let Some(places) = text.len().checked_sub(3) else { return false };
    let (a, b, c, d) = (&text[..places], &text[1..=places], &text[2..places + 2], &text[3..]);
    let mut found = false;
    for i in 0..places {
        for [p, q, r, s] in PIECES {
            found |= (a[i] | CASE == p | CASE)
                & (b[i] | CASE == q | CASE)
                & (c[i] | CASE == r | CASE)
                & (d[i] | CASE == s | CASE);
        }
        // U&"…" can spell any name.
        found |= (a[i] == b'&') & (b[i] == b'"');
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_queries_go_through_and_others_do_not() {
        let plain = |text: &str| is_plain_query(Lexer::new(text.as_bytes()));
        for text in [
            "SELECT 1",
            "select 1;",
            " ((select 1)) ; \n",
            "/* app */ insert into t values ($1) -- end",
            "TABLE t",
            "select ad, vis, created_at, user_count from t",
        ] {
            assert!(plain(text), "{text}");
        }
        for text in [
            "",
            ";",
            "begin",
            "select 1; select 2",
            "select ';'||x",
            "select pg_ADVISORY_lock(1)",
            "select u&\"x\"(1)",
            "select set_CONFIG('a','b',false)",
            "select 1 into Temporary t",
            "update pg_settings set setting = 1",
        ] {
            assert!(!plain(text), "{text}");
        }
    }
}

//! SQL as PostgreSQL's scanner cuts it, one token at a time, without an allocation.
//!
//! ```text
//!  /* a */ SET "My".x = E'it\'s' ; …        None at the end of the statement: at the end of the text,
//!          └┬┘ └─┬┘│└ ┘ └───┬──┘ └ None     or at a `;` that is not inside parentheses (rules have such)
//!        Word Quoted Symbol Literal
//! ```
//!
//! Only what decides where a statement ends and what its words are is exact: comments (nested), every kind of
//! quote, names. Operators come byte by byte, for nobody here reads them. A text that stops in the middle of
//! a quote or comment simply ends there: PostgreSQL refuses all of it. A `Lexer` is a position; copy it to look
//! ahead.
//!
//! Two things are as in every session that we have seen, not as in every session there can be: a backslash in
//! `'…'` is a backslash (`standard_conforming_strings = on`; who says off is asked after each transaction, whatever
//! is read here), and the encoding has no ASCII inside a character (SJIS, Big5 and GBK have; who uses one of these is
//! asked likewise).

use memchr::{memchr, memchr2, memmem};

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A key word or a name without quotes, as written.
    Word(&'a [u8]),
    /// A name in quotes: what is between them, with `""` still double.
    Quoted(&'a [u8]),
    /// A name whose spelling is hidden by `U&"…"`.
    Hidden,
    /// A text.
    Literal(Literal<'a>),
    /// A number without its sign.
    Number(&'a [u8]),
    /// `$1`: its number, `None` for one that nothing can have.
    Param(Option<u16>),
    /// Any other byte.
    Symbol(u8),
}

/// A text literal as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Literal<'a> {
    /// What is between the quotes.
    pub(super) inside: &'a [u8],
    /// How it is to be read.
    pub(super) kind: Kind,
}

/// How a literal spells its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `'…'`, with `''` for a quote.
    Plain,
    /// `E'…'`, with backslashes too.
    Escape,
    /// `$tag$…$tag$`, as it is.
    Dollar,
    /// `U&'…'`, or an `E'…'` that goes on in the next line: too rare to be read.
    Unreadable,
}

/// A position in a text, and how many parentheses are open there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Where the next byte is that was not read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// How many parentheses are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// All that was not read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The text from a position up to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Whether nothing but white space and comments is left of the text.
    pub(super) fn finished(&mut self) -> bool {
        self.blank();
        self.at >= self.text.len()
    }

    /// Reads the `;` that ended a statement.
    pub(super) fn semicolon(&mut self) -> bool {
        self.blank();
        self.depth = 0;
        self.symbol(b';')
    }

    /// Reads this byte, or nothing.
    pub(super) fn symbol(&mut self, byte: u8) -> bool {
        let mut look = *self;
        look.blank();
        let found = look.byte() == Some(byte);
        if found {
            *self = look;
            self.other(byte);
        }
        found
    }

    /// Reads this key word (lower case), or nothing.
    pub(super) fn keyword(&mut self, keyword: &str) -> bool {
        let mut look = *self;
        let found = matches!(look.next(), Some(Token::Word(word)) if is(word, keyword));
        if found {
            *self = look;
        }
        found
    }

    /// The next token, which stays unread.
    pub(super) fn peek(&self) -> Option<Token<'a>> {
        let mut look = *self;
        look.next()
    }

    /// The next token; `None` at the end of the statement, as often as it is called.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        self.blank();
        let first = self.byte()?;
        if first == b';' && self.depth == 0 {
            return None;
        }
        Some(match first {
            b'\'' => self.plain(),
            b'"' => self.quoted(),
            b'$' => self.dollar(),
            b'0'..=b'9' => self.number(),
            b'.' if self.ahead(1).is_some_and(|b| b.is_ascii_digit()) => self.number(),
            _ if starts_name(first) => self.word(),
            _ => self.other(first),
        })
    }

    /// Skips white space and comments.
    pub(super) fn blank(&mut self) {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c') => self.at += 1,
                Some(b'-') if self.ahead(1) == Some(b'-') => {
                    self.at = memchr2(b'\n', b'\r', self.rest()).map_or(self.text.len(), |end| self.at + end);
                }
                Some(b'/') if self.ahead(1) == Some(b'*') => self.comment(),
                _ => return,
            }
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn ahead(&self, by: usize) -> Option<u8> {
        self.text.get(self.at + by).copied()
    }

    /// A comment in `/* */`, with those inside it.
    fn comment(&mut self) {
        let mut open = 0_usize;
        while let Some(found) = memchr2(b'/', b'*', self.rest()) {
            self.at += found;
            match (self.byte(), self.ahead(1)) {
                (Some(b'/'), Some(b'*')) => open += 1,
                (Some(b'*'), Some(b'/')) => open -= 1,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            self.at += 2;
            if open == 0 {
                return;
            }
        }
        self.at = self.text.len();
    }

    fn plain(&mut self) -> Token<'a> {
        let inside = self.between(b'\'');
        Token::Literal(Literal { inside, kind: Kind::Plain })
    }

    fn quoted(&mut self) -> Token<'a> {
        Token::Quoted(self.between(b'"'))
    }

    /// From an opening quote over the closing one. A double quote is a quote inside.
    fn between(&mut self, quote: u8) -> &'a [u8] {
        let start = self.at + 1;
        self.at = start;
        while let Some(found) = memchr(quote, self.rest()) {
            self.at += found + 1;
            if self.byte() != Some(quote) {
                return self.text.get(start..self.at - 1).unwrap_or_default();
            }
            self.at += 1;
        }
        self.at = self.text.len();
        self.text.get(start..).unwrap_or_default()
    }

    /// An `E'…'` whose quote is the next byte.
    fn escape(&mut self) -> Token<'a> {
        let start = self.at + 1;
        let mut kind = Kind::Escape;
        self.at = start;
        while let Some(found) = memchr2(b'\'', b'\\', self.rest()) {
            self.at += found + 1;
            match (self.text.get(self.at - 1), self.byte()) {
                (Some(b'\\'), _) | (_, Some(b'\'')) => self.at = self.text.len().min(self.at + 1),
                _ => {
                    let end = self.at - 1;
                    if !self.goes_on() {
                        return Token::Literal(Literal {
                            inside: self.text.get(start..end).unwrap_or_default(),
                            kind,
                        });
                    }
                    kind = Kind::Unreadable;
                }
            }
        }
        self.at = self.text.len();
        Token::Literal(Literal { inside: self.text.get(start..).unwrap_or_default(), kind })
    }

    /// Reads the quote that continues a literal after a line end, or nothing.
    fn goes_on(&mut self) -> bool {
        let mut look = *self;
        look.blank();
        let between = look.since(self.at);
        let goes_on = look.byte() == Some(b'\'') && memchr2(b'\n', b'\r', between).is_some();
        if goes_on {
            self.at = look.at + 1;
        }
        goes_on
    }

    fn dollar(&mut self) -> Token<'a> {
        let is_tag = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'_' || !b.is_ascii();
        let after = self.text.get(self.at + 1..).unwrap_or_default();
        let tag = after.iter().take_while(is_tag).count();
        if after.first().is_some_and(u8::is_ascii_digit) {
            let digits = after.iter().take_while(|b| b.is_ascii_digit()).count();
            self.at += 1 + digits;
            let number = std::str::from_utf8(&after[..digits]).ok().and_then(|number| number.parse().ok());
            return Token::Param(number);
        }
        if after.get(tag) != Some(&b'$') {
            self.at += 1;
            return Token::Symbol(b'$');
        }
        let quote = self.text.get(self.at..self.at + tag + 2).unwrap_or_default();
        let start = self.at + quote.len();
        let body = self.text.get(start..).unwrap_or_default();
        let length = memmem::find(body, quote);
        self.at = length.map_or(self.text.len(), |length| start + length + quote.len());
        let inside = body.get(..length.unwrap_or(body.len())).unwrap_or_default();
        Token::Literal(Literal { inside, kind: Kind::Dollar })
    }

    fn number(&mut self) -> Token<'a> {
        let start = self.at;
        while let Some(byte) = self.byte() {
            let signed = matches!(byte, b'+' | b'-')
                && matches!(self.text.get(self.at - 1), Some(b'e' | b'E'))
                && !matches!(self.text.get(start + 1), Some(b'x' | b'X'));
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || signed) {
                break;
            }
            self.at += 1;
        }
        Token::Number(self.since(start))
    }

    fn word(&mut self) -> Token<'a> {
        let start = self.at;
        let in_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'_' | b'$') || !b.is_ascii();
        self.at += self.rest().iter().take_while(in_name).count();
        let word = self.since(start);
        match (word, self.byte(), self.ahead(1)) {
            (b"e" | b"E", Some(b'\''), _) => self.escape(),
            (b"u" | b"U", Some(b'&'), Some(quote @ (b'\'' | b'"'))) => {
                self.at += 1;
                let inside = self.between(quote);
                match quote {
                    b'"' => Token::Hidden,
                    _ => Token::Literal(Literal { inside, kind: Kind::Unreadable }),
                }
            }
            _ => Token::Word(word),
        }
    }

    fn other(&mut self, byte: u8) -> Token<'a> {
        match byte {
            b'(' => self.depth += 1,
            b')' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.at += 1;
        Token::Symbol(byte)
    }
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

/// Whether a word is this key word (given in lower case).
pub(super) fn is(word: &[u8], keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword.as_bytes())
}

//! From a text to its statements, and from a statement's first word to whoever reads the rest.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;

use super::effect::{Discarded, Effect, Shape};
use super::lexer::{Lexer, Token};
use super::{block, calls, control, object, quick, set, spelling};

/// The longest key word that is looked at, and room for one byte more.
const MAX_KEYWORD: usize = 16;

/// Reads the text of a simple Query (any number of statements) or of a Parse, and tells each effect that its
/// statements have if they succeed.
pub fn classify(text: &[u8], each: &mut dyn FnMut(Effect<'_>)) -> Shape {
    walk(text, each, |_| {})
}

/// The statements of a text, one after the other: where each is, and the name if it is `DEALLOCATE` of one.
pub(crate) fn statements(text: &[u8], each: &mut dyn FnMut(Range<usize>, Option<&str>)) {
    let name = RefCell::new(None);
    let mut note = |effect: Effect<'_>| {
        if let Effect::Deallocate(one) = effect {
            *name.borrow_mut() = Some(one.into_owned());
        }
    };
    walk(text, &mut note, |place| each(place, name.take().as_deref()));
}

/// Reads a text, and tells of each statement where it was.
fn walk(text: &[u8], each: &mut dyn FnMut(Effect<'_>), mut ended: impl FnMut(Range<usize>)) -> Shape {
    let mut lexer = Lexer::new(text);
    let mut shape = Shape::default();
    if quick::is_plain_query(lexer) {
        shape.statements = 1;
        ended(0..text.len());
        return shape;
    }
    while !lexer.finished() {
        if lexer.semicolon() {
            continue;
        }
        if shape.statements > 0 {
            each(Effect::NextStatement);
        }
        shape.statements += 1;
        let start = lexer.position();
        let mut statement =
            Statement { lexer, start, each: &mut *each, explained: false, control: false, defines: false };
        statement.read();
        shape.transaction_control |= statement.control;
        shape.defines |= statement.defines;
        lexer = statement.lexer;
        while lexer.next().is_some() {}
        if hides(lexer.since(start)) {
            each(Effect::Do);
        }
        ended(start..lexer.position());
    }
    shape
}

/// One statement while it is read.
pub(super) struct Statement<'a, 'e> {
    /// Where we are.
    pub(super) lexer: Lexer<'a>,
    /// Where it began.
    pub(super) start: usize,
    each: &'e mut dyn FnMut(Effect<'_>),
    /// Whether it is in an `EXPLAIN`.
    pub(super) explained: bool,
    /// Whether it begins, ends or divides a transaction.
    pub(super) control: bool,
    /// Whether it may change tables, types or the like.
    pub(super) defines: bool,
}

impl<'a> Statement<'a, '_> {
    /// Tells an effect.
    pub(super) fn emit(&mut self, effect: Effect<'_>) {
        (self.each)(effect);
    }

    /// Reads the statement from its first word on.
    pub(super) fn read(&mut self) {
        while self.lexer.symbol(b'(') {}
        let Some(Token::Word(word)) = self.lexer.next() else { return };
        let mut small = [0; MAX_KEYWORD];
        let Some(small) = small.get_mut(..word.len()) else { return };
        small.copy_from_slice(word);
        small.make_ascii_lowercase();
        self.defines |= may_define(small);
        match &*small {
            b"select" | b"insert" | b"update" | b"delete" | b"with" | b"values" | b"merge" | b"table"
            | b"alter" => calls::query(self, word),
            b"begin" | b"start" | b"commit" | b"end" | b"rollback" | b"abort" | b"savepoint" | b"release" => {
                control::read(self, small);
            }
            b"set" => set::set(self),
            b"reset" => set::reset(self),
            b"prepare" => object::prepare(self),
            b"execute" => {
                self.named(Effect::Execute);
                calls::query(self, word);
            }
            b"deallocate" => self.deallocate(),
            b"listen" => self.named(Effect::Listen),
            b"unlisten" => self.unlisten(),
            b"notify" => self.emit(Effect::Notify),
            b"discard" => self.discard(),
            b"close" => self.close(),
            b"declare" => object::declare(self),
            b"fetch" | b"move" => self.emit(Effect::Fetch),
            b"create" => object::create(self),
            b"import" => object::import(self),
            b"copy" => object::copy(self),
            b"explain" => object::explain(self),
            b"load" => self.emit(Effect::Load),
            b"do" => block::read(self),
            b"call" => block::call(self),
            _ => {}
        }
    }

    /// Whether what follows, a query, has effects.
    pub(super) fn query_has_effects(&self) -> bool {
        let mut found = false;
        let each = &mut |_: Effect<'_>| found = true;
        let mut query = Statement {
            lexer: self.lexer,
            start: self.start,
            each,
            explained: false,
            control: false,
            defines: false,
        };
        while query.lexer.symbol(b'(') {}
        if let Some(Token::Word(word)) = query.lexer.next() {
            calls::query(&mut query, word);
        }
        found
    }

    /// An effect that has nothing but a name. Without a name PostgreSQL refuses the text.
    pub(super) fn named(&mut self, effect: fn(Cow<'a, str>) -> Effect<'a>) {
        if let Some(name) = spelling::name(&mut self.lexer) {
            self.emit(effect(name));
        }
    }

    fn deallocate(&mut self) {
        let mut look = self.lexer;
        if look.keyword("prepare") && look.peek().is_some() {
            self.lexer = look;
        }
        let effect = match self.lexer.keyword("all") {
            true => Some(Effect::DeallocateAll),
            false => spelling::name(&mut self.lexer).map(Effect::Deallocate),
        };
        // PostgreSQL refuses what has more behind it.
        if let Some(effect) = effect.filter(|_| self.lexer.peek().is_none()) {
            self.emit(effect);
        }
    }

    fn unlisten(&mut self) {
        if self.lexer.symbol(b'*') {
            return self.emit(Effect::UnlistenAll);
        }
        self.named(Effect::Unlisten);
    }

    fn close(&mut self) {
        if self.lexer.keyword("all") {
            return self.emit(Effect::CloseCursor(None));
        }
        self.named(|name| Effect::CloseCursor(Some(name)));
    }

    fn discard(&mut self) {
        let lexer = &mut self.lexer;
        let effect = if lexer.keyword("all") {
            Effect::DiscardAll
        } else if lexer.keyword("plans") {
            Effect::Discard(Discarded::Plans)
        } else if lexer.keyword("sequences") {
            Effect::Discard(Discarded::Sequences)
        } else if lexer.keyword("temp") || lexer.keyword("temporary") {
            Effect::Discard(Discarded::Temp)
        } else {
            return;
        };
        if lexer.peek().is_none() {
            self.emit(effect);
        }
    }
}

/// Whether a statement may have a name that is spelt by `U&"…"`: of what nobody reads, everything is possible.
fn hides(text: &[u8]) -> bool {
    memchr::memmem::find_iter(text, b"&\"").any(|at| at > 0 && text[at - 1].eq_ignore_ascii_case(&b'u'))
}

/// Whether a statement that begins with this word may change what others mean.
fn may_define(word: &[u8]) -> bool {
    !matches!(
        word,
        b"select"
            | b"insert"
            | b"update"
            | b"delete"
            | b"with"
            | b"values"
            | b"merge"
            | b"table"
            | b"begin"
            | b"start"
            | b"commit"
            | b"end"
            | b"rollback"
            | b"abort"
            | b"savepoint"
            | b"release"
            | b"set"
            | b"reset"
            | b"show"
            | b"prepare"
            | b"execute"
            | b"deallocate"
            | b"discard"
            | b"declare"
            | b"fetch"
            | b"move"
            | b"close"
            | b"listen"
            | b"unlisten"
            | b"notify"
            | b"copy"
            | b"explain"
            | b"lock"
            | b"truncate"
            | b"vacuum"
            | b"analyze"
            | b"checkpoint"
    )
}

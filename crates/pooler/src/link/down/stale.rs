//! Statements that are older than their tables.
//!
//! PostgreSQL refuses to run a prepared statement that would return other columns than when it was prepared, and
//! drivers know that error: they prepare anew. A backend that has to parse a client's statement first would return
//! whatever the tables have now, so it is asked what that is, and if the client was told something else, it gets
//! PostgreSQL's error from us.
//!
//! ```text
//!  client      told (a int, b int), on another backend; then the tables changed
//!  B E S  ──►  Parse, Describe, Flush                               the Bind waits
//!         ◄──  1 t T(a int, b text): not what it was told           left out
//!         ──►  B of a name that nobody has, E, S
//!         ◄──  E (no such statement), Z  ──►  E 0A000, Z
//! ```

use std::sync::Arc;

use dormouse_pgwire::backend::Fields;

use super::Down;
use crate::link::Common;
use crate::link::client::Client;
use crate::link::expect::{Compared, Described, Expect};
use crate::statement::{Fit, Shape, Statement};

/// How PostgreSQL says it.
const TEXT: &str = "cached plan must not change result type";

/// With this SQLSTATE, which others have as well.
const CODE: &str = "0A000";

/// What some drivers know it by.
const ROUTINE: &str = "RevalidateCachedQuery";

/// Whether an error says it.
pub(super) fn is_told(fields: &Fields) -> bool {
    fields.code() == CODE && fields.message() == TEXT
}

/// Says it.
pub(super) fn tell(out: &mut Vec<u8>) {
    let mut body = Vec::new();
    for (kind, value) in [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', CODE), (b'M', TEXT), (b'R', ROUTINE)] {
        body.push(kind);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    out.push(b'E');
    out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&body);
}

impl Down<'_> {
    /// The client is told what a statement returns.
    pub(super) fn described(&mut self, described: &Described, description: &[u8]) {
        let shape = Shape::of(description);
        if described.statement.tell(shape) || described.statement.is_verbatim() {
            return;
        }
        let own = apart(self.common, self.client, described);
        own.tell(shape);
        if let Some(types) = described.statement.types() {
            own.tell_types(types);
        }
        // Here it is as this client was told, so for the others it must be parsed anew, and asked what it is.
        self.server.prepared.outdate(&described.statement);
    }

    /// So are we.
    pub(super) fn learnt(&mut self, statement: &Statement, description: &[u8]) {
        let same = statement.shape().is_none_or(|told| told == Shape::of(description))
            && self.server.prepared.fit(statement.id()) != Fit::Bad;
        self.server.prepared.set_fit(statement.id(), if same { Fit::Good } else { Fit::Bad });
        if !same {
            self.common.registry.outdate();
        }
    }

    /// The backend has parsed a statement for a client that may never ask what it is. If others were told something else,
    /// what they go by is not forced on this one, nor on who prepares the text from now on.
    pub(super) fn compared(&mut self, compared: &Compared, description: &[u8]) {
        let Compared { described, types } = compared;
        let (statement, shape) = (&described.statement, Shape::of(description));
        let same_types = statement.types().is_none_or(|told| *told == **types);
        if same_types {
            self.is_as_told(statement.id());
        }
        if !same_types || statement.shape().is_some_and(|told| told != shape) {
            let own = apart(self.common, self.client, described);
            own.tell(shape);
            own.tell_types(types);
            self.server.prepared.outdate(statement);
            self.asks_of(described, &own);
        }
    }

    /// What the client has asked about its statement already is about its own.
    fn asks_of(&mut self, described: &Described, own: &Arc<Statement>) {
        for expect in &mut self.server.expect {
            if let Expect::Describe(Some(asked)) = expect
                && asked.name == described.name
                && Arc::ptr_eq(&asked.statement, &described.statement)
            {
                asked.statement = Arc::clone(own);
            }
        }
    }

    /// The backend has a statement with the types that its clients were told, unless it is to parse it once more.
    fn is_as_told(&mut self, id: u64) {
        let server = &mut *self.server;
        let parsed =
            |expect: &Expect| expect.definition().is_some_and(|definition| definition.id == Some(id));
        if server.definitions == 0 || !server.expect.iter().any(parsed) {
            server.prepared.is_as_told(id);
        }
    }

    /// The client, or we, are told what the parameters of a statement are.
    pub(super) fn parameters(&mut self, description: &[u8]) {
        // Behind their number.
        let types = description.get(2..).unwrap_or_default();
        match self.server.expect.front_mut() {
            Some(Expect::Learn(statement)) => {
                let (id, same) = (statement.id(), statement.tell_types(types));
                match same {
                    true => self.is_as_told(id),
                    false => self.server.prepared.set_fit(id, Fit::Bad),
                }
            }
            Some(Expect::Compare(compared)) => compared.types = types.into(),
            Some(Expect::Describe(Some(described))) => {
                let before = self.server.under_way.series.describes(&described.statement);
                if let Some(before) = before.filter(|before| !before.tell_types(types)) {
                    // It is not told again: its statement is the one of which it was told.
                    self.client.names.replace(&described.name, &described.statement, &before);
                }
                if described.statement.tell_types(types) || described.statement.is_verbatim() {
                    let id = described.statement.id();
                    self.is_as_told(id);
                    return;
                }
                let own = apart(self.common, self.client, described);
                own.tell_types(types);
                described.statement = own;
            }
            _ => {}
        }
    }
}

/// Others were told something else of a statement, and go by that: the client gets one of its own, and who prepares the
/// text from now on shares it with neither.
fn apart(common: &mut Common, client: &mut Client, described: &Described) -> Arc<Statement> {
    common.registry.outdate();
    let own = common.registry.apart(&described.statement);
    client.names.replace(&described.name, &described.statement, &own);
    own
}

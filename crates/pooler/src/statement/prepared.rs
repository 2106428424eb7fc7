//! Which of a pool's statements one backend has.
//!
//! By number: the text is held by those who may have to parse it again, which are clients. PostgreSQL has it anyway.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::{Reading, Statement, name_of};

#[derive(Debug)]
struct Known {
    statement: Weak<Statement>,
    used: u64,
    /// How it was read then.
    reading: Reading,
    /// It must be parsed anew all the same.
    outdated: bool,
    /// Its parameters certainly have the types that its clients were told.
    as_told: bool,
    fit: Fit,
}

/// Whether a statement returns what its clients were told, where it was parsed for one of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It does, as far as anybody was told.
    #[default]
    Good,
    /// The backend was asked.
    Asked,
    /// It does not: tables have changed meanwhile.
    Bad,
}

/// The statements that a backend has, or will have when it has read what was sent to it.
#[derive(Debug, Default)]
pub struct Prepared {
    known: HashMap<u64, Known>,
    clock: u64,
    unnamed: Option<u64>,
    /// Of one that its client had elsewhere, and for which it was parsed here.
    unnamed_fit: Fit,
    /// The statement that the client prepared last in the series under way.
    said: Option<u64>,
}

/// What using a statement needs.
#[derive(Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it is there.
    Nothing,
    /// It must be parsed.
    Parse,
    /// It is there, but may have been parsed before tables changed, or was read in a way that is not its client's:
    /// close it, then parse it.
    Renew,
}

/// A statement that a backend has until it has read what was sent to it.
#[derive(Debug)]
pub struct Place {
    id: u64,
    statement: Weak<Statement>,
}

impl Place {
    /// Of this one.
    #[must_use]
    pub fn of(statement: &Arc<Statement>) -> Self {
        Self { id: statement.id(), statement: Arc::downgrade(statement) }
    }

    /// The statement's number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the backend calls it.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(self.id)
    }
}

impl Prepared {
    /// A statement is about to be used by who reads texts so. Unless the answer is [`Need::Nothing`] the caller sends
    /// what is needed, and from now on the statement counts as there.
    ///
    /// A statement means what it meant when its client prepared it, or what it means now: PostgreSQL, too, reads it
    /// again when a table has changed. What it means to others it never means.
    pub fn want(&mut self, statement: &Arc<Statement>, reading: Reading) -> Need {
        self.clock += 1;
        if let Some(known) = self.known.get_mut(&statement.id()) {
            known.used = self.clock;
            let fits = known.reading == statement.reading() || known.reading == reading;
            // Who prepares it and uses it at once was told nothing before.
            let may_differ = statement.types().is_some_and(|types| !types.is_empty());
            let as_told = known.as_told || !may_differ || self.said == Some(statement.id());
            if fits && as_told && !known.outdated {
                return Need::Nothing;
            }
            (known.reading, known.outdated, known.as_told, known.fit) = (reading, false, false, Fit::Good);
            return Need::Renew;
        }
        self.add(Place::of(statement), reading);
        Need::Parse
    }

    /// The same for one whose name is its client's: it is what it is until PostgreSQL is told otherwise.
    pub fn want_verbatim(&mut self, statement: &Arc<Statement>) -> Need {
        let need = match self.known.get(&statement.id()) {
            Some(known) if !known.outdated => return Need::Nothing,
            Some(_) => Need::Renew,
            None if self.unnamed_is(statement) => return Need::Nothing,
            None => Need::Parse,
        };
        match statement.name().is_empty() {
            true => self.set_unnamed(Some(statement)),
            false => self.put(statement),
        }
        need
    }

    /// Its client prepares it.
    pub fn put(&mut self, statement: &Arc<Statement>) {
        self.add(Place::of(statement), Reading::default());
    }

    /// Whether one whose name is its client's can be used as it is.
    #[must_use]
    pub fn is_ready(&self, statement: &Statement) -> bool {
        match self.known.get(&statement.id()) {
            Some(known) => !known.outdated && known.fit == Fit::Good,
            None => self.unnamed_is(statement) && self.unnamed_fit == Fit::Good,
        }
    }

    fn add(&mut self, place: Place, reading: Reading) {
        self.clock += 1;
        let Place { id, statement } = place;
        let (outdated, as_told, fit) = (false, false, Fit::Good);
        self.known.insert(id, Known { statement, used: self.clock, reading, outdated, as_told, fit });
    }

    /// Whether it returns what its clients were told.
    #[must_use]
    pub fn fit(&self, id: u64) -> Fit {
        match self.known.get(&id) {
            Some(known) => known.fit,
            None if self.unnamed == Some(id) => self.unnamed_fit,
            None => Fit::Good,
        }
    }

    /// Notes that.
    pub fn set_fit(&mut self, id: u64, fit: Fit) {
        match self.known.get_mut(&id) {
            Some(known) => known.fit = fit,
            None if self.unnamed == Some(id) => self.unnamed_fit = fit,
            None => {}
        }
    }

    /// The types of its parameters are those that its clients were told.
    pub fn is_as_told(&mut self, id: u64) {
        if let Some(known) = self.known.get_mut(&id) {
            known.as_told = true;
        }
    }

    /// The client prepares this one, or begins another series. Returns what was said before.
    pub fn say(&mut self, statement: Option<u64>) -> Option<u64> {
        std::mem::replace(&mut self.said, statement)
    }

    /// It is there after all, as it was.
    pub fn put_back(&mut self, place: Place) {
        let id = place.id;
        self.add(place, Reading::default());
        if let Some(known) = self.known.get_mut(&id) {
            known.outdated = true;
        }
    }

    /// Whatever is there must be parsed again before it is used.
    pub fn outdate(&mut self, statement: &Statement) {
        if let Some(known) = self.known.get_mut(&statement.id()) {
            known.outdated = true;
        }
    }

    /// The same for all.
    pub fn outdate_all(&mut self) {
        self.known.values_mut().for_each(|known| known.outdated = true);
        self.unnamed = None;
    }

    /// Whether it is there as its client read it when it prepared it.
    #[must_use]
    pub fn has(&self, statement: &Statement) -> bool {
        let known = self.known.get(&statement.id());
        known.is_some_and(|known| {
            !known.outdated && known.fit == Fit::Good && known.reading == statement.reading()
        })
    }

    /// It is not there (any more).
    pub fn remove(&mut self, id: u64) {
        self.known.remove(&id);
    }

    /// The one to close so that no more than `max` are there: the one that was not used for the longest time.
    pub fn surplus(&mut self, max: usize) -> Option<Place> {
        if self.known.len() <= max {
            return None;
        }
        let id = *self.known.iter().min_by_key(|(_, known)| known.used)?.0;
        self.take(id)
    }

    /// Takes one away that is there.
    pub fn take(&mut self, id: u64) -> Option<Place> {
        self.known.remove(&id).map(|known| Place { id, statement: known.statement })
    }

    /// What the backend's unnamed statement is.
    #[must_use]
    pub fn unnamed_is(&self, statement: &Statement) -> bool {
        self.unnamed == Some(statement.id())
    }

    /// The backend's unnamed statement becomes another one, or none.
    pub fn set_unnamed(&mut self, statement: Option<&Statement>) {
        (self.unnamed, self.unnamed_fit) = (statement.map(Statement::id), Fit::Good);
    }

    /// Nothing is there any more.
    pub fn clear(&mut self) {
        self.known.clear();
        self.unnamed = None;
    }

    /// How many are there, without the unnamed one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Registry;
    use super::*;
    use crate::link::Stateful;

    fn want(prepared: &mut Prepared, statement: &Arc<Statement>) -> Need {
        prepared.want(statement, Reading::default())
    }

    #[test]
    fn the_least_recently_used_goes_first_and_old_ones_are_renewed() {
        let mut registry = Registry::default();
        let mut of = |n: u8| registry.intern(&[n, 0, 0, 0], |_| Stateful::default());
        let (a, b, c) = (of(b'a'), of(b'b'), of(b'c'));
        let mut prepared = Prepared::default();
        assert_eq!(want(&mut prepared, &a), Need::Parse);
        assert_eq!(want(&mut prepared, &b), Need::Parse);
        assert_eq!(want(&mut prepared, &a), Need::Nothing);
        assert_eq!(want(&mut prepared, &c), Need::Parse);
        assert_eq!(prepared.surplus(2).map(|s| s.id()), Some(b.id()));
        assert!(prepared.surplus(2).is_none());
        prepared.outdate(&a);
        assert_eq!(want(&mut prepared, &a), Need::Renew);
        assert_eq!(want(&mut prepared, &a), Need::Nothing);
    }

    #[test]
    fn it_means_what_it_meant_or_what_it_means_now_and_nothing_else() {
        let mut registry = Registry::default();
        let [berlin, utc, tokyo] = ["Berlin", "UTC", "Tokyo"].map(|zone| Reading::default().after(zone));
        let statement = registry.intern_as(b"s\0\0\0", berlin, |_| Stateful::default());
        let mut prepared = Prepared::default();
        // Prepared in Berlin, parsed here when its client was in UTC already.
        assert_eq!(prepared.want(&statement, utc), Need::Parse);
        assert!(!prepared.has(&statement), "who prepares it in Berlin must not get it");
        assert_eq!(prepared.want(&statement, utc), Need::Nothing);
        assert_eq!(prepared.want(&statement, tokyo), Need::Renew);
        assert_eq!(prepared.want(&statement, berlin), Need::Renew);
        assert!(prepared.has(&statement));
        assert_eq!(prepared.want(&statement, tokyo), Need::Nothing, "as when it was prepared");
    }

    #[test]
    fn a_backend_holds_no_texts() {
        let mut registry = Registry::default();
        let long = vec![b'x'; 70_000];
        let statement = registry.intern(&long, |_| Stateful::default());
        let mut prepared = Prepared::default();
        prepared.want(&statement, Reading::default());
        prepared.set_unnamed(Some(&statement));
        assert_eq!(Arc::strong_count(&statement), 1);
        assert_eq!(
            prepared.take(statement.id()).map(|place| place.name().into_bytes()),
            Some(statement.name().to_owned())
        );
    }
}

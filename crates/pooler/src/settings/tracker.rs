//! Settings as they follow transactions.
//!
//! ```text
//!            ┌───────── commit, ready 'I': what is in force stays ──────────┐
//!            ▼                                                              │
//!         ┌──────┐  a change, a savepoint (whatever transaction    ┌──────┐ │
//!    ───► │ idle │ ───────── it is in, also an implicit one) ────► │ open │─┘
//!         └──────┘                                                 └──────┘
//!            ▲                                               error │    ▲ rollback to savepoint, ready 'T'
//!            │                                                     ▼    │
//!            └── rollback, commit, ready 'I': as before it ────── failed
//! ```
//!
//! Idle costs nothing: a transaction is only remembered when it has something to lose. The caller feeds changes
//! of statements that succeeded, errors, and the status of each ReadyForQuery, in the order in which they came.

use super::change::Change;
use super::map::{Settings, SettingsError};
use super::{NO_ROLE, ROLE, SESSION_AUTHORIZATION};

/// How many savepoints of one transaction are remembered. More make what `ROLLBACK TO` leaves uncertain.
pub const MAX_SAVEPOINTS: usize = 256;

/// Settings are not what the tracker believes: ask the backend ([`super::capture_sql`]), or keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncertain {
    /// The setting that has a value nobody read, if that is known.
    pub name: Option<Box<str>>,
    /// It could not be remembered: asking will not help.
    pub refused: Option<SettingsError>,
}

/// Settings of a client or of a backend, as its statements change them.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    /// What `RESET` goes back to: startup parameters of a client, nothing for a backend.
    defaults: Settings,
    /// What is in force, local changes apart.
    current: Settings,
    /// `None` is idle.
    open: Option<Box<Open>>,
}

/// A transaction with something to lose.
#[derive(Debug, Clone, Default)]
struct Open {
    /// What was in force when it began.
    before: Settings,
    /// What was in force at each savepoint, oldest first.
    savepoints: Vec<(Box<str>, Settings)>,
    /// A statement failed, so the transaction can only go back.
    failed: bool,
}

impl Tracker {
    /// For a session that began with these settings.
    #[must_use]
    pub fn new(defaults: Settings) -> Self {
        Self { current: defaults.clone(), defaults, open: None }
    }

    /// What is in force now, changes of the running transaction included.
    #[must_use]
    pub fn current(&self) -> &Settings {
        &self.current
    }

    /// What stays if the running transaction is rolled back.
    #[must_use]
    pub fn committed(&self) -> &Settings {
        self.open.as_ref().map_or(&self.current, |open| &open.before)
    }

    /// What the session began with.
    #[must_use]
    pub fn defaults(&self) -> &Settings {
        &self.defaults
    }

    /// Other settings are in force, outside any transaction: a replay did it, or [`super::capture_sql`] told.
    pub fn replace(&mut self, settings: Settings) {
        self.current = settings;
        self.open = None;
    }

    /// A statement succeeded and did this.
    ///
    /// # Errors
    /// When the settings cannot be told any more from what was seen.
    pub fn apply(&mut self, change: &Change) -> Result<(), Uncertain> {
        match change {
            Change::Begin => {}
            Change::Commit => self.end(true),
            Change::Rollback => self.end(false),
            Change::Savepoint(name) => return self.savepoint(name),
            Change::RollbackTo(name) => self.rollback_to(name),
            Change::Release(name) => self.release(name),
            Change::Unknown { name } => return Err(Uncertain { name: name.clone(), refused: None }),
            _ => return self.change(change),
        }
        Ok(())
    }

    /// A statement failed.
    pub fn failed(&mut self) {
        if let Some(open) = &mut self.open {
            open.failed = true;
        }
    }

    /// ReadyForQuery came with this status: `I`, `T` or `E`.
    pub fn ready(&mut self, status: u8) {
        match (status, &mut self.open) {
            (_, None) => {}
            (b'I', Some(_)) => self.end(true),
            (status, Some(open)) => open.failed = status == b'E',
        }
    }

    fn change(&mut self, change: &Change) -> Result<(), Uncertain> {
        let mut next = self.current.clone();
        let (name, done) = match change {
            Change::Set { name, value } => (Some(name), next.set(name, value)),
            Change::Reset(name) => (Some(name), self.reset(&mut next, name)),
            Change::Authorization(role) => (None, self.authorize(&mut next, role.as_deref())),
            Change::ResetAll => (None, self.reset_all(&mut next)),
            _ => {
                next = self.defaults.clone();
                (None, Ok(true))
            }
        };
        done.map_err(|refused| Uncertain { name: name.cloned(), refused: Some(refused) })?;
        if next != self.current {
            self.open();
            self.current = next;
        }
        Ok(())
    }

    fn reset(&self, next: &mut Settings, name: &str) -> Result<bool, SettingsError> {
        match self.defaults.get(name) {
            Some(value) => next.set(name, value),
            None => Ok(next.remove(name)),
        }
    }

    /// That there is no role then must be said: a backend may begin with one.
    fn authorize(&self, next: &mut Settings, role: Option<&str>) -> Result<bool, SettingsError> {
        match role {
            Some(role) => {
                next.set(ROLE, NO_ROLE)?;
                next.set(SESSION_AUTHORIZATION, role)
            }
            None => {
                self.reset(next, ROLE)?;
                self.reset(next, SESSION_AUTHORIZATION)
            }
        }
    }

    /// `RESET ALL` leaves role and session authorization as they are.
    fn reset_all(&self, next: &mut Settings) -> Result<bool, SettingsError> {
        *next = self.defaults.clone();
        for name in [ROLE, SESSION_AUTHORIZATION] {
            match self.current.get(name) {
                Some(role) => next.set(name, role)?,
                None => next.remove(name),
            };
        }
        Ok(true)
    }

    /// From now on there is something to lose.
    fn open(&mut self) -> &mut Open {
        let before = &self.current;
        self.open.get_or_insert_with(|| Box::new(Open { before: before.clone(), ..Open::default() }))
    }

    fn end(&mut self, well: bool) {
        if let Some(open) = self.open.take()
            && (open.failed || !well)
        {
            self.current = open.before;
        }
    }

    fn savepoint(&mut self, name: &str) -> Result<(), Uncertain> {
        let current = self.current.clone();
        let open = self.open();
        if open.savepoints.len() == MAX_SAVEPOINTS {
            return Err(Uncertain { name: None, refused: None });
        }
        open.savepoints.push((name.into(), current));
        Ok(())
    }

    /// Also with the same name twice the newest counts.
    fn rollback_to(&mut self, name: &str) {
        let Some(open) = &mut self.open else { return };
        open.failed = false;
        if let Some(at) = open.savepoints.iter().rposition(|(known, _)| &**known == name) {
            open.savepoints.truncate(at + 1);
            self.current = open.savepoints[at].1.clone();
        }
    }

    fn release(&mut self, name: &str) {
        let Some(open) = &mut self.open else { return };
        if let Some(at) = open.savepoints.iter().rposition(|(known, _)| &**known == name) {
            open.savepoints.truncate(at);
        }
    }
}

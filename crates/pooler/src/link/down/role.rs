//! The role of a client that began with one.
//!
//! Which role is played a backend can be asked, but not why none is: `SET ROLE NONE` and `RESET ROLE` look the same
//! there, and mean another thing to a client whose startup names a role. So for such a client, and for no other, what its
//! statements do to the role is followed through transactions and savepoints, as far as their texts tell:
//!
//! ```text
//!  startup        role = anna
//!  begin; set role none; savepoint a; reset role; rollback to a; commit
//!  the backend    none                              ──► said by the client: it has none from now on
//!  begin; reset role; commit
//!  the backend    none, as it began                 ──► anna, which the next replay says to the backend
//! ```

use dormouse_pgwire::backend::TxStatus;

use super::Down;
use crate::link::expect::Expect;
use crate::link::inspect::SETTINGS;
use crate::settings::{Change, ROLE, SESSION_AUTHORIZATION, Settings, Tracker};
use crate::sql::{Effect, classify};

impl Down<'_> {
    /// So many statements of a text have ended well, or all; the one behind them has failed.
    pub(super) fn follow_role(&mut self, text: &[u8], done: Option<u32>) {
        if !self.client.plays {
            return;
        }
        let (client, role) = (&*self.client, &mut self.server.under_way.role);
        let mut at = 0;
        let shape = classify(text, &mut |effect| {
            at += u32::from(effect == Effect::NextStatement);
            let change = Change::of(&effect).filter(|_| done.is_none_or(|done| at < done));
            if let Some(change) = change.filter(is_of_role) {
                let role = role.get_or_insert_with(|| Box::new(of_role(&client.startup, &client.wanted)));
                // Beyond its limit of savepoints the newest that it knows count.
                let _uncertain = role.apply(&change);
            }
        });
        if done.is_some_and(|done| usize::try_from(done).is_ok_and(|done| done < shape.statements)) {
            self.role_fails();
        }
    }

    /// A statement has failed.
    pub(super) fn role_fails(&mut self) {
        if let Some(role) = &mut self.server.under_way.role {
            role.failed();
        }
    }

    /// The same, unless it is one of a text that is followed when all of it is over.
    pub(super) fn role_may_fail(&mut self) {
        if !matches!(self.server.expect.front(), Some(Expect::Query(_))) {
            self.role_fails();
        }
    }

    /// ReadyForQuery: a transaction may be over. What the role is now is needed only if the backend will be asked.
    pub(super) fn role_stays(&mut self, status: TxStatus) {
        let Some(role) = &mut self.server.under_way.role else { return };
        role.ready(status.as_byte());
        if status == TxStatus::Idle && !self.server.ask.any(SETTINGS) {
            self.server.under_way.role = None;
        }
    }
}

/// The role that is to be played where a backend says that this one is, as where it began, under that session
/// authorization.
pub(in crate::link) fn meant<'a>(
    followed: Option<&'a Tracker>,
    wanted: &'a Settings,
    authorization: Option<&str>,
    startup: &'a str,
    there: &'a str,
) -> &'a str {
    let believed = followed.map_or(wanted, Tracker::current);
    // One that no text has told of has ended the role.
    let untold = authorization.is_some() && authorization != believed.get(SESSION_AUTHORIZATION);
    if untold || believed.get(ROLE) == Some(there) { there } else { startup }
}

fn is_of_role(change: &Change) -> bool {
    match change {
        Change::Set { name, .. } | Change::Reset(name) => name.eq_ignore_ascii_case(ROLE),
        Change::ResetAll | Change::Unknown { .. } => false,
        _ => true,
    }
}

/// Follows nothing but the role, from what is in force.
fn of_role(startup: &Settings, wanted: &Settings) -> Tracker {
    let only = |settings: &Settings| {
        let mut only = Settings::default();
        for name in [ROLE, SESSION_AUTHORIZATION] {
            if let Some(value) = settings.get(name) {
                // Two are below every limit, and these have been among others.
                let _infallible = only.set(name, value);
            }
        }
        only
    };
    let mut role = Tracker::new(only(startup));
    role.replace(only(wanted));
    role
}

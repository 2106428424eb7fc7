//! What roles must prove, remembered for milliseconds, so that thousands of logins in a second need not all ask.
//!
//! ```text
//!  login     a        b  c  d           e f g                                h
//!  asks      ├── a ──┤                  ├─ for all who come ─┤               ├─ h …
//!  valid     └── at most FRESH ─────────────────┘        ALTER ROLE ▲
//!            └── AGEING ──────────────┘                             └ counted: all that was asked before is void
//!                     b  c  d  e f g: from memory
//! ```
//!
//! The first who uses an ageing answer has it asked for again, without waiting for that: while a role is busy, only its
//! first login waits.
//!
//! A change that the proxy or control sees is counted ([`RoleChanges`]) before whoever made it is told that it is done, so
//! it holds for the next login. What nobody sees, because a function did it while rows were read, or a program inside the
//! database, holds after [`FRESH`]. (docs/decisions/2026-11-28-verifiers-are-remembered-for-milliseconds.md)

use std::collections::HashMap;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::{EndpointId, RoleChanges};
use parking_lot::Mutex;

use crate::password::StoredRole;

/// An answer is used for so long after it was asked for. A change that nobody saw takes effect after this long at the latest.
const FRESH: Duration = Duration::from_millis(10);

/// From this age on it is asked for again while it is still used: at most two hundred times in a second for a busy role. The
/// rest of its time is for the question.
const AGEING: Duration = Duration::from_millis(5);

/// So many roles are remembered; then all are forgotten.
const MAX_KEPT: usize = 1_000;

/// Answers about roles that there are.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    answers: HashMap<EndpointId, HashMap<String, Answer>>,
    roles: usize,
}

#[derive(Debug)]
struct Answer {
    asked: Asked,
    role: StoredRole,
    /// Somebody asks again.
    renewing: bool,
}

/// An answer from memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recalled {
    /// What it says.
    pub(crate) role: StoredRole,
    /// It ages, and whoever got this is the one to ask again.
    pub(crate) renew: bool,
}

/// When something was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    at: Mono,
    changes: u64,
}

impl Asked {
    /// The question is asked after this.
    pub(crate) fn now(changes: &RoleChanges) -> Self {
        Self { at: Mono::now(), changes: changes.count() }
    }
}

impl Remembered {
    /// What is known of a role, as if it were asked now.
    pub(crate) fn get(&self, endpoint: &EndpointId, role: &str, now: Asked) -> Option<Recalled> {
        let mut kept = self.kept.lock();
        let answer = kept.answers.get_mut(endpoint)?.get_mut(role)?;
        let age = now.at.since(answer.asked.at);
        if answer.asked.changes != now.changes || age >= FRESH {
            return None;
        }
        let renew = age >= AGEING && !std::mem::replace(&mut answer.renewing, true);
        Some(Recalled { role: answer.role.clone(), renew })
    }

    /// There is no such role, whatever was known of it. This is not remembered: strangers may try any name.
    pub(crate) fn forget(&self, endpoint: &EndpointId, role: &str) {
        let mut kept = self.kept.lock();
        let gone = kept.answers.get_mut(endpoint).and_then(|roles| roles.remove(role));
        kept.roles -= usize::from(gone.is_some());
    }

    /// What was asked has been answered.
    pub(crate) fn put(&self, endpoint: &EndpointId, name: &str, asked: Asked, role: &StoredRole) {
        let mut kept = self.kept.lock();
        let answer = Answer { asked, role: role.clone(), renewing: false };
        if let Some(old) = kept.answers.get_mut(endpoint).and_then(|roles| roles.get_mut(name)) {
            *old = answer;
            return;
        }
        if kept.roles >= MAX_KEPT {
            *kept = Kept::default();
        }
        let (mut gone, roles) = (0, kept.answers.entry(endpoint.clone()).or_default());
        roles.retain(|_, old| {
            let holds = asked.at.since(old.asked.at) < FRESH;
            gone += usize::from(!holds);
            holds
        });
        roles.insert(name.to_owned(), answer);
        kept.roles = kept.roles + 1 - gone;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(verifier: &str) -> StoredRole {
        StoredRole { verifier: Some(verifier.to_owned()), can_login: true, valid_until: None, oid: None }
    }

    #[test]
    fn an_answer_holds_until_roles_may_have_changed_or_time_has_passed() {
        let (remembered, changes) = (Remembered::default(), RoleChanges::default());
        let (here, there) = ("ep-a-a-a".parse().unwrap(), "ep-b-b-b".parse().unwrap());
        let asked = Asked::now(&changes);
        remembered.put(&here, "anna", asked, &role("one"));
        assert_eq!(remembered.get(&here, "anna", asked), Some(Recalled { role: role("one"), renew: false }));
        assert_eq!(remembered.get(&here, "bert", asked), None);
        assert_eq!(remembered.get(&there, "anna", asked), None);
        let late = Asked { at: asked.at.plus(FRESH), ..asked };
        assert_eq!(remembered.get(&here, "anna", late), None);
        changes.happened();
        assert_eq!(remembered.get(&here, "anna", Asked { at: asked.at, ..Asked::now(&changes) }), None);
    }

    #[test]
    fn one_of_those_who_use_an_ageing_answer_asks_again() {
        let (remembered, changes, here) =
            (Remembered::default(), RoleChanges::default(), "ep-a-a-a".parse().unwrap());
        let asked = Asked::now(&changes);
        remembered.put(&here, "anna", asked, &role("one"));
        let later = |age| Asked { at: asked.at.plus(age), ..asked };
        let renews = |age| remembered.get(&here, "anna", later(age)).map(|recalled| recalled.renew);
        let two_ms = Duration::from_millis(2);
        assert_eq!([renews(two_ms), renews(AGEING), renews(AGEING)], [Some(false), Some(true), Some(false)]);
        remembered.put(&here, "anna", later(AGEING), &role("two"));
        assert_eq!([renews(FRESH - two_ms), renews(2 * AGEING)], [Some(false), Some(true)]);
        remembered.forget(&here, "anna");
        remembered.forget(&here, "anna");
        assert_eq!((renews(2 * AGEING), remembered.kept.lock().roles), (None, 0));
    }

    #[test]
    fn an_answer_to_a_question_from_before_a_change_is_void() {
        let (remembered, changes, here) =
            (Remembered::default(), RoleChanges::default(), "ep-a-a-a".parse().unwrap());
        let asked = Asked::now(&changes);
        changes.happened();
        remembered.put(&here, "anna", asked, &role("old"));
        assert_eq!(remembered.get(&here, "anna", Asked::now(&changes)), None);
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let (remembered, changes, here) =
            (Remembered::default(), RoleChanges::default(), "ep-a-a-a".parse().unwrap());
        let asked = Asked::now(&changes);
        for i in 0..3 * MAX_KEPT - 1 {
            remembered.put(&here, &format!("role {i}"), asked, &role("x"));
        }
        let kept = |remembered: &Remembered| -> usize {
            remembered.kept.lock().answers.values().map(HashMap::len).sum()
        };
        assert!(kept(&remembered) <= MAX_KEPT);
        let later = Asked { at: asked.at.plus(FRESH), ..asked };
        remembered.put(&here, "the last one", later, &role("x"));
        assert_eq!((kept(&remembered), remembered.kept.lock().roles), (1, 1));
    }
}

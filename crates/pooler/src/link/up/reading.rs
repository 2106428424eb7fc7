//! How texts are read when the backend comes to the next message.
//!
//! Settings that it reported, or that its client is known to have, tell that. But a `SET LOCAL` is reported after its
//! series, or never, and ends with the transaction; so from the moment that such a statement is sent until all is
//! answered outside a transaction, texts count as read in another way ([`Reads::changed`]): in the same other way in
//! every transaction that begins with the same `SET LOCAL`, as those of a tenant do, and else in one of its own.
//! `set_config('role', $1, true)` is the same when its parameter is.
//!
//! [`Reads::changed`]: crate::link::server::Reads

use std::hash::{DefaultHasher, Hash, Hasher};

use dormouse_pgwire::backend::TxStatus;

use super::Up;
use crate::link::parts;
use crate::link::stateful::Stateful;
use crate::settings::ROLE;
use crate::sql::{Effect, Given, classify};
use crate::statement::{Reading, Statement, is_read};

/// A longer text is not compared with others.
const MAX_TOLD: usize = 1024;

impl Up<'_> {
    /// How a text is read that is sent now.
    pub(super) fn reading(&mut self) -> Reading {
        let known = &self.client.read_as;
        if !(known.reported.is(&self.server.reported) && known.wanted == self.client.wanted) {
            self.client.read_as.renew(&self.client.wanted, &self.server.reported);
        }
        match self.server.under_way.reads.changed {
            0 => self.client.read_as.reading,
            changed => self.client.read_as.reading.after(changed),
        }
    }

    /// This will be executed: does it change how the following texts are read? And in which way, if it says so?
    pub(super) fn rereads(&mut self, stateful: Stateful, text: &[u8], told: impl FnOnce() -> Option<u64>) {
        let before = self.server.under_way.reads.changed;
        // What was changed in a transaction or behind a savepoint may be over.
        let ends = before != 0 && stateful.any(Stateful::TRANSACTION) && !is_savepoint(text);
        if !(stateful.any(Stateful::READS) || ends) {
            return;
        }
        let open = self.server.status == TxStatus::InTransaction && stateful.any(Stateful::READS);
        let told = if open { told() } else { None };
        let reading = Reading::default().after(before);
        let reading = match told {
            Some(told) => reading.after(told),
            None => reading.after(("once", self.common.registry.unique())),
        };
        self.server.under_way.reads.changed = reading.number().max(1);
    }
}

/// What the parameters of a statement are.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Values<'a> {
    /// Their types, as its Parse says them.
    types: &'a [u8],
    /// The body of its Bind behind the names.
    values: &'a [u8],
}

impl<'a> Values<'a> {
    pub(super) fn new(statement: &'a Statement, values: &'a [u8]) -> Self {
        Self { types: &statement.body()[statement.text().len()..], values }
    }

    /// Hashes one of them, and all there is to know to read it. False when it has not come yet, or there is none.
    fn hash(self, number: u16, hasher: &mut DefaultHasher) -> bool {
        let value = usize::from(number).checked_sub(1).and_then(|at| parts::parameters(self.values).nth(at));
        (self.types, parts::formats(self.values), value).hash(hasher);
        value.is_some()
    }
}

/// What a text does to the settings with which texts are read, as a number, if it says all there is to say.
pub(super) fn told(text: &[u8], bound: Values<'_>) -> Option<u64> {
    let (mut hasher, mut all) = (DefaultHasher::new(), true);
    if tells(text) {
        text.hash(&mut hasher);
        return Some(hasher.finish());
    }
    if text.len() > MAX_TOLD {
        return None;
    }
    classify(text, &mut |effect| match &effect {
        Effect::SetConfig { name: Some(name), value: Some(value), local: Some(local) } if is_read(name) => {
            (name.to_ascii_lowercase(), local).hash(&mut hasher);
            match value {
                Given::Text(value) => value.hash(&mut hasher),
                Given::Parameter(number) => all &= bound.hash(*number, &mut hasher),
            }
        }
        Effect::SetRole { value: Some(role), local } => (ROLE, role, local).hash(&mut hasher),
        // Others do nothing to it.
        Effect::SetConfig { name: Some(name), .. } if !is_read(name) => {}
        Effect::NextStatement => {}
        _ => all = false,
    });
    all.then(|| hasher.finish())
}

/// Whether a text that changes a setting says all there is to say: the same text has the same effect.
fn tells(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let set = text.first_chunk::<3>().is_some_and(|word| word.eq_ignore_ascii_case(b"set"));
    set && text.len() <= MAX_TOLD && is_one(text) && memchr::memchr(b'$', text).is_none()
}

/// Whether a text only makes or forgets a place to come back to.
fn is_savepoint(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    (begins(b"savepoint ") || begins(b"release ")) && is_one(text)
}

/// Whether it is one statement. A `;` in a name or literal counts as two.
fn is_one(text: &[u8]) -> bool {
    memchr::memchr(b';', text.strip_suffix(b";").unwrap_or(text)).is_none()
}

#[cfg(test)]
mod tests {
    use super::{Values, is_savepoint, tells, told};
    use crate::link::stateful::Stateful;
    use crate::statement::Registry;

    fn of(text: &str) -> Option<u64> {
        told(text.as_bytes(), Values::default())
    }

    #[test]
    fn a_savepoint_changes_nothing_until_somebody_goes_back() {
        assert!(is_savepoint(b"SAVEPOINT s;") && is_savepoint(b"release savepoint s"));
        for text in ["rollback to s", "savepoint s; rollback to s", "commit"] {
            assert!(!is_savepoint(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn calls_tell_all_when_they_say_it() {
        let claims = |who: &str| {
            let claims = format!("set_config('request.jwt.claims', '{who}', true)");
            of(&format!("select set_config('role', 'app', true), {claims}"))
        };
        assert!(claims("anna").is_some());
        assert_eq!(claims("anna"), claims("bob"), "who it is has no say in how texts are read");
        assert_ne!(claims("anna"), of("select set_config('role', 'admin', true)"));
        assert_eq!(of("select set_config('role', $1, true)"), None);
        assert_eq!(of("select set_config('role', 'app', true); do $$ begin end $$"), None);
    }

    #[test]
    fn parameters_say_what_a_setting_becomes() {
        const CALLS: &str =
            "select set_config('request.jwt.claims', $1::text, true), set_config('role', $2, true)";
        let mut registry = Registry::default();
        let mut bound = |types: &[u8], formats: &[u8], values: &[Option<&str>]| {
            let statement = registry.intern(&[CALLS.as_bytes(), &[0], types].concat(), Stateful::of);
            let mut bind = [formats, &[0, u8::try_from(values.len()).unwrap()]].concat();
            for value in values {
                let len = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
                bind.extend(len.to_be_bytes());
                bind.extend(value.unwrap_or_default().as_bytes());
            }
            told(CALLS.as_bytes(), Values::new(&statement, &bind))
        };
        let app = bound(&[0, 0], &[0, 0], &[Some("anna"), Some("app")]);
        assert!(app.is_some());
        assert_eq!(app, bound(&[0, 0], &[0, 0], &[Some("bob"), Some("app")]), "who it is has no say");
        assert_ne!(app, bound(&[0, 0], &[0, 0], &[Some("anna"), Some("admin")]));
        let nobody = bound(&[0, 0], &[0, 0], &[Some("anna"), None]);
        assert!(nobody.is_some_and(|nobody| Some(nobody) != app));
        assert_ne!(nobody, bound(&[0, 0], &[0, 0], &[Some("anna"), Some("")]));
        // The same bytes may be another text in another form.
        assert_ne!(app, bound(&[0, 0], &[0, 1, 0, 1], &[Some("anna"), Some("app")]));
        assert_ne!(app, bound(&[0, 1, 0, 0, 0, 25], &[0, 0], &[Some("anna"), Some("app")]));
        // It has not come yet, or never will.
        assert_eq!(bound(&[0, 0], &[0, 0], &[Some("anna")]), None);
        assert_eq!(bound(&[0, 0], &[0, 9], &[Some("anna"), Some("app")]), None);
    }

    #[test]
    fn one_set_tells_all() {
        assert!(tells(b" SET LOCAL search_path = a;") && tells(b"set timezone to 'UTC'"));
        for text in
            ["select set_config('search_path', $1, true)", "set a = 1; select f()", "set a = $1", "se"]
        {
            assert!(!tells(text.as_bytes()), "{text}");
        }
    }
}

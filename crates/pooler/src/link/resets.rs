//! Custom settings that were reset, as the texts of one write or transaction tell.
//!
//! What a backend says of `my.a` afterwards is an empty text, which may also be what its client has set: for PostgreSQL
//! the value that a session began with is a reset one's, but this backend has not begun with it. So names are followed
//! up to the next question. Where something may have set them that does not tell its names, the empty text is believed.

use std::collections::BTreeSet;

use crate::sql::{Effect, Value, classify};

/// Names that are followed. Of one with more, empty texts are believed.
const MAX_NAMES: usize = 128;

/// What was reset, and not set since.
#[derive(Debug, Default)]
pub(super) struct Resets {
    /// All that is not among `set`.
    all: bool,
    names: BTreeSet<Box<str>>,
    set: BTreeSet<Box<str>>,
}

impl Resets {
    pub(super) fn is_empty(&self) -> bool {
        !self.all && self.names.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.names.contains(&*name) || self.all && !self.set.contains(&*name)
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// This was executed.
    pub(super) fn note(&mut self, text: &[u8]) {
        classify(text, &mut |effect| match effect {
            Effect::ResetAll | Effect::DiscardAll => {
                self.forget();
                self.all = true;
            }
            Effect::Reset(name) | Effect::Set { name, value: Value::Default, local: false } => {
                self.reset(&name);
            }
            Effect::Set { local: true, .. } | Effect::SetConfig { local: Some(true), .. } => {}
            Effect::Set { name, .. } | Effect::SetConfig { name: Some(name), .. } => self.set(&name),
            Effect::SetConfig { name: None, .. } | Effect::Do | Effect::Call | Effect::Execute(_) => {
                self.forget();
            }
            _ => {}
        });
        if self.names.len() + self.set.len() > MAX_NAMES {
            self.forget();
        }
    }

    fn reset(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        if name.contains('.') {
            self.set.remove(&*name);
            self.names.insert(name.into());
        }
    }

    fn set(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        // One that could not be read may be any.
        if name.is_empty() {
            self.forget();
        } else if name.contains('.') {
            self.names.remove(&*name);
            self.set.insert(name.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reset_by(texts: &[&str]) -> bool {
        let mut resets = Resets::default();
        texts.iter().for_each(|text| resets.note(text.as_bytes()));
        resets.has("my.a")
    }

    #[test]
    fn what_was_reset_last_is_reset() {
        for texts in [
            &["reset all"][..],
            &["RESET My.A"],
            &["set my.a to default"],
            &["set my.a = ''", "reset all"],
            &["reset all; set local my.a = ''"],
            &["do $$ begin end $$", "reset all", "set my.b = ''"],
        ] {
            assert!(reset_by(texts), "{texts:?}");
        }
        for texts in [
            &["reset work_mem"][..],
            &["reset role", "reset my.b"],
            &["set my.a = ''; reset work_mem"],
            &["reset all; set my.a = ''"],
            &["reset my.a", "select set_config('my.a', '', false)"],
            &["reset all", "select set_config($1, '', false)"],
            &["reset all", "do $$ begin perform f(); end $$"],
            &["set local my.a to default"],
        ] {
            assert!(!reset_by(texts), "{texts:?}");
        }
    }
}

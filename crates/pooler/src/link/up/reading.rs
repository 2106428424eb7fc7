//! How texts are read when the backend comes to the next message.
//!
//! Settings that it reported, or that its client is known to have, tell that. But a `SET LOCAL` is reported after its
//! series, or never, and ends with the transaction; so from the moment that such a statement is sent until all is
//! answered outside a transaction, texts count as read in another way ([`Reads::changed`]): in the same other way in
//! every transaction that begins with the same `SET LOCAL`, as those of a tenant do, and else in one of its own.
//!
//! [`Reads::changed`]: crate::link::server::Reads

use dormouse_pgwire::backend::TxStatus;

use super::Up;
use crate::link::stateful::Stateful;
use crate::statement::Reading;

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

    /// This will be executed: does it change how the following texts are read?
    pub(super) fn rereads(&mut self, stateful: Stateful, text: &[u8]) {
        let before = self.server.under_way.reads.changed;
        // What was changed in a transaction or behind a savepoint may be over.
        let ends = before != 0 && stateful.any(Stateful::TRANSACTION) && !is_savepoint(text);
        if !(stateful.any(Stateful::READS) || ends) {
            return;
        }
        let told =
            self.server.status == TxStatus::InTransaction && stateful.any(Stateful::READS) && tells(text);
        let reading = Reading::default().after(before);
        let reading =
            if told { reading.after(text) } else { reading.after(("once", self.common.registry.unique())) };
        self.server.under_way.reads.changed = reading.number().max(1);
    }
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
    use super::{is_savepoint, tells};

    #[test]
    fn a_savepoint_changes_nothing_until_somebody_goes_back() {
        assert!(is_savepoint(b"SAVEPOINT s;") && is_savepoint(b"release savepoint s"));
        for text in ["rollback to s", "savepoint s; rollback to s", "commit"] {
            assert!(!is_savepoint(text.as_bytes()), "{text}");
        }
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

//! `DEALLOCATE` of a client's own name between other statements, which some drivers say in one text:
//!
//! ```text
//!  savepoint s; deallocate "p1"; release s      the client
//!  savepoint s;                ; release s      the backend, which has other names, and statements of other clients
//!  SAVEPOINT ◄  DEALLOCATE ◄     RELEASE ◄      the client: the middle one is said when the first has ended well
//! ```
//!
//! In front of everything else it stays as it is: nothing tells that it is its turn.

use std::collections::VecDeque;

use super::Up;
use crate::link::stateful::Stateful;
use crate::sql::statements;

/// A name that goes in the middle of a text.
#[derive(Debug)]
pub(in crate::link) struct Between {
    /// When so many statements of the backend's have ended well.
    pub(in crate::link) behind: u32,
    pub(in crate::link) name: Box<[u8]>,
}

/// The text that the backend gets, and what it does not.
pub(super) struct Blanked {
    pub(super) text: Vec<u8>,
    pub(super) between: VecDeque<Between>,
}

impl Up<'_> {
    /// Takes those out of a text; `None`: there are none.
    pub(super) fn blank(&self, stateful: Stateful, text: &[u8]) -> Option<Blanked> {
        let all = stateful.any(Stateful::DEALLOCATE_ALL.with(Stateful::DISCARD_ALL));
        if all || !stateful.any(Stateful::DEALLOCATE) {
            return None;
        }
        let mut blanked = Blanked { text: text.to_vec(), between: VecDeque::new() };
        let mut behind = 0;
        statements(text, &mut |place, deallocates| {
            let own = deallocates.filter(|name| {
                let said = blanked.between.iter().any(|it| *it.name == *name.as_bytes());
                // In a failed transaction, too: what is first ends that, or fails.
                behind > 0 && !said && self.client.names.get(name.as_bytes()).is_some()
            });
            match own {
                Some(name) => {
                    blanked.text[place].fill(b' ');
                    blanked.between.push_back(Between { behind, name: name.as_bytes().into() });
                }
                None => behind += 1,
            }
        });
        (!blanked.between.is_empty()).then_some(blanked)
    }
}

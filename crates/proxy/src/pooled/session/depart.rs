//! The client goes on in another process: see [`crate::handover`]. And how it comes in there.

use std::cell::Cell;
use std::task::Context;

use dormouse_runtime::handoff::MAX_BODY;

use super::{Ended, Phase, Session};
use crate::handover::parcel::{Behind, Parcel, Pooled};
use crate::handover::{Stage, replaced};
use crate::wake::Wake;

impl Session {
    /// Nothing more can be done for the client at the moment: is it time to go?
    pub(super) fn depart(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        match self.pool.wake.departure.stage() {
            Stage::Stays => Ok(()),
            Stage::Leaves => {
                self.let_go("its client goes on in another process");
                if !self.pack_up() {
                    return Ok(());
                }
                self.log_end("its client goes on in another process");
                Err(Ended::Moved)
            }
            Stage::Ends => {
                if !matches!(self.phase, Phase::Farewell) {
                    self.end(&replaced().encode());
                    cx.waker().wake_by_ref();
                }
                Ok(())
            }
        }
    }

    /// Packs the client if it rests without a backend. False: it stays, for now.
    fn pack_up(&mut self) -> bool {
        let rests = !self.stays
            && matches!(self.phase, Phase::Idle)
            && self.leased.is_none()
            && self.input.is_empty()
            && self.outbox.is_empty()
            && self.lost.is_none()
            && self.listening.is_none()
            && !self.failed
            && !self.greet
            && self.client.is_between()
            && self.client.channels().is_empty()
            && self.stream.settle();
        let too_large = Cell::new(false);
        let gone = rests
            && self.pool.wake.departure.take(|| {
                let (unix, socket) = self.stream.movable()?;
                let pooled = Pooled {
                    key: self.pool.key.clone(),
                    role_oid: self.info.identity.oid(),
                    unix,
                    peer: self.info.peer,
                    application: self.info.application.clone(),
                    cancel: (self.info.key().0, self.info.key().1.to_vec()),
                    no_blocks: self.no_blocks,
                    behind: self.behind(),
                };
                let body = pooled.pack(|out| self.client.pack(out));
                too_large.set(body.len() > MAX_BODY);
                (!too_large.get()).then(|| Parcel { body, files: vec![socket] })
            });
        // It would have to be packed again and again.
        self.stays |= too_large.get();
        gone
    }

    /// What an ordinary server behind the pool may want to see again.
    fn behind(&self) -> Option<Behind> {
        let key = &self.pool.key;
        let name = self.info.user.as_deref().unwrap_or(&key.role);
        let handed = self.pool.wake.hand(&key.database, name)?;
        Some(Behind { name: name.to_owned(), handed })
    }

    /// It was greeted before it came here.
    pub(in crate::pooled) fn arrived(&mut self, no_blocks: bool) {
        self.greet = false;
        self.no_blocks = no_blocks;
    }
}

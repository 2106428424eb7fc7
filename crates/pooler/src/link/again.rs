//! A series of messages that is said again.
//!
//! A client that parses a statement gets a plan for the tables as they are now; it never sees "cached plan must not
//! change result type". Here the statement may be there already, and be older than the tables: nobody told the pool,
//! because they were changed by another way. So a series that begins with the client's Parse is remembered, as long as
//! it is short and nothing but ParseComplete and the like has been answered. If it fails so, the client is told
//! nothing, the text counts as another statement from now on, and the same is sent again:
//!
//! ```text
//!  P B D E S ──► (there already) B D E S
//!            ◄── 1 [our own], ERROR 0A000, Z: neither passes      told = 1
//!            ──► P B D E S, under another number
//!            ◄── 1 [told before: left out], 2 T D C Z
//! ```
//!
//! From the failure to the end of the second time nothing else of the client is looked at: what it sent meanwhile is
//! another series, and the replies that were told before are none of that.
//!
//! Who executes what it prepared earlier gets the error, as it would from PostgreSQL, and prepares it anew.

use std::sync::Arc;

use dormouse_pgwire::backend::TxStatus;
use dormouse_pgwire::tag::frontend as tag;

use super::client::Client;
use super::expect::Expect;
use super::server::Server;
use crate::statement::Statement;

/// Longer series are not remembered.
const MAX_BYTES: usize = 16 << 10;

/// The series under way.
#[derive(Debug, Default)]
pub(super) struct Series {
    stage: Stage,
    bytes: Vec<u8>,
    /// Replies that its client has got.
    told: u32,
    /// Replies that its client has got, and gets once more from the backend.
    hush: u32,
    /// The statement of which its client was told what its parameters are, and nothing else.
    described: Option<Arc<Statement>>,
    /// Messages that brought these replies, and have not been said again.
    repeat: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is not remembered.
    #[default]
    Forgotten,
    /// It is.
    Open,
    /// It is, up to its Sync.
    Whole,
    /// It has failed, of which its client is not told.
    Failed,
    /// It is being said for the second time.
    Again,
    /// It has been, up to its Sync.
    Said,
}

impl Series {
    fn forget(&mut self) {
        self.stage = Stage::Forgotten;
        self.bytes.clear();
        self.described = None;
    }

    /// Whether no series is remembered, so that no reply is to be held against one.
    pub(super) fn is_forgotten(&self) -> bool {
        self.stage == Stage::Forgotten
    }

    /// The client is about to get a reply; false when it has got it before.
    pub(super) fn tells(&mut self, is_completion: bool) -> bool {
        match self.stage {
            Stage::Again | Stage::Said if self.hush > 0 => {
                self.hush -= 1;
                return false;
            }
            Stage::Open | Stage::Whole if is_completion => self.told += 1,
            Stage::Open | Stage::Whole => self.forget(),
            _ => {}
        }
        true
    }

    /// The parameters of a statement are told; if its client has been told those of another in its place, and is not
    /// told again, that one.
    pub(super) fn describes(&mut self, statement: &Arc<Statement>) -> Option<Arc<Statement>> {
        match self.stage {
            Stage::Open | Stage::Whole => {
                self.described = Some(Arc::clone(statement));
                None
            }
            Stage::Again | Stage::Said if self.hush > 0 => self.described.take(),
            _ => None,
        }
    }

    /// Whether its client says nothing new.
    pub(super) fn repeats(&self) -> bool {
        self.stage == Stage::Again && self.repeat > 0
    }

    /// Whether what its client says next has to wait for its end.
    pub(super) fn holds(&self) -> bool {
        matches!(self.stage, Stage::Failed | Stage::Said)
    }

    /// It is over.
    pub(super) fn ends(&mut self) {
        self.forget();
        self.hush = 0;
    }
}

impl Server {
    /// The client says this message; `whole` is all of it, if it is there; before it the backend was at rest, or not.
    /// True when nothing may follow it for now.
    pub(super) fn remember(&mut self, message: u8, whole: Option<&[u8]>, rested: bool) -> bool {
        let series = &mut self.under_way.series;
        if rested && series.stage == Stage::Open {
            // All of that one was answered here, and whoever said it may have gone on elsewhere.
            series.forget();
        }
        match series.stage {
            Stage::Again => {
                series.repeat = series.repeat.saturating_sub(u32::from(is_completed(message)));
                if message == tag::SYNC {
                    series.stage = Stage::Said;
                }
                return message == tag::SYNC;
            }
            Stage::Forgotten => {
                if !(rested && message == tag::PARSE && self.status == TxStatus::Idle) {
                    return false;
                }
                (series.stage, series.told) = (Stage::Open, 0);
            }
            Stage::Whole => {
                series.forget();
                return false;
            }
            Stage::Open => {}
            Stage::Failed | Stage::Said => return false,
        }
        let known = matches!(
            message,
            tag::PARSE | tag::BIND | tag::DESCRIBE | tag::CLOSE | tag::EXECUTE | tag::FLUSH | tag::SYNC
        );
        match whole {
            Some(whole) if known && series.bytes.len() + whole.len() <= MAX_BYTES => {
                series.bytes.extend_from_slice(whole);
                if message == tag::SYNC {
                    series.stage = Stage::Whole;
                }
            }
            _ => series.forget(),
        }
        false
    }

    /// Its series failed because of an old plan, and can be said again: so that will be done.
    pub(super) fn can_say_again(&self, client: &Client) -> bool {
        self.under_way.series.stage == Stage::Whole
            && client.is_between()
            && !client.left
            && matches!(self.expect.back(), Some(Expect::Sync))
            && self.expect.iter().filter(|expect| matches!(expect, Expect::Sync)).count() == 1
    }

    /// The end of the failed one, which the client does not see.
    pub(super) fn will_say_again(&mut self) {
        if let Some(last) = self.expect.back_mut() {
            *last = Expect::Again;
        }
        self.under_way.series.stage = Stage::Failed;
    }

    /// Now: what the client said counts as not looked at yet, in front of what it has said since.
    pub(super) fn say_again(&mut self, client: &mut Client) {
        let series = &mut self.under_way.series;
        let since = std::mem::replace(&mut client.partial, std::mem::take(&mut series.bytes));
        client.partial.extend_from_slice(&since);
        client.stalled = true;
        (series.stage, series.hush, series.repeat) = (Stage::Again, series.told, series.told);
        self.erred = false;
    }
}

/// Whether one of the replies to this message is counted: that it was done.
fn is_completed(message: u8) -> bool {
    matches!(message, tag::PARSE | tag::BIND | tag::DESCRIBE | tag::CLOSE)
}

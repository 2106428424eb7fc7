//! Whether the writer of a directory is still its branch's newest: what a server cannot know of the time in which
//! it did not run.
//!
//! ```text
//!   the register names …
//!     this writer                          ──► Named
//!     this writer, whose span is closed    ──► opened again, before anybody gets in: an eviction ended halfway
//!     another writer                       ──► Overtaken: another server recovered the branch
//! ```
//!
//! It is asked once for each directory and life of a server: in the background when the server has started, else
//! while PostgreSQL boots, before clients get in. A store that does not answer within [`ANSWER_WITHIN`] keeps no
//! directory from starting; then the question stays open until it is answered, and a compute that turns out to be
//! overtaken is stopped. Only what an eviction was about to remove ([`Resident::leaving`]) never starts without the
//! answer, because what it writes would count for nobody as long as its span is closed.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::{Epoch, Lsn, with_causes};
use dormouse_compute::event::SleepReason;
use dormouse_runtime::task;
use dormouse_storage::branch::record::BranchRecord;
use dormouse_storage::branch::register::{RegisterError, UpdateError};

use super::home::{Held, Home};
use super::resident::Resident;
use super::{Node, NodeError};

/// How long a start waits for the register when the directory can do without it.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Between two questions to a store that does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// An answer is good for so long; then the next wake asks again, after its first rows.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// What this server knows of a writer's standing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Standing {
    /// Nobody has asked yet.
    #[default]
    Unknown,
    /// The register named it at that time.
    Named(Mono),
    /// The register names this one instead, and always will.
    Overtaken(Epoch),
}

/// The branch has another writer now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the branch has another writer now, of epoch {found}")]
pub(super) struct TakenOver {
    /// The newest writer.
    pub(super) found: Epoch,
    /// Whether all that the asker wrote is part of the branch nevertheless.
    pub(super) kept: bool,
}

impl TakenOver {
    /// Of a writer that wrote up to `end` and is not the newest of this branch any more.
    pub(super) fn of(branch: &BranchRecord, resident: &Resident, end: Lsn) -> Self {
        let mine = branch.spans.iter().find(|span| Some(span.epoch) == resident.epoch);
        // A span without a byte is not kept.
        let kept = mine.map_or(resident.from, |span| span.to.unwrap_or(span.from));
        Self { found: branch.epoch, kept: end <= kept }
    }

    /// As what callers see.
    pub(super) fn error(self, resident: &Resident) -> NodeError {
        let known = resident.epoch.unwrap_or(resident.seen);
        NodeError::Stale { branch: resident.branch.clone(), found: self.found, known }
    }
}

/// What a register says of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Open,
    Closed,
    Another(Epoch),
}

fn said(branch: &BranchRecord, resident: &Resident) -> Said {
    match branch.spans.last().filter(|last| Some(last.epoch) == resident.epoch) {
        Some(last) if branch.epoch == last.epoch => {
            if last.to.is_some() {
                Said::Closed
            } else {
                Said::Open
            }
        }
        _ => Said::Another(branch.epoch),
    }
}

/// The register with this writer's span open, if it is still the newest.
fn reopened(mut branch: BranchRecord, resident: &Resident) -> Result<BranchRecord, TakenOver> {
    if let Said::Another(_) = said(&branch, resident) {
        return Err(TakenOver::of(&branch, resident, resident.from));
    }
    if let Some(last) = branch.spans.last_mut() {
        last.to = None;
    }
    Ok(branch)
}

/// Whether an error says that the branch is not there, and not only that the store does not answer.
fn is_gone(error: &NodeError) -> bool {
    use RegisterError::{Deleted, Missing};
    matches!(error, NodeError::Register(Missing(_) | Deleted { .. }))
}

impl Held {
    /// The error of a directory whose writer is known to be overtaken.
    pub(super) fn overtaken(&self) -> Option<NodeError> {
        let Standing::Overtaken(found) = self.standing else { return None };
        self.writer().map(|resident| TakenOver { found, kept: false }.error(resident))
    }

    /// Whether the register should be asked, though nobody waits for it.
    fn should_ask(&self) -> bool {
        self.writer().is_some()
            && match self.standing {
                Standing::Unknown => true,
                Standing::Named(at) => at.elapsed() >= GOOD_FOR,
                Standing::Overtaken(_) => false,
            }
    }
}

impl Node {
    /// Before clients get into a directory whose writer the register knew when it was looked at last.
    ///
    /// # Errors
    /// When the writer is overtaken, its span is closed and cannot be opened, or the directory is older than the store.
    pub(super) async fn confirm_before_clients(
        &self,
        home: &Arc<Home>,
        held: &mut Held,
    ) -> Result<(), NodeError> {
        let starts = std::mem::take(&mut held.starts);
        if let Some(error) = held.overtaken().or_else(|| held.diverged()) {
            return Err(error);
        }
        if held.writer().is_some_and(|resident| resident.leaving) {
            return self.confirm(home, held).await;
        }
        // One that runs already is asked about when it is adopted, and nobody waits.
        if !starts || matches!(held.standing, Standing::Named(_)) {
            return Ok(());
        }
        let why = match tokio::time::timeout(ANSWER_WITHIN, self.confirm(home, held)).await {
            Ok(Err(error)) if matches!(error, NodeError::Stale { .. }) || is_gone(&error) => {
                return Err(error);
            }
            Ok(Err(error)) => with_causes(&error),
            Ok(Ok(())) => return Ok(()),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(endpoint = %home.endpoint, why, "it is not known yet whether this is still the branch's writer");
        Ok(())
    }

    /// Asks the register, and opens a span that an eviction closed.
    async fn confirm(&self, home: &Arc<Home>, held: &mut Held) -> Result<(), NodeError> {
        let Some(resident) = held.writer().cloned() else { return Ok(()) };
        let register = self.inner.registers.branch(&resident.project, &resident.branch);
        let (_, record) = register.read().await.map_err(NodeError::Register)?;
        match said(&record, &resident) {
            Said::Another(found) => return Err(self.overtaken(home, held, found)),
            Said::Open => {}
            Said::Closed => {
                let wanted = resident.clone();
                match register.update(move |branch| reopened(branch, &wanted)).await {
                    Ok(_) => {
                        tracing::info!(endpoint = %home.endpoint, "an eviction that did not end is taken back");
                    }
                    Err(UpdateError::Refused(TakenOver { found, .. })) => {
                        return Err(self.overtaken(home, held, found));
                    }
                    Err(UpdateError::Register(error)) => return Err(NodeError::Register(error)),
                }
            }
        }
        held.standing = Standing::Named(Mono::now());
        self.mark(home, held, false).await
    }

    /// Notes, durably, that the directory is about to be removed, or that it stays.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) async fn mark(&self, home: &Home, held: &mut Held, leaving: bool) -> Result<(), NodeError> {
        let Some(resident) = held.resident.as_mut().filter(|resident| resident.leaving != leaving) else {
            return Ok(());
        };
        let (mut wanted, path) = (resident.clone(), home.path.clone());
        wanted.leaving = leaving;
        let written = wanted.clone();
        let written = task::blocking(move || written.write(&path)).await;
        written.map_err(NodeError::file("record the writer in", &home.path))?;
        *resident = wanted;
        Ok(())
    }

    /// The register names another writer, for good: said once, and nobody is let in from now on.
    pub(super) fn overtaken(&self, home: &Home, held: &mut Held, found: Epoch) -> NodeError {
        let error = held.writer().map(|resident| TakenOver { found, kept: false }.error(resident));
        let error = error.unwrap_or_else(|| NodeError::Busy("it has no directory any more".to_owned()));
        if !matches!(held.standing, Standing::Overtaken(_)) {
            held.standing = Standing::Overtaken(found);
            tracing::error!(endpoint = %home.endpoint, error = &error as &dyn std::error::Error, "overtaken");
            let text = format!(
                "{error}: what it writes does not count, so nobody is let in (docs/reference/recovery.md)"
            );
            self.trouble(&home.endpoint, text);
        }
        error
    }

    /// Asks the register while nobody waits. A compute that runs without being the branch's writer is stopped.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn look_up(&self, home: &Arc<Home>) -> Result<(), NodeError> {
        let resident = {
            let held = home.held().await?;
            let Some(resident) = held.writer().filter(|_| held.should_ask()).cloned() else { return Ok(()) };
            resident
        };
        let record = self.inner.registers.record(&resident.project, &resident.branch).await?;
        let mut held = home.held().await?;
        if held.writer().is_none_or(|now| now.epoch != resident.epoch || now.branch != resident.branch) {
            return Ok(());
        }
        match said(&record, &resident) {
            Said::Open => held.standing = Standing::Named(Mono::now()),
            // Whoever starts it does that, with the lock that an eviction needs.
            Said::Closed if home.run().is_none() => {}
            Said::Closed => self.confirm(home, &mut held).await?,
            Said::Another(found) => {
                let _told = self.overtaken(home, &mut held, found);
                drop(held);
                self.stop_overtaken(home).await?;
            }
        }
        Ok(())
    }

    /// Stops the compute of a writer that is overtaken, if it runs; it cannot start again.
    pub(super) async fn stop_overtaken(&self, home: &Home) -> Result<(), NodeError> {
        if home.run().is_none() {
            return Ok(());
        }
        let stopped = self.computes()?.suspend(&home.endpoint, SleepReason::Request).await;
        stopped.map_err(NodeError::part("stop the compute of an overtaken writer"))
    }

    /// Asks until there is an answer, as long as the compute runs.
    pub(super) async fn look_up_patiently(&self, home: &Arc<Home>) {
        let token = self.inner.scope.token();
        while home.run().is_some() {
            match self.look_up(home).await {
                Err(error) if !is_gone(&error) => {
                    tracing::debug!(endpoint = %home.endpoint, error = with_causes(&error), "no answer");
                }
                _ => return,
            }
            if tokio::time::timeout(ASK_AGAIN, token.cancelled()).await.is_ok() {
                return;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use dormouse_base::{Timeline, Timestamp};
    use dormouse_storage::branch::record::{Origin, Span};

    use super::super::resident::Fresh;
    use super::*;

    /// A branch with these spans: the epoch, which is its timeline's number too, from where and to where.
    pub(in crate::node) fn record(spans: &[(u32, u64, Option<u64>)]) -> BranchRecord {
        let span = |&(epoch, from, to): &(u32, u64, Option<u64>)| Span {
            epoch: Epoch(epoch),
            timeline: Timeline(epoch),
            from: Lsn(from),
            to: to.map(Lsn),
            mark: None,
        };
        BranchRecord {
            format: 1,
            project: "p".parse().unwrap(),
            branch: "br-a".parse().unwrap(),
            created_at: Timestamp::UNIX_EPOCH,
            origin: Origin::Import,
            epoch: Epoch(spans.last().map_or(0, |last| last.0)),
            spans: spans.iter().map(span).collect(),
            snapshots: Vec::new(),
            retired: Vec::new(),
            history_start: Lsn(0),
            history_start_at: Timestamp::UNIX_EPOCH,
            meta: serde_json::Value::Null,
        }
    }

    fn resident(epoch: u32, from: u64) -> Resident {
        let mut resident = Resident::new(Fresh::sample(epoch - 1, from), None, false);
        resident.epoch = Some(Epoch(epoch));
        resident
    }

    #[test]
    fn only_the_newest_writers_span_is_opened_again() {
        let (open, closed) =
            (record(&[(1, 0, Some(9)), (2, 9, None)]), record(&[(1, 0, Some(9)), (2, 9, Some(20))]));
        assert_eq!(
            [said(&open, &resident(2, 9)), said(&closed, &resident(2, 9))],
            [Said::Open, Said::Closed]
        );
        assert_eq!(said(&closed, &resident(1, 0)), Said::Another(Epoch(2)));
        assert_eq!(reopened(closed.clone(), &resident(2, 9)).unwrap(), open);
        assert_eq!(reopened(closed.clone(), &resident(1, 0)).unwrap_err().found, Epoch(2));
        // One that came and never wrote took the branch over as well.
        let later = BranchRecord { epoch: Epoch(3), ..closed };
        assert_eq!(said(&later, &resident(2, 9)), Said::Another(Epoch(3)));
    }

    #[test]
    fn what_an_overtaken_writer_has_may_be_part_of_the_branch() {
        let branch = record(&[(1, 0, Some(100)), (2, 100, None)]);
        let kept = |end: u64| TakenOver::of(&branch, &resident(1, 0), Lsn(end)).kept;
        assert_eq!([kept(99), kept(100), kept(101)], [true, true, false]);
        // Its successor began where it did: it is not in the line.
        let branch = record(&[(2, 50, None)]);
        let kept = |end: u64| TakenOver::of(&branch, &resident(1, 50), Lsn(end)).kept;
        assert_eq!([kept(50), kept(51)], [true, false]);
    }
}

//! The ledger: what happens to endpoints and branches, as time and bytes by hour. Pure; time is given to it.
//!
//! ```text
//!   turn, size, traffic, level ──► gains by hour ──┐
//!   settle (the heartbeat) ──────► + marks ────────┴─► take ──► Batch ──► one transaction ──► done
//! ```
//!
//! Everything up to an endpoint's [`Mark`] is counted. A [`Batch`] has what was gained since the last one together
//! with the marks that belong to it, and is stored in one transaction; so whatever a crash cuts off, the gains that
//! are stored end exactly where the marks say. A batch has a number: a transaction whose end nobody heard of is
//! sent again under the same number, and its second arrival changes nothing.
//!
//! Whoever starts from stored marks ([`Ledger::resume`]) knows of no endpoint what it does now. The first word about
//! one decides:
//!
//! | its mark says | first word | the time since the mark |
//! |---|---|---|
//! | active or paused | the same | counted: nobody can change a compute while no server lives |
//! | anything | active or paused, but not the same | counted but for one heartbeat, in which it may have changed |
//! | anything | off | not counted: nobody knows when it ended |
//!
//! Data stays in the store while no server lives, so a branch's bytes are counted through it ([`MAX_GAP_MS`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_base::{BranchId, Cu, EndpointId};

use super::gain::{Gain, HOUR_MS, Hour, Traffic, by_hour};
use super::moment::Moment;

/// A longer time between two words about something is not believed: the clock was wrong, or the machine was off.
/// As long as hours are kept (35 days).
pub const MAX_GAP_MS: u64 = 35 * 24 * HOUR_MS;

/// Bytes of a branch that does not change are counted when so much time has passed; those of a new one sooner.
const LEVELS_EVERY_MS: u64 = 600_000;

/// When so many hours wait to be stored, no further branches are settled before that.
const MAX_WAITING: usize = 20_000;

/// What an endpoint does, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Nothing, or it is just starting.
    Off,
    /// It serves, or finishes what it served.
    Active,
    /// It is frozen.
    Paused,
}

/// Everything that an endpoint used before `at` is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// What it did then.
    pub doing: Doing,
    /// How large it was then.
    pub cu: Cu,
    /// Until when it is counted.
    pub at: Moment,
}

/// What a branch has had in the store since `at`; everything before is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Bytes of data.
    pub storage: u64,
    /// Bytes of its past.
    pub history: u64,
    /// Until when it is counted.
    pub at: Moment,
}

/// Who used something. What an endpoint uses is put down to the branch that it is on when it is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// An endpoint.
    Endpoint(EndpointId),
    /// A branch.
    Branch(BranchId),
}

/// What is stored in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// One more than that of the batch before; what was stored is not stored again.
    pub number: u64,
    /// What was gained.
    pub gains: Vec<(Account, Hour, Gain)>,
    /// The marks that changed.
    pub marks: Vec<(EndpointId, Mark)>,
    /// The levels that changed.
    pub levels: Vec<(BranchId, Level)>,
}

#[derive(Debug)]
struct Life {
    mark: Mark,
    /// It was heard of since this ledger began.
    heard: bool,
    /// The mark is not stored.
    dirty: bool,
}

#[derive(Debug)]
struct Stock {
    level: Level,
    dirty: bool,
    /// It is counted when so much time has passed. Doubles.
    every_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    lives: BTreeMap<EndpointId, Life>,
    stocks: BTreeMap<BranchId, Stock>,
    gains: BTreeMap<(Account, Hour), Gain>,
    /// The number of the last batch that was made.
    number: u64,
    /// Made, and perhaps stored.
    sending: Option<Arc<Batch>>,
    /// How old a stored mark of a living server can be.
    heartbeat_ms: u64,
}

impl Ledger {
    /// Goes on from what is stored. `number` is that of the last batch there, `heartbeat_ms` the longest time between
    /// two batches of a server that lives.
    #[must_use]
    pub fn resume(
        number: u64,
        marks: impl IntoIterator<Item = (EndpointId, Mark)>,
        levels: impl IntoIterator<Item = (BranchId, Level)>,
        heartbeat_ms: u64,
    ) -> Self {
        let life = |(id, mark)| (id, Life { mark, heard: false, dirty: false });
        let stock = |(id, level)| (id, Stock { level, dirty: false, every_ms: LEVELS_EVERY_MS });
        Self {
            lives: marks.into_iter().map(life).collect(),
            stocks: levels.into_iter().map(stock).collect(),
            gains: BTreeMap::new(),
            number,
            sending: None,
            heartbeat_ms,
        }
    }

    fn gain(&mut self, account: &Account, now: &Moment, ms: u64, of: impl Fn(u64) -> Gain) {
        for (hour, ms) in by_hour(now.wall, ms.min(MAX_GAP_MS)) {
            *self.gains.entry((account.clone(), hour)).or_default() += of(ms);
        }
    }

    /// Counts what an endpoint has used up to now.
    fn accrue(&mut self, id: &EndpointId, now: &Moment) {
        let Some(life) = self.lives.get_mut(id).filter(|life| life.heard) else { return };
        let Mark { doing, cu, at } = life.mark;
        let ms = now.since(&at);
        life.mark.at = *now;
        if doing == Doing::Off {
            return;
        }
        life.dirty = true;
        self.spend(id, doing, cu, now, ms);
    }

    fn spend(&mut self, id: &EndpointId, doing: Doing, cu: Cu, now: &Moment, ms: u64) {
        let account = Account::Endpoint(id.clone());
        match doing {
            Doing::Off => {}
            Doing::Active => self.gain(&account, now, ms, |ms| Gain::active(ms, cu)),
            Doing::Paused => self.gain(&account, now, ms, Gain::paused),
        }
    }

    /// An endpoint does something else, or the same, from now on. `cu` is its size; without, it has the last one.
    pub fn turn(&mut self, id: &EndpointId, doing: Doing, cu: Option<Cu>, now: &Moment) {
        self.accrue(id, now);
        let Some(life) = self.lives.get_mut(id) else {
            // Nobody knows since when.
            let mark = Mark { doing, cu: cu.unwrap_or(Cu::MIN), at: *now };
            self.lives.insert(id.clone(), Life { mark, heard: true, dirty: true });
            return;
        };
        let (before, heard) = (life.mark, std::mem::replace(&mut life.heard, true));
        let size = cu.unwrap_or(before.cu);
        life.dirty |= before.doing != doing || before.cu != size || !heard;
        life.mark = Mark { doing, cu: size, at: *now };
        if !heard {
            let gap = now.since(&before.at);
            let sure = if before.doing == doing { gap } else { gap.saturating_sub(self.heartbeat_ms) };
            self.spend(id, doing, before.cu, now, sure);
        } else if doing == Doing::Active && before.doing != Doing::Active {
            let woken = Gain { wakes: 1, ..Gain::default() };
            *self.gains.entry((Account::Endpoint(id.clone()), Hour::of(now.wall))).or_default() += woken;
        }
    }

    /// An endpoint has another size from now on.
    pub fn size(&mut self, id: &EndpointId, cu: Cu, now: &Moment) {
        if self.lives.get(id).is_some_and(|life| life.heard && life.mark.cu != cu) {
            self.accrue(id, now);
            if let Some(life) = self.lives.get_mut(id) {
                life.mark.cu = cu;
                life.dirty = true;
            }
        }
    }

    /// The next run of an endpoint begins with this size.
    pub fn size_at_start(&mut self, id: &EndpointId, cu: Cu, now: &Moment) {
        let mark = Mark { doing: Doing::Off, cu, at: *now };
        let life = self.lives.entry(id.clone()).or_insert(Life { mark, heard: false, dirty: false });
        if life.heard && life.mark.doing == Doing::Off {
            life.mark.cu = cu;
        }
    }

    /// What clients of an endpoint did lately.
    pub fn traffic(&mut self, id: &EndpointId, traffic: Traffic, now: &Moment) {
        if !traffic.is_empty() {
            let gain = Gain { traffic, ..Gain::default() };
            *self.gains.entry((Account::Endpoint(id.clone()), Hour::of(now.wall))).or_default() += gain;
        }
    }

    /// Bytes of WAL that an endpoint wrote lately.
    pub fn written(&mut self, id: &EndpointId, bytes: u64, now: &Moment) {
        if bytes > 0 {
            let gain = Gain { written: bytes, ..Gain::default() };
            *self.gains.entry((Account::Endpoint(id.clone()), Hour::of(now.wall))).or_default() += gain;
        }
    }

    /// A branch has so many bytes in the store from now on.
    pub fn level(&mut self, id: &BranchId, storage: u64, history: u64, now: &Moment) {
        let Some(stock) = self.stocks.get(id) else {
            if storage > 0 || history > 0 {
                let level = Level { storage, history, at: *now };
                let every_ms = self.heartbeat_ms;
                self.stocks.insert(id.clone(), Stock { level, dirty: true, every_ms });
            }
            return;
        };
        if (stock.level.storage, stock.level.history) == (storage, history) {
            return;
        }
        self.settle_stock(id, now);
        if let Some(stock) = self.stocks.get_mut(id) {
            (stock.level.storage, stock.level.history) = (storage, history);
        }
    }

    fn settle_stock(&mut self, id: &BranchId, now: &Moment) {
        let Some(stock) = self.stocks.get_mut(id) else { return };
        let Level { storage, history, at } = stock.level;
        stock.level.at = *now;
        stock.dirty = true;
        stock.every_ms = stock.every_ms.saturating_mul(2).min(LEVELS_EVERY_MS);
        if storage > 0 || history > 0 {
            let ms = now.since(&at);
            self.gain(&Account::Branch(id.clone()), now, ms, |ms| Gain::stored(ms, storage, history));
        }
    }

    /// What a branch has now, as far as it is known.
    #[must_use]
    pub fn stock(&self, id: &BranchId) -> Option<Level> {
        self.stocks.get(id).map(|stock| stock.level)
    }

    /// Branches that have something.
    pub fn stocked(&self) -> impl Iterator<Item = &BranchId> {
        self.stocks.iter().filter(|(_, s)| s.level.storage > 0 || s.level.history > 0).map(|(id, _)| id)
    }

    /// Endpoints that were alive when the last server ended, and of which nobody has said anything since.
    #[must_use]
    pub fn unheard(&self) -> Vec<EndpointId> {
        let lives = self.lives.iter().filter(|(_, life)| !life.heard && life.mark.doing != Doing::Off);
        lives.map(|(id, _)| id.clone()).collect()
    }

    /// Endpoints that are active or paused.
    #[must_use]
    pub fn living(&self) -> Vec<EndpointId> {
        let lives = self.lives.iter().filter(|(_, life)| life.heard && life.mark.doing != Doing::Off);
        lives.map(|(id, _)| id.clone()).collect()
    }

    /// Endpoints that are active, with their sizes.
    #[must_use]
    pub fn active(&self) -> Vec<(EndpointId, Cu)> {
        let lives = self.lives.iter().filter(|(_, life)| life.heard && life.mark.doing == Doing::Active);
        lives.map(|(id, life)| (id.clone(), life.mark.cu)).collect()
    }

    /// What an endpoint does, if it was heard of.
    #[must_use]
    pub fn doing(&self, id: &EndpointId) -> Option<Doing> {
        self.lives.get(id).filter(|life| life.heard).map(|life| life.mark.doing)
    }

    /// The heartbeat: counts everything up to now. What branches have in the store is counted less often, unless it is
    /// `all` that is wanted.
    pub fn settle(&mut self, now: &Moment, all: bool) {
        for id in self.living() {
            self.accrue(&id, now);
        }
        let due = |stock: &Stock| {
            let Level { storage, history, at } = stock.level;
            let old = all || now.since(&at) >= stock.every_ms || Hour::of(at.wall) != Hour::of(now.wall);
            old && (storage > 0 || history > 0)
        };
        let due: Vec<BranchId> =
            self.stocks.iter().filter(|(_, stock)| due(stock)).map(|(id, _)| id.clone()).collect();
        for id in due {
            if self.gains.len() >= MAX_WAITING {
                break;
            }
            self.settle_stock(&id, now);
        }
    }

    /// An endpoint is gone. What it used up to now stays.
    pub fn forget(&mut self, id: &EndpointId, now: &Moment) {
        self.accrue(id, now);
        self.lives.remove(id);
    }

    /// What is to be stored; `None` when there is nothing. Call [`Ledger::done`] once it is; until then it is
    /// the same batch again.
    pub fn take(&mut self) -> Option<Arc<Batch>> {
        if let Some(batch) = &self.sending {
            return Some(Arc::clone(batch));
        }
        let marks = self
            .lives
            .iter_mut()
            .filter_map(|(id, life)| std::mem::take(&mut life.dirty).then(|| (id.clone(), life.mark)));
        let marks: Vec<_> = marks.collect();
        let levels = self
            .stocks
            .iter_mut()
            .filter_map(|(id, stock)| std::mem::take(&mut stock.dirty).then(|| (id.clone(), stock.level)));
        let levels: Vec<_> = levels.collect();
        self.stocks.retain(|_, stock| stock.level.storage > 0 || stock.level.history > 0);
        let gains: Vec<_> = std::mem::take(&mut self.gains)
            .into_iter()
            .map(|((account, hour), gain)| (account, hour, gain))
            .collect();
        if marks.is_empty() && levels.is_empty() && gains.is_empty() {
            return None;
        }
        self.number += 1;
        let batch = Arc::new(Batch { number: self.number, gains, marks, levels });
        self.sending = Some(Arc::clone(&batch));
        Some(batch)
    }

    /// A batch is stored.
    pub fn done(&mut self, batch: &Batch) {
        if self.sending.as_ref().is_some_and(|sending| sending.number == batch.number) {
            self.sending = None;
        }
    }
}

#[cfg(test)]
mod tests;

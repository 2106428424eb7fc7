//! What date it is when something is removed for its age: history, expired branches, old usage.
//!
//! A wall clock that is ahead for an hour (a wrong clock after a boot, a mistake of NTP) would cost days of everybody's
//! history, and none of it comes back. So what is removed for its age asks here and not the wall clock. [`belief`] is the
//! rule; this keeps it in the metadata, so that it outlives the server, and looks at the clocks.
//!
//! What only lasts too long when time stands still (tokens, sessions, schedules) goes by the wall clock.

use std::sync::Arc;

use dormouse_base::{Timestamp, clock, with_causes};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use crate::db::{Db, settings};
use crate::metering::moment::this_boot;

pub mod belief;

use belief::{Belief, Reading};

/// What the metadata knows is not older than this, milliseconds, as long as somebody asks what date it is.
const STORE_EVERY_MS: u64 = 60_000;

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Calendar {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
    known: Mutex<Option<Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    belief: Belief,
    /// What the metadata has, and since when.
    stored: Option<(Belief, u64)>,
}

impl Calendar {
    /// What the metadata remembers of time, if anything.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { inner: Arc::new(Inner { db, known: Mutex::default() }) }
    }

    /// Now, as far as it is believed. Never later than the wall clock.
    pub async fn today(&self) -> Timestamp {
        self.at(reading()).await
    }

    async fn at(&self, now: Reading) -> Timestamp {
        let Some((believed, news)) = self.look(now) else { return Timestamp::UNIX_EPOCH };
        if let Some(belief) = news {
            let text = serde_json::to_string(&belief).expect("it has no maps");
            let stored = self
                .inner
                .db
                .write("remember what time it is", move |db| settings::put(db, settings::CALENDAR, &text));
            if let Err(error) = stored.await {
                tracing::warn!(error = with_causes(&error), "cannot remember what time it is");
            } else if let Some(known) = self.inner.known.lock().as_mut() {
                known.stored = Some((belief, now.since_boot_ms));
            }
        }
        believed
    }

    /// What is believed, and what has to be stored. `None`: the metadata cannot be read, and nothing is old.
    fn look(&self, now: Reading) -> Option<(Timestamp, Option<Belief>)> {
        let mut known = self.inner.known.lock();
        if known.is_none() {
            *known = Some(self.load(now)?);
        }
        let known = known.as_mut().expect("it was loaded");
        let before = known.belief.doubt();
        let believed = known.belief.look(now);
        match (before, known.belief.doubt()) {
            (None, Some(apart)) => tracing::warn!(
                ahead_seconds = apart.as_secs(),
                hours = belief::BELIEVED_AFTER.as_secs() / 3600,
                "the wall clock is not where it must be by the time that passed; nothing is removed for its age by it \
                 until it has been steady for some hours"
            ),
            (Some(_), None) => tracing::info!("the wall clock is believed again"),
            _ => {}
        }
        let fresh = known.stored.as_ref().is_some_and(|(stored, at)| {
            !known.belief.differs(stored) && now.since_boot_ms.saturating_sub(*at) < STORE_EVERY_MS
        });
        Some((believed, (!fresh).then(|| known.belief.clone())))
    }

    fn load(&self, now: Reading) -> Option<Known> {
        let text = self.inner.db.read("read what time it was", |db| settings::get(db, settings::CALENDAR));
        let text = text
            .inspect_err(|error| tracing::warn!(error = with_causes(error), "nothing is removed for its age"))
            .ok()?;
        let belief = text.as_deref().map(serde_json::from_str).transpose();
        let belief = belief
            .inspect_err(|error| tracing::error!(error = with_causes(error), "what time it was is not known"))
            .ok()?;
        Some(Known { belief: belief.unwrap_or_else(|| Belief::new(now)), stored: None })
    }
}

/// Both clocks, now.
fn reading() -> Reading {
    let since_boot = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(since_boot.tv_sec).unwrap_or_default();
    let millis = u64::try_from(since_boot.tv_nsec / 1_000_000).unwrap_or_default();
    let since_boot_ms = seconds.saturating_mul(1000).saturating_add(millis);
    Reading { wall: clock::now(), boot: this_boot(), since_boot_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading_at(wall: &str, boot: u64, since_boot_s: u64) -> Reading {
        Reading { wall: wall.parse().unwrap(), boot, since_boot_ms: since_boot_s * 1000 }
    }

    #[tokio::test]
    async fn a_server_remembers_what_time_it_was_before_it_was_started_anew() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path()).unwrap();
        let first = Calendar::new(db.clone());
        let at = reading_at("2026-11-26T10:00:00Z", 1, 100);
        assert_eq!(first.at(at).await, at.wall);
        let generation = db.generation();
        first.at(reading_at("2026-11-26T10:00:30Z", 1, 130)).await;
        assert_eq!(db.generation(), generation, "not for every look");
        first.at(reading_at("2026-11-26T10:05:00Z", 1, 400)).await;
        assert!(db.generation() > generation);
        // The same boot, an hour later, under a clock that is ten years ahead.
        let next = Calendar::new(db.clone());
        let believed = next.at(reading_at("2036-11-26T11:05:00Z", 1, 4000)).await;
        assert_eq!(believed, "2026-11-26T11:10:00Z".parse().unwrap(), "the time that passed and a little");
        // And another boot.
        let third = Calendar::new(db.clone());
        let believed = third.at(reading_at("2036-11-26T11:15:00Z", 2, 60)).await;
        assert_eq!(believed, "2026-11-26T11:11:00Z".parse().unwrap());
        let now = reading();
        assert!(Calendar::new(db).at(now).await <= now.wall);
    }

    #[tokio::test]
    async fn without_its_memory_nothing_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path()).unwrap();
        db.write_now("", |db| settings::put(db, settings::CALENDAR, "{")).unwrap();
        assert_eq!(Calendar::new(db.clone()).today().await, Timestamp::UNIX_EPOCH);
        db.write_now("", |db| settings::delete(db, settings::CALENDAR)).unwrap();
        assert!(
            clock::now().duration_since(Calendar::new(db).today().await) < jiff::SignedDuration::from_secs(9)
        );
    }
}

//! Executors for the data path: N threads, each with a single-threaded tokio runtime of its own.
//!
//! A client's session lives its whole life on one shard. Compared with one work-stealing runtime
//! this saves the cross-thread wake-ups (a futex and a context switch each) that otherwise cost
//! more than relaying a small query does. Nor does a shard interrupt the client or the backend that has just woken it
//! ([`batch`]).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ThreadId;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

use crate::{batch, sends, task};

/// Each shard wakes up so often by itself. A timer that is due before all others of its thread has to interrupt that
/// thread's wait, also from within (an eventfd is written, and the next wait is none); behind this one nearly all
/// timers are late enough, those of a login above all.
const PULSE: Duration = Duration::from_secs(10);

/// No shard in particular.
const ANY: usize = usize::MAX;

/// So many in a row must have ended on the same shard until it is preferred by itself.
const HABIT: usize = 32;

/// With more shards none is preferred by itself: what one more wake-up costs is paid by processors that have time, and the
/// shard where all end has less to do.
const FEW: usize = 2;

/// Where the next one goes, and why.
#[derive(Debug)]
struct Choice {
    shards: usize,
    /// How many were placed by turns.
    turns: AtomicUsize,
    /// The shard of this index; or [`ANY`].
    preferred: AtomicUsize,
    /// Where the last one ended, and how many did so in a row. Two numbers that need not match: this is about speed alone.
    last: AtomicUsize,
    row: AtomicUsize,
}

impl Choice {
    fn turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed) % self.shards
    }
}

/// A fixed set of single-threaded executors.
#[derive(Debug)]
pub struct Shards {
    all: Vec<Shard>,
    choice: Arc<Choice>,
    stop: CancellationToken,
}

impl Shards {
    /// Starts `count` threads named `shard-N`, of the batch policy.
    ///
    /// # Errors
    /// When the operating system refuses an epoll instance or a thread.
    pub fn start(count: usize) -> std::io::Result<Self> {
        let stop = CancellationToken::new();
        let choice = Arc::new(Choice {
            shards: count.max(1),
            turns: AtomicUsize::new(0),
            preferred: AtomicUsize::new(ANY),
            last: AtomicUsize::new(ANY),
            row: AtomicUsize::new(0),
        });
        let mut all = Vec::with_capacity(count);
        for index in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let stop = stop.clone();
            let thread = task::thread(&format!("shard-{index}"), move || {
                batch::enter();
                runtime.block_on(live(stop));
            });
            all.push(Shard { handle, thread: thread.thread().id(), index, choice: Arc::clone(&choice) });
        }
        Ok(Self { all, choice, stop })
    }

    /// The shard that is preferred, or whose turn it is, and whether it is its turn.
    #[must_use]
    pub fn choose(&self) -> (&Shard, bool) {
        match self.all.get(self.choice.preferred.load(Ordering::Relaxed)) {
            Some(preferred) => (preferred, false),
            None => (self.by_turn(), true),
        }
    }

    /// The shard whose turn it is, for what stays there.
    #[must_use]
    pub fn by_turn(&self) -> &Shard {
        &self.all[self.choice.turn()]
    }

    /// Where, of two shards, so many ended in a row that who comes next should be taken in there, too.
    #[must_use]
    pub fn habit(&self) -> Option<&Shard> {
        let last = self.all.get(self.choice.last.load(Ordering::Relaxed))?;
        let is_habit = self.choice.shards <= FEW && self.choice.row.load(Ordering::Relaxed) >= HABIT;
        is_habit.then_some(last)
    }

    /// All of them, at least one. They do not keep the shards alive.
    #[must_use]
    pub fn all(&self) -> Vec<Shard> {
        self.all.clone()
    }

    /// Runs a future on the shard that is preferred, or whose turn it is. It ends with the shards if not before.
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.choose().0.spawn(future);
    }
}

/// One executor, for what must live together.
#[derive(Debug, Clone)]
pub struct Shard {
    handle: Handle,
    thread: ThreadId,
    index: usize,
    choice: Arc<Choice>,
}

impl Shard {
    /// Runs a future on it. It ends with the shards if not before.
    #[allow(
        clippy::disallowed_methods,
        reason = "the shard is an executor; what lives on it is counted by its owner"
    )]
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.handle.spawn(future);
    }

    /// Runs a future on it, and returns its result. `None`: the shards ended.
    #[allow(clippy::disallowed_methods, reason = "whoever waits owns it")]
    pub fn run<F>(&self, future: F) -> impl Future<Output = Option<F::Output>> + Send + use<F>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let running = self.handle.spawn(future);
        async move {
            match running.await {
                Ok(said) => Some(said),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_cancelled) => None,
            }
        }
    }

    /// What came last ended here. Has [`Shards::spawn`] choose it until another is preferred: what comes next will
    /// probably end here, too, and needs not move then.
    pub fn prefer(&self) {
        self.note();
        self.choice.preferred.store(self.index, Ordering::Relaxed);
    }

    /// What came last ended here. Where there are two shards, has [`Shards::spawn`] choose it when that was so many times in a
    /// row, and choose by turns when it was elsewhere.
    pub fn lean(&self) {
        match self.note() {
            1 => self.choice.preferred.store(ANY, Ordering::Relaxed),
            HABIT.. if self.choice.shards <= FEW => {
                self.choice.preferred.store(self.index, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// How many in a row have ended here now.
    fn note(&self) -> usize {
        if self.choice.last.swap(self.index, Ordering::Relaxed) == self.index {
            return self.choice.row.fetch_add(1, Ordering::Relaxed) + 1;
        }
        self.choice.row.store(1, Ordering::Relaxed);
        1
    }

    /// Has [`Shards::spawn`] choose by turns again: what comes is work enough for all of them.
    pub fn prefer_none(&self) {
        self.choice.last.store(ANY, Ordering::Relaxed);
        self.choice.preferred.store(ANY, Ordering::Relaxed);
    }

    /// Whose turn it is among all shards, by its place.
    pub fn turn(&self) -> usize {
        self.choice.turn()
    }

    /// Whether the caller runs on it.
    #[must_use]
    pub fn is_here(&self) -> bool {
        std::thread::current().id() == self.thread
    }
}

/// The life of a shard.
#[allow(clippy::disallowed_methods, reason = "it ends with the executor, of which it is a part")]
async fn live(stop: CancellationToken) {
    match sends::begin() {
        // A task, and not a part of this: it has to stand in the queue, behind who posts.
        Ok(()) => drop(tokio::spawn(sends::end_turns())),
        Err(error) => tracing::debug!(%error, "no io_uring: every send is a call"),
    }
    pulse(stop).await;
    // There is no other turn.
    sends::flush();
}

async fn pulse(stop: CancellationToken) {
    while tokio::time::timeout(PULSE, stop.cancelled()).await.is_err() {}
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the next four go.
    fn next(shards: &Shards) -> Vec<usize> {
        (0..4).map(|_| shards.choose().0.index).collect()
    }

    #[test]
    fn a_shard_where_all_end_is_chosen_until_one_ends_elsewhere() {
        let shards = Shards::start(2).unwrap();
        let all = shards.all();
        (1..HABIT).for_each(|_| all[1].lean());
        assert_eq!(next(&shards), [0, 1, 0, 1]);
        all[1].lean();
        assert_eq!(next(&shards), [1; 4]);
        all[1].lean();
        assert_eq!(next(&shards), [1; 4]);
        all[0].lean();
        assert_eq!(next(&shards), [0, 1, 0, 1]);
        (0..HABIT).for_each(|_| all[1].lean());
        assert_eq!(next(&shards), [1; 4]);
        all[1].prefer_none();
        (1..HABIT).for_each(|_| all[1].lean());
        assert_eq!(next(&shards), [0, 1, 0, 1]);
    }

    #[test]
    fn many_shards_have_no_habit() {
        let shards = Shards::start(3).unwrap();
        (0..2 * HABIT).for_each(|_| shards.all()[1].lean());
        assert!(shards.habit().is_none());
        assert_eq!(next(&shards), [0, 1, 2, 0]);
    }

    #[test]
    fn a_turn_is_a_turn_whatever_is_preferred() {
        let shards = Shards::start(2).unwrap();
        shards.all()[1].prefer();
        assert_eq!([shards.by_turn().index, shards.by_turn().index, shards.choose().0.index], [0, 1, 1]);
    }

    #[test]
    fn a_preferred_shard_is_chosen_at_once() {
        let shards = Shards::start(2).unwrap();
        let all = shards.all();
        all[1].prefer();
        assert_eq!(next(&shards), [1; 4]);
        all[0].prefer();
        assert_eq!(next(&shards), [0; 4]);
        all[0].prefer_none();
        assert_eq!(next(&shards), [0, 1, 0, 1]);
    }
}

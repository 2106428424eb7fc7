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

/// A fixed set of single-threaded executors.
#[derive(Debug)]
pub struct Shards {
    all: Vec<Shard>,
    next: AtomicUsize,
    /// Where the next one goes, by [`Shard::prefer`]; or [`ANY`].
    preferred: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Shards {
    /// Starts `count` threads named `shard-N`, of the batch policy.
    ///
    /// # Errors
    /// When the operating system refuses an epoll instance or a thread.
    pub fn start(count: usize) -> std::io::Result<Self> {
        let stop = CancellationToken::new();
        let preferred = Arc::new(AtomicUsize::new(ANY));
        let mut all = Vec::with_capacity(count);
        for index in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let stop = stop.clone();
            let thread = task::thread(&format!("shard-{index}"), move || {
                batch::enter();
                runtime.block_on(live(stop));
            });
            all.push(Shard {
                handle,
                thread: thread.thread().id(),
                index,
                preferred: Arc::clone(&preferred),
            });
        }
        Ok(Self { all, next: AtomicUsize::new(0), preferred, stop })
    }

    /// The shard that is preferred, or whose turn it is.
    fn pick(&self) -> &Shard {
        if let Some(preferred) = self.all.get(self.preferred.load(Ordering::Relaxed)) {
            return preferred;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.all[turn % self.all.len()]
    }

    /// All of them, at least one. They do not keep the shards alive.
    #[must_use]
    pub fn all(&self) -> Vec<Shard> {
        self.all.clone()
    }

    /// Runs a future on the shard whose turn it is. It ends with the shards if not before.
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.pick().spawn(future);
    }
}

/// One executor, for what must live together.
#[derive(Debug, Clone)]
pub struct Shard {
    handle: Handle,
    thread: ThreadId,
    index: usize,
    preferred: Arc<AtomicUsize>,
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

    /// Runs a future on it, for who waits for its end.
    #[allow(clippy::disallowed_methods, reason = "whoever waits owns it")]
    pub fn run<F>(&self, future: F) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let running = self.handle.spawn(future);
        async move {
            if let Err(error) = running.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Has [`Shards::spawn`] choose it until another is preferred: what came last ended here, so what comes next
    /// probably will, and needs not move then.
    pub fn prefer(&self) {
        self.preferred.store(self.index, Ordering::Relaxed);
    }

    /// Has [`Shards::spawn`] choose by turns again: what comes is work enough for all of them.
    pub fn prefer_none(&self) {
        self.preferred.store(ANY, Ordering::Relaxed);
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

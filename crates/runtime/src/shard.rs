//! Executors for the data path: N threads, each with a single-threaded tokio runtime of its own.
//!
//! A client's session lives its whole life on one shard. Compared with one work-stealing runtime
//! this saves the cross-thread wake-ups (a futex and a context switch each) that otherwise cost
//! more than relaying a small query does.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

use crate::task;

/// A fixed set of single-threaded executors.
#[derive(Debug)]
pub struct Shards {
    handles: Vec<Handle>,
    next: AtomicUsize,
    stop: CancellationToken,
}

impl Shards {
    /// Starts `count` threads named `shard-N`.
    ///
    /// # Errors
    /// When the operating system refuses an epoll instance or a thread.
    pub fn start(count: usize) -> std::io::Result<Self> {
        let stop = CancellationToken::new();
        let mut handles = Vec::with_capacity(count);
        for index in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let stop = stop.clone();
            task::thread(&format!("shard-{index}"), move || runtime.block_on(stop.cancelled()));
        }
        Ok(Self { handles, next: AtomicUsize::new(0), stop })
    }

    /// The shard whose turn it is. Enter it to register sockets, spawn on it to run.
    pub fn pick(&self) -> &Handle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.handles[turn % self.handles.len()]
    }

    /// All of them, at least one. They do not keep the shards alive.
    #[must_use]
    pub fn all(&self) -> Vec<Shard> {
        self.handles.iter().cloned().map(Shard).collect()
    }

    /// Runs a future on the shard whose turn it is. It ends with the shards if not before.
    #[allow(
        clippy::disallowed_methods,
        reason = "the shard is an executor; sessions are counted by their listener"
    )]
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.pick().spawn(future);
    }
}

/// One executor, for what must live together.
#[derive(Debug, Clone)]
pub struct Shard(Handle);

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
        self.0.spawn(future);
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

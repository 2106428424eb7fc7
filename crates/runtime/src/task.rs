//! The only place that spawns. A task belongs to a [`Scope`]; closing the scope asks its tasks to
//! end (through the token each of them holds) and waits for them, so no task outlives its owner
//! unnoticed. A task that panics is logged with its name and counted; what to do about it is the
//! owner's decision, which it makes through the returned handle.

#![allow(clippy::disallowed_methods, reason = "this module is the door that the ban points to")]

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
pub use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of tasks that ends together. Cheap to clone; clones are the same group.
///
/// Its tasks run where the scope was made, not where somebody happens to start one: a session on a shard
/// that wakes an endpoint must not take the endpoint's tasks into its shard, which ends before they do.
#[derive(Clone, Debug)]
pub struct Scope {
    tracker: TaskTracker,
    token: CancellationToken,
    runtime: Option<Handle>,
}

impl Default for Scope {
    fn default() -> Self {
        Self::new()
    }
}

impl Scope {
    /// A scope of its own.
    #[must_use]
    pub fn new() -> Self {
        let runtime = Handle::try_current().ok();
        Self { tracker: TaskTracker::new(), token: CancellationToken::new(), runtime }
    }

    /// A scope that is cancelled with this one, but can be closed and awaited alone.
    #[must_use]
    pub fn child(&self) -> Self {
        let runtime = self.runtime.clone();
        Self { tracker: TaskTracker::new(), token: self.token.child_token(), runtime }
    }

    /// Becomes ready when the scope is asked to end. Tasks select on it.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Starts a task. `name` is a short noun for logs, such as `"accept"`. The task does not inherit
    /// the caller's log span: who happens to start a long-lived task is not what its lines are about.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let guard = PanicNote { name, done: false };
        let watched = async move {
            let mut guard = guard;
            future.await;
            guard.done = true;
        };
        let tracked = self.tracker.track_future(watched);
        match &self.runtime {
            Some(runtime) => runtime.spawn(tracked),
            None => tokio::spawn(tracked),
        }
    }

    /// [`blocking`] as a part of this scope: [`Scope::close`] waits for the end of `work` also when the task that
    /// asked for it was dropped meanwhile, which does not stop it.
    ///
    /// # Panics
    /// Passes on a panic of `work`.
    pub async fn blocking<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let open = self.tracker.token();
        let whole = move || {
            let done = work();
            drop(open);
            done
        };
        blocking(whole).await
    }

    /// Asks every task to end and waits for them, at most `grace`. Tells whether all had ended.
    pub async fn close(&self, grace: Duration) -> bool {
        self.token.cancel();
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait()).await.is_ok()
    }
}

/// Logs when a task ends by unwinding instead of returning.
struct PanicNote {
    name: &'static str,
    done: bool,
}

impl Drop for PanicNote {
    fn drop(&mut self) {
        if !self.done && std::thread::panicking() {
            tracing::error!(task = self.name, "task panicked");
        }
    }
}

/// Runs something that blocks (files, SQLite, `fork`) away from the executor's threads.
///
/// # Panics
/// Passes on a panic of `work`.
pub async fn blocking<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let span = tracing::Span::current();
    match tokio::task::spawn_blocking(move || span.in_scope(work)).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Starts an operating-system thread that carries a name a person sees in `top`.
///
/// # Panics
/// When the operating system refuses a thread at start-up.
pub fn thread<F>(name: &str, work: F) -> std::thread::JoinHandle<()>
where
    F: FnOnce() + Send + 'static,
{
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .expect("the system grants a thread at start")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_waited_for_at_the_end() {
        let scope = Scope::new();
        let (begun, began) = tokio::sync::oneshot::channel();
        let (go, gone) = std::sync::mpsc::channel();
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (inner, token, note) = (scope.clone(), scope.token(), std::sync::Arc::clone(&done));
        scope.spawn("cut", async move {
            let work = inner.blocking(move || {
                begun.send(()).unwrap();
                gone.recv().unwrap();
                std::thread::sleep(Duration::from_millis(50));
                note.store(true, std::sync::atomic::Ordering::Release);
            });
            tokio::select! {
                () = work => {}
                () = token.cancelled() => {}
            }
        });
        began.await.unwrap();
        assert!(!scope.close(Duration::from_millis(20)).await, "the work is under way");
        go.send(()).unwrap();
        assert!(scope.close(Duration::from_secs(10)).await);
        assert!(done.load(std::sync::atomic::Ordering::Acquire));
    }

    #[test]
    fn a_task_outlives_the_runtime_that_happened_to_start_it() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (home, shard) = (runtime(), runtime());
        let scope = home.block_on(async { Scope::new() });
        let (sender, receiver) = tokio::sync::oneshot::channel();
        shard.block_on(async {
            scope.child().spawn("task", async move {
                tokio::task::yield_now().await;
                sender.send(()).unwrap();
            });
        });
        drop(shard);
        home.block_on(receiver).unwrap();
    }
}

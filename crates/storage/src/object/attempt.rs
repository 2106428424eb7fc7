//! Limits and retries: how often, how long, with which pauses.
//!
//! The backend's own retries are switched off, because a retry that nobody sees turns "the answer was
//! lost" into "somebody else was faster". Here each attempt is seen, timed and counted.

use std::future::Future;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::rand;

use super::error::{Cause, Verdict};
use super::metrics::{Metrics, Op, Outcome};

/// Limits of a store's operations. The defaults suit a cloud store on a bad day.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Tries of one operation, the first included.
    pub attempts: u32,
    /// The pause before the second try, on average; each further one is twice as long.
    pub backoff: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// No new try begins later than this after the first.
    pub deadline: Duration,
    /// Time that one try has for its answer, without the body.
    pub attempt: Duration,
    /// The slowest transfer that is waited for, in bytes per second; a body adds its time at this speed.
    pub slowest: u64,
    /// Time that one listing has, with all its pages.
    pub listing: Duration,
    /// Reads (and listings) under way at once.
    pub reads: usize,
    /// Writes (and deletes) under way at once.
    pub writes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempts: 8,
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            deadline: Duration::from_secs(120),
            attempt: Duration::from_secs(15),
            slowest: 1024 * 1024,
            listing: Duration::from_secs(300),
            reads: 96,
            writes: 32,
        }
    }
}

impl Limits {
    /// Time that a try with a body of this size has.
    #[must_use]
    pub fn time_for(&self, bytes: u64) -> Duration {
        self.attempt + Duration::from_millis(bytes.saturating_mul(1000) / self.slowest.max(1))
    }

    /// The pause after the `tries`-th try: doubled each time, and spread by half so that clients which
    /// failed together do not come back together.
    fn pause(&self, tries: u32) -> Duration {
        let doubled = self.backoff.saturating_mul(1_u32 << (tries - 1).min(16)).min(self.backoff_max);
        let [byte] = rand::bytes::<1>();
        doubled.mul_f64(0.5 + f64::from(byte) / 255.0)
    }
}

/// Runs one try within a time.
pub(super) async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, object_store::Error>>,
) -> Result<T, Cause> {
    match tokio::time::timeout(time, work).await {
        Ok(done) => done.map_err(Cause::Backend),
        Err(_) => Err(Cause::Late(time)),
    }
}

/// Tries until it works, cannot work, or a limit is reached. `attempt` is given the number of the try,
/// from 1.
pub(super) async fn retry<T, F>(
    limits: &Limits,
    metrics: &Metrics,
    op: Op,
    mut attempt: impl FnMut(u32) -> F,
) -> Result<T, Cause>
where
    F: Future<Output = Result<T, Cause>>,
{
    let begun = Mono::now();
    let mut tries = 1;
    loop {
        let start = Mono::now();
        let cause = match attempt(tries).await {
            Ok(done) => {
                metrics.attempt(op, Outcome::Ok, start.elapsed());
                return Ok(done);
            }
            Err(cause) => cause,
        };
        let verdict = cause.verdict();
        let pause = limits.pause(tries);
        let again =
            verdict == Verdict::Again && tries < limits.attempts && begun.elapsed() + pause < limits.deadline;
        metrics.attempt(op, Outcome::of(verdict, again), start.elapsed());
        if !again {
            return Err(cause);
        }
        tracing::debug!(op = op.name(), tries, cause = %dormouse_base::with_causes(&cause), "trying again");
        tokio::time::sleep(pause).await;
        tries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let limits = Limits::default();
        for tries in 1..40 {
            let pause = limits.pause(tries);
            assert!(pause >= limits.backoff / 2 && pause <= limits.backoff_max.mul_f64(1.5), "{pause:?}");
        }
        assert_eq!(limits.time_for(10 << 20), limits.attempt + Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn tries_are_limited_and_permanent_failures_are_not_repeated() {
        let (limits, metrics) = (Limits::default(), Metrics::default());
        let mut tries = 0;
        let late = retry(&limits, &metrics, Op::Get, |n| {
            tries = n;
            async { Err::<(), _>(Cause::Late(Duration::ZERO)) }
        });
        assert!(late.await.is_err());
        assert_eq!(tries, limits.attempts);
        let beyond = retry(&limits, &metrics, Op::Get, |n| {
            tries = n;
            async { Err::<(), _>(Cause::Beyond { wanted: 2, end: 1 }) }
        });
        assert!(beyond.await.is_err());
        assert_eq!(tries, 1);
        assert_eq!(metrics.stats().retries, u64::from(limits.attempts) - 1);
    }
}

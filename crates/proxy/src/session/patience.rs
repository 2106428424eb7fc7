//! How long a client may take to log in (`client_login_timeout`).
//!
//! ```text
//!  dormouse pool   accept ├──────────── whole ────────────┤ let in      as PgBouncer: waiting for auth_query counts
//!  dormouse up     accept ├ step ┤ … ├ step ┤ … ├ step ┤ let in        what the server needs in between does not
//! ```

use std::future::Future;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pooler::pool::Farewell;

use super::Shared;

/// Before computes, a client must have sent its startup message after this long, and each further answer of the login.
/// What the server itself needs in between (an endpoint that is just stopping or being recovered) is not held against
/// the client.
pub(crate) const HANDSHAKE_WITHIN: Duration = Duration::from_secs(15);

/// One client's time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    start: Mono,
    whole: Duration,
    /// For each of its answers.
    pub(crate) step: Duration,
}

impl Patience {
    /// Of a client that came at `start`.
    pub(crate) fn with(shared: &Shared, start: Mono) -> Self {
        Self::new(shared.pools.settings().client_login_timeout, shared.upstream.is_some(), start)
    }

    fn new(set: Duration, stands_in: bool, start: Mono) -> Self {
        let set = if set.is_zero() { Duration::MAX } else { set };
        if stands_in {
            return Self { start, whole: set, step: Duration::MAX };
        }
        Self { start, whole: Duration::MAX, step: set.min(HANDSHAKE_WITHIN) }
    }

    /// What is left of it.
    fn left(&self) -> Duration {
        self.whole.saturating_sub(self.start.elapsed())
    }

    /// What is left until the startup message must be there.
    pub(crate) fn left_to_begin(&self) -> Duration {
        self.whole.min(self.step).saturating_sub(self.start.elapsed())
    }

    /// Something that comes before the startup message; none when it takes too long.
    pub(crate) async fn begin<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.left_to_begin(), what).await.ok()
    }

    /// A login, which is refused when it takes too long.
    pub(crate) async fn limit<T, E: From<ClientError>>(
        &self,
        login: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let late = |_| Err(Farewell::ClientLoginTimeout.as_pgbouncer().into());
        tokio::time::timeout(self.left(), login).await.unwrap_or_else(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_pgbouncers_place_the_whole_is_limited_and_zero_is_for_ever() {
        let long_ago = Mono::now();
        std::thread::sleep(Duration::from_millis(20));
        let of = |millis| Patience::new(Duration::from_millis(millis), true, long_ago);
        assert_eq!((of(0).step, of(60_000).step), (Duration::MAX, Duration::MAX));
        assert!(of(0).left_to_begin() > Duration::from_secs(u64::from(u32::MAX)));
        assert!(of(60_000).left() < Duration::from_millis(59_981) && of(10).left().is_zero());
    }

    #[test]
    fn before_computes_each_answer_is_limited_whatever_is_set() {
        let of = |seconds| Patience::new(Duration::from_secs(seconds), false, Mono::now());
        assert_eq!([of(0), of(60), of(5)].map(|it| it.step.as_secs()), [15, 15, 5]);
        assert!(of(5).left() > Duration::from_secs(60) && of(5).left_to_begin() <= Duration::from_secs(5));
    }
}

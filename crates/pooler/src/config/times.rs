//! How long clients may take: which limit ends what is under way, and when.

use std::time::Duration;

use dormouse_base::clock::Mono;

use super::settings::Settings;
use crate::pool::Farewell;

/// The limits of a client's time; zero: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// `query_timeout`.
    pub query: Duration,
    /// `transaction_timeout`.
    pub transaction: Duration,
    /// `idle_transaction_timeout`.
    pub idle_transaction: Duration,
    /// `client_idle_timeout`.
    pub client_idle: Duration,
}

/// What a client is doing, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnderWay {
    /// Its statement runs.
    pub query: Option<Mono>,
    /// Its transaction is open.
    pub transaction: Option<Mono>,
    /// It waits for a backend. Only in PgBouncer's place that is part of what it asks for.
    pub wait: Option<Mono>,
    /// It says nothing, inside a transaction or not, and nothing runs.
    pub rest: Option<Mono>,
}

impl Times {
    /// Whether there is any limit.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Which limit is reached first, and when, if nothing else happens.
    #[must_use]
    pub fn next(&self, now: &UnderWay) -> Option<(Mono, Farewell)> {
        let resting = match now.transaction {
            Some(_) => (self.idle_transaction, Farewell::IdleTransactionTimeout),
            None => (self.client_idle, Farewell::ClientIdleTimeout),
        };
        [
            (now.query, self.query, Farewell::QueryTimeout),
            (now.wait, self.query, Farewell::QueryTimeoutWaiting),
            (now.transaction, self.transaction, Farewell::TransactionTimeout),
            (now.rest, resting.0, resting.1),
        ]
        .into_iter()
        .filter(|(_, limit, _)| !limit.is_zero())
        .filter_map(|(since, limit, why)| Some((since?.plus(limit), why)))
        .min_by_key(|(at, _)| *at)
    }
}

impl From<&Settings> for Times {
    fn from(settings: &Settings) -> Self {
        Self {
            query: settings.query_timeout,
            transaction: settings.transaction_timeout,
            idle_transaction: settings.idle_transaction_timeout,
            client_idle: settings.client_idle_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_limit_wins_and_zero_is_none() {
        let start = Mono::now();
        let seconds = Duration::from_secs;
        let rests = UnderWay { rest: Some(start), ..UnderWay::default() };
        assert_eq!(Times::default().next(&rests), None);
        let mut times = Times { query: seconds(3), client_idle: seconds(9), ..Times::default() };
        assert_eq!(times.next(&rests), Some((start.plus(seconds(9)), Farewell::ClientIdleTimeout)));
        let inside = UnderWay { transaction: Some(start), ..rests };
        assert_eq!(times.next(&inside), None, "a client inside a transaction is not an idle client");
        times.idle_transaction = seconds(4);
        assert_eq!(times.next(&inside), Some((start.plus(seconds(4)), Farewell::IdleTransactionTimeout)));
        let works =
            UnderWay { query: Some(start.plus(seconds(5))), transaction: Some(start), ..UnderWay::default() };
        assert_eq!(times.next(&works), Some((start.plus(seconds(8)), Farewell::QueryTimeout)));
        let waits = UnderWay { wait: Some(start), ..UnderWay::default() };
        assert_eq!(times.next(&waits), Some((start.plus(seconds(3)), Farewell::QueryTimeoutWaiting)));
        times.transaction = seconds(7);
        assert_eq!(times.next(&works), Some((start.plus(seconds(7)), Farewell::TransactionTimeout)));
    }
}

//! The counters of one pool. They only grow, except by being forgotten with their pool.

use std::ops::{AddAssign, Sub};
use std::time::Duration;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What a pool has done since it was made. Columns of SHOW STATS are `total_` and `avg_` of these names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl AddAssign<&Self> for Counters {
            fn add_assign(&mut self, other: &Self) {
                $(self.$name = self.$name.wrapping_add(other.$name);)+
            }
        }

        impl Sub for &Counters {
            type Output = Counters;

            /// What was added since `earlier`.
            fn sub(self, earlier: Self) -> Counters {
                Counters { $($name: self.$name.saturating_sub(earlier.$name),)+ }
            }
        }
    };
}

counters! {
    /// Times a client was given a backend.
    server_assignment_count,
    /// Transactions.
    xact_count,
    /// Queries.
    query_count,
    /// Bytes from clients.
    received,
    /// Bytes to clients.
    sent,
    /// Microseconds in transactions, with what clients took inside of them.
    xact_time,
    /// Microseconds that backends worked.
    query_time,
    /// Microseconds that clients waited for a backend.
    wait_time,
    /// Named statements that clients prepared.
    client_parse_count,
    /// Statements that were prepared on backends for them.
    server_parse_count,
    /// Executions of prepared statements: Bind messages.
    bind_count,
    /// Clients that logged in.
    client_login_count,
}

impl Counters {
    /// A client was given a backend after so long a wait.
    pub fn assigned(&mut self, wait: Duration) {
        self.server_assignment_count += 1;
        self.wait_time += micros(wait);
    }

    /// A query took so long.
    pub fn query(&mut self, took: Duration) {
        self.query_count += 1;
        self.query_time += micros(took);
    }

    /// A transaction took so long.
    pub fn transaction(&mut self, took: Duration) {
        self.xact_count += 1;
        self.xact_time += micros(took);
    }
}

/// Microseconds, as PgBouncer counts.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

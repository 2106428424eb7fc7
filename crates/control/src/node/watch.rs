//! Looks at the capture of every endpoint's WAL: keeps the gauges up to date, and puts an alarm on the
//! endpoint's event list, once for each time that it begins.

use std::time::Duration;

use dormouse_storage::wal::filer::{Limits, Status};

use super::Node;
use super::home::{Held, Home};
use super::metrics::Counted;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What the last look saw of an endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    counted: Counted,
    alarm: Option<&'static str>,
}

/// Sums of one look.
#[derive(Debug, Default)]
struct Sums {
    residents: i64,
    lag_bytes: u64,
    lag_seconds: f64,
    alarms: i64,
}

impl Node {
    /// Looks for ever.
    pub(super) async fn keep_watch(&self) {
        let token = self.inner.scope.token();
        loop {
            self.watch();
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn watch(&self) {
        let mut sums = Sums::default();
        for home in self.homes() {
            // What is held for long is looked at the next time.
            let Some(held) = home.try_held() else { continue };
            sums.residents += i64::from(held.resident.is_some());
            let status = held.capture.as_ref().map(super::capture::Capture::status);
            drop(held);
            if let Some(status) = status {
                self.watch_one(&home, &status, &mut sums);
            }
        }
        let metrics = &self.inner.metrics;
        metrics.residents.set(sums.residents);
        metrics.lag_bytes.set(i64::try_from(sums.lag_bytes).unwrap_or(i64::MAX));
        metrics.lag.set(sums.lag_seconds);
        metrics.alarms.set(sums.alarms);
    }

    /// Counts what a filer has done since the last look: it is about to end.
    pub(super) fn count_last(&self, home: &Home, held: &Held) {
        if let Some(capture) = &held.capture {
            self.inner.metrics.filed(&mut home.seen.lock().counted, &capture.status());
        }
    }

    fn watch_one(&self, home: &Home, status: &Status, sums: &mut Sums) {
        let alarm = status.alarm(&Limits::default());
        sums.lag_bytes += status.lag_bytes();
        sums.lag_seconds = sums.lag_seconds.max(status.lag_seconds());
        sums.alarms += i64::from(alarm.is_some());
        let begins = {
            let mut seen = home.seen.lock();
            self.inner.metrics.filed(&mut seen.counted, status);
            alarm.filter(|_| std::mem::replace(&mut seen.alarm, alarm) != alarm)
        };
        if let Some(alarm) = begins {
            tracing::error!(endpoint = %home.endpoint, alarm, filed = %status.filed, flushed = %status.flushed,
                problem = status.problem, "WAL");
            self.trouble(&home.endpoint, told(alarm, status));
        }
    }
}

/// The alarm in words for the event list.
fn told(alarm: &str, status: &Status) -> String {
    let (bytes, seconds) = (status.lag_bytes(), status.lag_seconds());
    let cause = status.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
    format!("{alarm} ({bytes} bytes, {seconds:.0} s, filed up to {}){cause}", status.filed)
}

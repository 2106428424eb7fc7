//! `pressure`: when memory is short, paused endpoints stop, the longest paused first. They wake like
//! any stopped one; nothing but the next first query's time is lost.

use std::sync::Arc;
use std::time::Duration;

use dormouse_compute::event::SleepReason;

use super::{Reconciler, Report, Trouble};
use crate::computes::Computes;
use crate::keeper::Keeper;

/// Below this share of free memory, per cent, endpoints are stopped.
pub const LOW_PERCENT: u64 = 8;

const PERIOD: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub struct Pressure {
    /// Knows who is paused.
    pub keeper: Keeper,
    /// The computes.
    pub computes: Arc<dyn Computes>,
}

/// A field of the text of `/proc/meminfo`, kB.
fn field(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The memory that can still be given out, bytes.
pub(super) fn available_bytes() -> Option<u64> {
    field(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:").map(|kilobytes| kilobytes * 1024)
}

/// The share of memory that can still be given out, per cent, from the text of `/proc/meminfo`.
#[must_use]
pub fn available_percent(meminfo: &str) -> Option<u64> {
    let (total, available) = (field(meminfo, "MemTotal:")?, field(meminfo, "MemAvailable:")?);
    (total > 0).then(|| available * 100 / total)
}

#[async_trait::async_trait]
impl Reconciler for Pressure {
    fn name(&self) -> &'static str {
        "pressure"
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let mut stopped = 0;
        for endpoint in self.keeper.paused() {
            if available()? >= LOW_PERCENT {
                break;
            }
            match self.computes.suspend(&endpoint, SleepReason::Pressure).await {
                Ok(()) => stopped += 1,
                Err(error) => tracing::warn!(%endpoint, %error, "cannot stop a paused endpoint"),
            }
        }
        Ok(Report { text: format!("{stopped} stopped"), next: PERIOD })
    }
}

fn available() -> Result<u64, Trouble> {
    let text = std::fs::read_to_string("/proc/meminfo").map_err(Trouble::in_doing("read /proc/meminfo"))?;
    available_percent(&text)
        .ok_or_else(|| Trouble { what: "/proc/meminfo has no MemAvailable".to_owned(), source: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_text() {
        let text = "MemTotal:       16000 kB\nMemFree:  1 kB\nMemAvailable:    1200 kB\n";
        assert_eq!(available_percent(text), Some(7));
        assert_eq!(available_percent("MemTotal: 5 kB\n"), None);
        assert!(available().unwrap() <= 100);
    }
}

//! A point in time that two servers on the same machine agree about.
//!
//! The wall clock says which hour something belongs to, and can jump. How long something took is told by the time
//! since the machine's boot, as long as it is the same boot; so a clock that is set back neither loses nor doubles
//! what was used, also when the server was started anew in between.

use std::sync::LazyLock;
use std::time::Duration;

use dormouse_base::clock::{self, Mono};
use dormouse_base::{Timestamp, rand};

/// Where the kernel tells which boot this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// Where it tells how long ago that was.
const UPTIME: &str = "/proc/uptime";
/// Digits of the boot's name that are kept.
const BOOT_DIGITS: usize = 16;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// Which boot of the machine.
    pub boot: u64,
    /// Time since then, milliseconds.
    pub uptime_ms: u64,
}

/// What does not change while this process lives: the boot, and its age when this process first asked.
struct Anchor {
    boot: u64,
    uptime: Duration,
    at: Mono,
}

static ANCHOR: LazyLock<Anchor> = LazyLock::new(|| {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let digits: String = read(BOOT).chars().filter(char::is_ascii_hexdigit).take(BOOT_DIGITS).collect();
    // A boot that cannot be told is like no other: only this process knows it.
    let boot = u64::from_str_radix(&digits, 16).unwrap_or_else(|_| u64::from_le_bytes(rand::bytes()));
    let seconds = read(UPTIME).split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
    let uptime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
    Anchor { boot, uptime, at: Mono::now() }
});

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let Anchor { boot, uptime, at } = &*ANCHOR;
        let uptime_ms = u64::try_from((*uptime + at.elapsed()).as_millis()).unwrap_or(u64::MAX);
        Self { wall: clock::now(), boot: *boot, uptime_ms }
    }

    /// Milliseconds from `earlier` to this moment; zero when it cannot be told.
    #[must_use]
    pub fn since(&self, earlier: &Moment) -> u64 {
        if self.boot == earlier.boot {
            return self.uptime_ms.saturating_sub(earlier.uptime_ms);
        }
        u64::try_from(self.wall.duration_since(earlier.wall).as_millis()).unwrap_or(0)
    }
}

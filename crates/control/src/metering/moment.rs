//! A point in time that two servers on the same machine agree about.
//!
//! The wall clock says which hour something belongs to, and can jump. How long something took is told by the time
//! since the machine's boot, as long as it is the same boot; so a clock that is set back neither loses nor doubles
//! what was used, also when the server was started anew in between.

use std::sync::LazyLock;

use dormouse_base::clock;
use dormouse_base::{Timestamp, rand};
use rustix::time::{ClockId, clock_gettime};

/// Where the kernel tells which boot this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// Digits of the boot's name that are kept.
const BOOT_DIGITS: usize = 16;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// Which boot of the machine.
    pub boot: u64,
    /// Time since then, milliseconds, without the time in which the machine was suspended: nothing works then.
    pub uptime_ms: u64,
}

/// The boot, which does not change while this process lives.
static THIS_BOOT: LazyLock<u64> = LazyLock::new(|| {
    let told = std::fs::read_to_string(BOOT).unwrap_or_default();
    let digits: String = told.chars().filter(char::is_ascii_hexdigit).take(BOOT_DIGITS).collect();
    // A boot that cannot be told is like no other: only this process knows it.
    u64::from_str_radix(&digits, 16).unwrap_or_else(|_| u64::from_le_bytes(rand::bytes()))
});

/// Which boot of the machine this is.
pub(crate) fn this_boot() -> u64 {
    *THIS_BOOT
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        // Not `Mono`, whose beginning another process does not know.
        let since_boot = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(since_boot.tv_sec).unwrap_or_default();
        let millis = u64::try_from(since_boot.tv_nsec / 1_000_000).unwrap_or_default();
        let uptime_ms = seconds.saturating_mul(1000).saturating_add(millis);
        Self { wall: clock::now(), boot: *THIS_BOOT, uptime_ms }
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

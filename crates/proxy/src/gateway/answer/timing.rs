//! Where the time of a query went, as the answer tells it. Pure but for the clock.

use dormouse_base::clock::Mono;

/// Since when a query is measured, and whether it woke its endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// When the request came.
    pub(crate) start: Mono,
    /// The endpoint was asleep then.
    pub(crate) asleep: bool,
}

impl Timing {
    /// Milliseconds until PostgreSQL gave its first answer; 0 when the endpoint was awake.
    pub(crate) fn wake_ms(self, first: Option<Mono>) -> String {
        ms(first.filter(|_| self.asleep).map_or(0, |first| first.since(self.start).as_micros()))
    }

    /// Writes it as JSON.
    pub(crate) fn write(self, out: &mut Vec<u8>, first: Option<Mono>) {
        let (total, wake) = (ms(self.start.elapsed().as_micros()), self.wake_ms(first));
        out.extend_from_slice(format!("{{\"totalMs\":{total},\"wakeMs\":{wake}}}").as_bytes());
    }
}

fn ms(us: u128) -> String {
    format!("{}.{:03}", us / 1000, us % 1000)
}

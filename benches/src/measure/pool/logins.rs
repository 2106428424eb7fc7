//! How long pgbench's clients take to log in, which its own time limit does not leave out.
//!
//! A thousand logins with SCRAM take seconds, most of them the clients' own. So a run gets so many seconds
//! more, as the last such run needed; before the first it is a guess.

use std::time::Duration;

use super::stage::Way;

/// A guess: a login with SCRAM, by one of two threads on one of two processors.
const GUESS: Duration = Duration::from_millis(5);

/// So much of a second that logging in may take is not worth another one.
const ROUNDING: f64 = 0.25;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Logins(Vec<(Way, u32, Duration)>);

impl Logins {
    /// Whole seconds to be added for the logins of so many clients.
    pub(super) fn allowance(&self, way: Way, clients: u32) -> u32 {
        let known = self.0.iter().find(|(one, count, _)| (*one, *count) == (way, clients));
        let takes = known.map_or(GUESS * clients, |(_, _, took)| *took);
        (takes.as_secs_f64() + ROUNDING).round() as u32
    }

    /// They took so long.
    pub(super) fn note(&mut self, way: Way, clients: u32, took: Duration) {
        self.0.retain(|(one, count, _)| (*one, *count) != (way, clients));
        self.0.push((way, clients, took));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_gets_what_the_last_one_needed() {
        let mut logins = Logins::default();
        assert_eq!(logins.allowance(Way::Direct, 16), 0);
        assert_eq!(logins.allowance(Way::Direct, 1000), 5);
        logins.note(Way::Direct, 1000, Duration::from_millis(7600));
        logins.note(Way::Direct, 1000, Duration::from_millis(2100));
        assert_eq!(logins.allowance(Way::Direct, 1000), 2);
        assert_eq!(logins.allowance(Way::Dormouse, 1000), 5);
    }
}

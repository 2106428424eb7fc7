//! Processor time of a pooler and its server while pgbench runs.
//!
//! pgbench logs all clients in and only then begins. With a thousand clients the logins are a good part of
//! the run and would be on the transactions' account, so time is noted now and then and counted from the
//! moment when all were in.

use std::path::PathBuf;
use std::time::Duration;

use dormouse_base::clock::Mono;

use super::stage::{Stage, Way};
use crate::cpu;

/// How often time is noted: looking through all processes is work too.
const NOTE_EVERY: Duration = Duration::from_millis(200);

/// What a pooler and its server have used until a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Note {
    at: Duration,
    pooler: Duration,
    postgres: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Meter {
    pooler: Option<u32>,
    postmaster: u32,
    data: PathBuf,
    start: Mono,
    notes: Vec<Note>,
}

impl Meter {
    /// Begins now.
    pub(super) fn begin(stage: &Stage, way: Way) -> Self {
        let (postmaster, data) = stage.postgres(way);
        let pooler = stage.pooler(way);
        let mut meter = Self { pooler, postmaster, data, start: Mono::now(), notes: Vec::new() };
        meter.note();
        meter
    }

    /// To be called often.
    pub(super) fn watch(&mut self) {
        let last = self.notes.last().map_or(Duration::ZERO, |note| note.at);
        if self.start.elapsed() >= last + NOTE_EVERY {
            self.note();
        }
    }

    fn note(&mut self) {
        let note = Note {
            at: self.start.elapsed(),
            pooler: self.pooler.map(cpu::of_process).unwrap_or_default(),
            postgres: cpu::of_compute(self.postmaster, &self.data),
        };
        self.notes.push(note);
    }

    /// Time of the pooler and of its server from `after` the beginning until now.
    pub(super) fn end(mut self, after: Duration) -> (Duration, Duration) {
        self.note();
        since(&self.notes, after)
    }
}

/// The difference between the last note and the moment `after`, which lies between two.
fn since(notes: &[Note], after: Duration) -> (Duration, Duration) {
    let Some(last) = notes.last() else { return (Duration::ZERO, Duration::ZERO) };
    let next = notes.iter().position(|note| note.at >= after).unwrap_or(notes.len() - 1);
    let (before, next) = (&notes[next.saturating_sub(1)], &notes[next]);
    let gap = next.at.saturating_sub(before.at).as_secs_f64();
    let share = if gap > 0.0 { (after.saturating_sub(before.at).as_secs_f64() / gap).min(1.0) } else { 0.0 };
    let at = |of: fn(&Note) -> Duration| of(before) + of(next).saturating_sub(of(before)).mul_f64(share);
    (
        last.pooler.saturating_sub(at(|note| note.pooler)),
        last.postgres.saturating_sub(at(|note| note.postgres)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_between_two_notes() {
        let ms = Duration::from_millis;
        let note = |at, pooler, postgres| Note { at: ms(at), pooler: ms(pooler), postgres: ms(postgres) };
        let notes = [note(0, 10, 100), note(200, 30, 100), note(400, 130, 300)];
        assert_eq!(since(&notes, Duration::ZERO), (ms(120), ms(200)));
        assert_eq!(since(&notes, ms(100)), (ms(110), ms(200)));
        assert_eq!(since(&notes, ms(300)), (ms(50), ms(100)));
        assert_eq!(since(&notes, ms(999)), (ms(0), ms(0)));
        assert_eq!(since(&[], ms(1)), (ms(0), ms(0)));
    }
}
